"""What the shipped model knows already is found by playing it, and told as a line of streamd.yaml that works."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamd import config_shape, yaml_lines
from training.prepare import demo_sounds, hears
from training.prepare.clips import Clip
from training.prepare.demo_sounds import SAMPLE_RATE
from training.prepare.hears import Answer, Hearing, Hearings, hear_known


def written(folder: Path, label: str | None, sounds: list[np.ndarray], floor_db: float = -80) -> list[Clip]:
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for i, sound in enumerate(sounds):
        rng = np.random.default_rng(i)
        around = np.zeros(SAMPLE_RATE // 4)
        audio = np.concatenate([around, sound * rng.uniform(0.3, 1), around])
        audio += rng.normal(0, 10 ** (floor_db / 20), len(audio))
        path = folder / f"{label}{i}.wav"
        soundfile.write(path, (0.9 * audio / max(1, np.abs(audio).max())).astype(np.float32), SAMPLE_RATE)
        clips.append(Clip(path, label, None, None, f"{label}{i}", None))
    return clips


def thuds(n: int) -> list[np.ndarray]:
    time = np.arange(SAMPLE_RATE // 3) / SAMPLE_RATE
    return [np.sin(2 * np.pi * (150 + 20 * i) * time) * np.exp(-time * 30) for i in range(n)]


@pytest.fixture(scope="module")
def heard(tmp_path_factory) -> Hearings:
    data = tmp_path_factory.mktemp("data")
    honks, others = written(data, "honk", [demo_sounds.car_horn()] * 16), written(data, "thud", thuds(12))
    return hear_known([*honks, *others, *written(data, None, [np.zeros(4 * SAMPLE_RATE)], floor_db=-50)])


def test_a_sound_that_the_model_knows_is_answered_in_every_clip_and_in_no_other(heard):
    honk, thud = heard.labels
    assert (honk.label, thud.label, heard.n_played, heard.n_left_out) == ("honk", "thud", 28, 0)
    assert honk.answers is not None
    assert honk.answers.known == "Vehicle horn, car horn, honking"
    assert (honk.answers.n_answered, honk.answers.n_clips) == (16, 16)
    assert (honk.answers.n_others_answered, honk.answers.n_others) == (0, 12)
    assert honk.answers.background_seconds == pytest.approx(4.5)
    assert honk.answers.n_false_alarms == 0
    assert honk.answers.suffices
    assert honk.closest.separation == 1.0


def test_a_label_without_an_answer_asks_for_training(heard):
    thud = heard.labels[1]
    assert thud.answers is None or not thud.answers.suffices
    assert heard.configuration is None


def test_silence_and_noise_are_no_answer(tmp_path):
    hiss = [np.random.default_rng(i).normal(0, 0.1, SAMPLE_RATE) for i in range(3)]
    for one in hear_known([*written(tmp_path, "hiss", hiss), *written(tmp_path, "faint", thuds(3), -60)]).labels:
        for found in (one.answers, one.closest):
            assert found is None or not set(found.known.lower().split()) & {"silence", "noise", "static", "inside,"}


def test_the_configuration_is_one_that_the_daemon_reads(heard):
    alone = dataclasses.replace(heard, labels=heard.labels[:1])
    assert alone.configuration is not None
    read, document = yaml_lines.read(alone.configuration.encode(), "streamd.yaml", config_shape.StreamdYaml)
    document.check()
    assert [(model.file, list(model.labels)) for model in read.models] == [
        ("yamnet", ["Vehicle horn, car horn, honking"])
    ]


ANSWER = Answer("Dog", 0.3, 60, 58, 0.8, 100, 2, 1200.0, 1, 0.99)


@pytest.mark.parametrize(
    ("change", "suffices"),
    [
        ({}, True),
        ({"n_answered": 53}, False),
        ({"n_clips": 14, "n_answered": 13}, False),
        ({"n_clips": 15, "n_answered": 15}, False),
        ({"n_clips": 16, "n_answered": 16}, True),
        ({"n_others_answered": 6}, False),
        ({"n_false_alarms": 3}, False),
        ({"background_seconds": 500.0}, False),
        ({"background_seconds": 0.0, "n_false_alarms": 0, "n_others": 0, "n_others_answered": 0}, True),
    ],
    ids=str,
)
def test_one_label_suffices_if_it_hears_nearly_all_and_hardly_anything_else(change, suffices):
    assert dataclasses.replace(ANSWER, **change).suffices is suffices


def test_two_labels_that_one_known_label_answers_to_still_need_training():
    both = [Hearing(label, ANSWER, ANSWER) for label in ("dog", "wolf")]
    assert Hearings("yamnet", both, 120, 0).configuration is None


def test_too_many_clips_are_sampled_label_by_label_and_group_by_group():
    def clips(label: str, source: str, n: int) -> list[Clip]:
        return [Clip(Path(f"{label}{source}{i}.wav"), label, None, None, source, None) for i in range(n)]

    many = clips("dog", "yard", 50) + clips("dog", "street", 3) + clips("cat", "home", 5)
    chosen = hears._sample(many, 16)
    assert sum(clip.label == "cat" for clip in chosen) == 5
    assert sum(clip.source == "street" for clip in chosen) == 3
    assert len(set(chosen)) == len(chosen) == 16


def test_a_clip_is_padded_by_its_own_floor_and_a_clean_cut_by_silence(tmp_path):
    rng = np.random.default_rng(1)
    noisy = rng.normal(0, 0.003, SAMPLE_RATE)
    noisy[4000:6000] += rng.normal(0, 0.3, 2000)
    cut = rng.normal(0, 0.3, 4000) * np.exp(-np.arange(4000) / 600)
    for name, audio, level in (("noisy", noisy, 0.003), ("cut", cut, 0.0)):
        soundfile.write(tmp_path / f"{name}.wav", audio, SAMPLE_RATE, subtype="FLOAT")
        padded = hears._padded(Clip(tmp_path / f"{name}.wav", "x", None, None, None, None), SAMPLE_RATE)
        assert len(padded) == len(audio) + 2 * SAMPLE_RATE
        for pad in (padded[:SAMPLE_RATE], padded[-SAMPLE_RATE:]):
            assert pad.std() == pytest.approx(level, rel=0.1)


def test_a_sound_inside_a_recording_is_played_with_what_is_really_around_it(tmp_path):
    audio = np.arange(5 * SAMPLE_RATE, dtype=np.float32) / (10 * SAMPLE_RATE)
    soundfile.write(tmp_path / "long.wav", audio, SAMPLE_RATE, subtype="FLOAT")
    padded = hears._padded(Clip(tmp_path / "long.wav", "x", 2.0, 2.5, None, None), SAMPLE_RATE)
    assert np.array_equal(padded, audio[SAMPLE_RATE : round(3.5 * SAMPLE_RATE)])

"""Tones in noise, rooms and microphones, played through a tiny model that hears how loud they are."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("scipy")
pytest.importorskip("pyroomacoustics")

from streamd.model import Model
from tests import tiny_models
from tests.tiny_models import SAMPLE_RATE, tone
from training.expect.familiarity import Condition, trained_on
from training.expect.play import play
from training.expect.robustness import LEAD_SECONDS, cells, make_streams, rooms_of, spread
from training.prepare.clips import Clip
from training.prepare.simulation.chance import Range
from training.prepare.simulation.level import LevelRange
from training.prepare.simulation.material import Material, Sound
from training.prepare.simulation.microphone import MicrophoneRange
from training.prepare.simulation.recipe import Recipe

RECIPE = Recipe(level=LevelRange(Range(-20.0, -8.0)))
"""Tones that the model hears arrive at -14 dB in the middle."""


def clip(label: str, source: str, seconds: float = 0.4) -> Sound:
    path = Path(f"{source}/{label}.wav")
    return Sound(Clip(path, label, None, None, source, None), tone(round(seconds * SAMPLE_RATE), label, 0.1))


SOUNDS = [clip(label, f"room {i}") for i in range(4) for label in ("Low tone", "Middle tone", "High tone")]
MATERIAL = Material(SAMPLE_RATE, SOUNDS, speech=tone(SAMPLE_RATE, "Low tone"))
TRAINED = trained_on(replace(RECIPE, microphone=MicrophoneRange(kinds=("flat",))), MATERIAL)
QUIET = Condition(microphone="flat")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tiny_models.build(tmp_path_factory.mktemp("models"), "stream", "log_mel"), "cpu")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rooms")


def cell(model, condition, cache, **options):
    [found] = cells(model, [condition], TRAINED, MATERIAL, RECIPE, cache, **options)
    return found


def test_a_clean_tone_is_heard_and_one_that_drowns_is_not(model, cache):
    clean = cell(model, QUIET, cache)
    assert (clean.recall, clean.n_sounds, clean.snr_db, clean.noise) == (1.0, 12, None, "none")
    assert clean.recall_interval is not None
    assert clean.recall_interval[0] < 1.0
    loud = replace(QUIET, noise="white", snr_db=20.0)
    # At -15 dB, level and all, three quarters of the model's 20 dB are gone.
    drowned = replace(QUIET, noise="white", snr_db=-25.0)
    assert cell(model, loud, cache).recall == 1.0
    assert cell(model, drowned, cache).recall < 0.5


def test_tones_within_the_band_of_a_telephone_are_heard_through_it(model, cache):
    telephone = cell(model, replace(QUIET, microphone="phone"), cache)
    assert (telephone.recall, telephone.microphone, telephone.familiarity) == (1.0, "phone", "extrapolated")
    [other, *_] = make_streams(replace(QUIET, microphone="phone"), model.manifest, MATERIAL, RECIPE, cache, 0)
    assert not np.array_equal(other.samples, make_streams(QUIET, model.manifest, MATERIAL, RECIPE, cache, 0)[0].samples)


def test_a_cell_says_what_it_was_and_how_familiar_that_is(model, cache):
    strange = cell(model, replace(QUIET, rt60_seconds=0.3, distance_m=2.0, room_method="noise"), cache)
    assert (strange.rt60_seconds, strange.distance_m, strange.familiarity) == (0.3, 2.0, "extrapolated")
    assert cell(model, QUIET, cache).distance_m is None


def test_recall_is_that_of_the_events_that_the_detector_publishes(model, cache):
    condition = replace(QUIET, noise="white", snr_db=-9.0)
    in_turns = replace(MATERIAL, sounds=spread(SOUNDS, 12))
    streams = make_streams(condition, model.manifest, in_turns, RECIPE, cache, seed=0)
    published = 0
    for played in play(model, streams):
        for sound in played.stream.sounds:
            published += any(
                event.label == sound.label
                and sound.onset_seconds - 0.2 <= event.onset_seconds <= sound.offset_seconds + 0.2
                for event in played.events
            )
    found = cell(model, condition, cache)
    assert 0 < published < 12
    assert found.recall == published / 12


def test_the_same_sounds_lie_at_the_same_places_in_every_condition(cache, model):
    noisy = replace(QUIET, noise="babble", snr_db=0.0)
    clean, other = (make_streams(c, model.manifest, MATERIAL, RECIPE, cache, 0) for c in (QUIET, noisy))
    assert [one.sounds for one in clean] == [one.sounds for one in other]
    assert [one.group for one in clean] == [f"room {i}" for i in range(4)]
    assert not np.array_equal(clean[0].samples, other[0].samples)
    again = make_streams(noisy, model.manifest, MATERIAL, RECIPE, cache, 0)
    np.testing.assert_array_equal(again[0].samples, other[0].samples)


def test_no_sound_begins_before_the_model_has_warmed_up_nor_before_the_last_event_is_over(cache, model):
    facts = model.manifest
    for one in make_streams(QUIET, facts, MATERIAL, RECIPE, cache, 0):
        assert one.sounds[0].onset_seconds >= facts.first_score_samples / SAMPLE_RATE + LEAD_SECONDS
        ends = [sound.offset_seconds + facts.decision.min_silence_seconds for sound in one.sounds]
        assert all(sound.onset_seconds > end for sound, end in zip(one.sounds[1:], ends, strict=False))


@pytest.mark.parametrize("snr_db", [-5.0, 10.0])
def test_every_sound_of_a_stream_has_the_snr_of_its_cell_however_loud_its_clip_is(cache, model, snr_db):
    quieter = [replace(one, audio=one.audio * (0.1 if i % 2 else 1)) for i, one in enumerate(SOUNDS)]
    material = replace(MATERIAL, sounds=quieter)
    bare = RECIPE.without("self_noise", "clipping", "quantise")
    [one, *_] = make_streams(replace(QUIET, noise="white", snr_db=snr_db), model.manifest, material, bare, cache, 0)
    quiet = one.samples[: SAMPLE_RATE // 2]
    for sound in one.sounds:
        begin, end = (round(at * SAMPLE_RATE) for at in (sound.onset_seconds, sound.offset_seconds))
        with_noise = np.mean(one.samples[begin + 40 : end - 40] ** 2)
        found = 10 * math.log10(with_noise / np.mean(quiet**2) - 1)
        assert found == pytest.approx(snr_db, abs=1.5)


@pytest.mark.parametrize(
    ("method", "seconds", "metres"),
    [("hybrid", 0.3, 4.0), ("hybrid", 0.6, 0.5), ("hybrid", 1.0, 2.0), ("noise", 0.3, 0.5), ("noise", 1.0, 4.0)],
)
def test_a_room_has_the_rt60_and_the_distance_that_were_asked_for(cache, method, seconds, metres):
    condition = Condition(rt60_seconds=seconds, distance_m=metres, room_method=method)
    sound, noise = rooms_of(condition, 16_000, cache)
    assert sound.rt60_seconds == pytest.approx(seconds, rel=0.1)
    assert sound.distance_m == pytest.approx(metres)
    assert sound.direct_sample == round(metres / 343 * 16_000)
    assert noise.hall == sound.hall


def test_few_sounds_are_taken_from_all_groups_and_labels(model, cache):
    few = spread(SOUNDS * 5, 12)
    assert {(one.label, one.clip.source) for one in few} == {(one.label, one.clip.source) for one in SOUNDS}
    assert cell(model, QUIET, cache, most_sounds=6).n_sounds == 6


def test_sounds_that_the_model_has_no_label_for_are_named(model, cache):
    other = Sound(Clip(Path("dog.wav"), "Dog", None, None, None, None), tone(4000, "Low tone"))
    with pytest.raises(ValueError, match="expected Low tone, Middle tone, High tone"):
        next(cells(model, [QUIET], TRAINED, replace(MATERIAL, sounds=[other]), RECIPE, cache))

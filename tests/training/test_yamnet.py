"""The default model against YAMNet's own answers, and what a user relies on in it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from streamd.detector import Detector  # noqa: E402
from streamd.logmel import log_mel  # noqa: E402
from streamd.model import Model, load_onnxruntime  # noqa: E402
from training.design import yamnet  # noqa: E402
from training.expect.card import card  # noqa: E402
from training.expect.default_labels import MAX_PER_HOUR_IN_ALL, REAL  # noqa: E402
from training.expect.default_model import read_choice  # noqa: E402
from training.expect.delays import ringing, three_beeps  # noqa: E402
from training.expect.false_alarms import count_onsets, posteriors  # noqa: E402
from training.prepare.negatives import Stream  # noqa: E402

ROOT = Path(__file__).parents[2]
FILE = ROOT / "models" / "yamnet" / "yamnet.onnx"
REFERENCE = ROOT / "tests" / "data" / "yamnet_reference.npz"
SIGNALS = ("chirp", "noise", "silence", "crow")
STEP = 48
"""Frames between two windows of the reference."""


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def model():
    return Model(FILE, "cpu")


def windows(frames, n_windows):
    return np.stack([frames[STEP * i : STEP * i + yamnet.N_FRAMES] for i in range(n_windows)])


@pytest.mark.parametrize("signal", SIGNALS)
def test_the_network_gives_the_scores_and_embeddings_of_the_original(signal, reference):
    scores, embeddings = reference[f"{signal}/scores"], reference[f"{signal}/embeddings"]
    inputs = windows(reference[f"{signal}/log_mel"], len(scores))
    posterior, embedding = yamnet.load()(torch.from_numpy(inputs))
    np.testing.assert_allclose(posterior.numpy(), scores, atol=1e-5)
    np.testing.assert_allclose(embedding.numpy(), embeddings, atol=5e-5)


@pytest.mark.parametrize("signal", SIGNALS)
def test_the_shipped_file_gives_the_scores_and_embeddings_of_the_original(signal, reference):
    scores, embeddings = reference[f"{signal}/scores"], reference[f"{signal}/embeddings"]
    inputs = windows(reference[f"{signal}/log_mel"], len(scores))
    session = load_onnxruntime().InferenceSession(FILE, providers=["CPUExecutionProvider"])
    posterior, embedding = session.run(["posterior", "embedding"], {"log_mel": inputs})
    np.testing.assert_allclose(posterior, scores, atol=1e-5)
    np.testing.assert_allclose(embedding, embeddings, atol=5e-5)


@pytest.mark.parametrize("signal", SIGNALS)
def test_from_the_waveform_the_scores_are_those_of_the_original(signal, reference, model):
    scores, waveform = reference[f"{signal}/scores"], reference[f"{signal}/waveform"]
    # The original pads a recording with silence to whole windows.
    whole = (STEP * (len(scores) - 1) + yamnet.N_FRAMES - 1) * 160 + 400
    padded = np.pad(waveform, (0, max(0, whole - len(waveform))))
    posterior, _ = model.run(windows(log_mel(padded, model.manifest.log_mel), len(scores)))
    np.testing.assert_allclose(posterior, scores, atol=2e-4)


def test_its_labels_are_those_of_the_class_map_in_order(model):
    assert model.manifest.labels == tuple(yamnet.labels())
    assert len(model.manifest.labels) == 521


def test_its_card_is_made_from_its_manifest(model):
    assert (FILE.parent / "card.md").read_text(encoding="utf-8") == card(model.manifest)


def test_its_decisions_are_those_of_the_table_in_the_repository(model):
    choice = read_choice()
    assert model.manifest.default_labels == choice.default_labels
    assert model.manifest.label_decisions == {row.label: row.decision() for row in choice.rows}


def test_on_ten_hours_of_recordings_that_did_not_choose_them_the_default_labels_give_at_most_five_events_an_hour():
    real = read_choice().count(*REAL)
    assert real.hours >= 10
    assert real.n_events / real.hours <= MAX_PER_HOUR_IN_ALL


def test_its_manifest_counts_recordings_and_made_sounds_apart(model):
    alarms = model.manifest.expected["false_alarms"]
    for part, kinds in (("real", REAL), ("music", ("music",)), ("speech", ("speech",)), ("made", ("made",))):
        rows = [one for one in alarms["heard"] if one["kind"] in kinds]
        assert alarms[part]["n_events"] == sum(one["n_events"] for one in rows)
        assert alarms[part]["hours"] == pytest.approx(sum(one["hours"][1] for one in rows), abs=0.01)
        low, high = alarms[part]["per_hour_interval_95"]
        assert low <= alarms[part]["n_events"] / alarms[part]["hours"] <= high


def test_every_default_label_was_chosen_on_five_hours_without_it_and_gave_at_most_one_event_in_two():
    for row in read_choice().rows:
        if row.default:
            assert row.chosen_on.hours >= 5
            assert row.chosen_on.n_events / row.chosen_on.hours <= 0.5
            assert 0.3 <= row.onset_threshold <= 0.9


def test_of_a_sound_and_its_kinds_one_label_is_on_by_default(model):
    on = set(model.manifest.default_labels)
    assert {"Speech", "Music", "Dog", "Cat", "Baby cry, infant cry", "Glass", "Siren", "Water tap, faucet"} <= on
    families = (
        {"Animal", "Domestic animals, pets", "Dog", "Bark", "Yip", "Howl", "Bow-wow", "Growling"},
        {"Animal", "Domestic animals, pets", "Cat", "Purr", "Meow", "Hiss", "Caterwaul"},
        {"Animal", "Wild animals", "Bird", "Crow", "Caw"},
        {"Alarm", "Telephone", "Telephone bell ringing", "Ringtone", "Busy signal", "Dial tone"},
        {"Alarm", "Siren", "Civil defense siren", "Police car (siren)", "Ambulance (siren)", "Emergency vehicle"},
        {"Alarm", "Smoke detector, smoke alarm", "Fire alarm", "Buzzer"},
        {"Speech", "Conversation", "Narration, monologue", "Child speech, kid speaking"},
        {"Glass", "Chink, clink", "Shatter"},
        {"Explosion", "Gunshot, gunfire", "Machine gun", "Artillery fire"},
    )
    for family in families:
        assert len(on & family) == 1
    assert not on & set(model.manifest.labels[model.manifest.labels.index("Silence") :])


def events(model, audio):
    detector = Detector(model)
    detector.start("room")
    detector.push("room", np.clip(np.rint(audio * 32767), -32768, 32767).astype(np.int16))
    found = [one for hop in detector.step() for one in hop.detections] + detector.flush()
    offsets = {one.number: one.offset_sample for one in found if one.offset_sample is not None}
    return [(one.label, one.onset_sample, offsets[one.number]) for one in found if one.offset_sample is None]


@pytest.mark.parametrize(("frequency", "level"), [(3100.0, 0.3), (2900.0, 0.03), (3400.0, 0.1)])
def test_a_smoke_alarm_that_beeps_for_a_minute_is_one_event(frequency, level, model):
    # ISO 8201: three beeps of 0.5 s, 0.5 s apart, then 1.5 s of rest.
    group = np.concatenate([three_beeps(frequency, level), np.zeros(24_000)])
    alarm = np.tile(group, 15)
    audio = np.random.default_rng(1).normal(0, 1e-4, 3 * 16_000 + len(alarm) + 10 * 16_000)
    audio[3 * 16_000 : 3 * 16_000 + len(alarm)] += alarm
    [(label, onset, offset)] = events(model, audio)
    assert label == "Smoke detector, smoke alarm"
    assert onset / 16_000 == pytest.approx(3.0, abs=0.4)
    assert offset / 16_000 == pytest.approx(3.0 + 58.5, abs=0.8)


def test_silence_and_faint_noise_are_no_event(model):
    random = np.random.default_rng(2)
    n = 16_000 * 20
    quiet = [np.zeros(n), *(random.integers(-peak, peak + 1, n) / 32767 for peak in (1, 2, 3))]
    assert events(model, np.concatenate(quiet)) == []


def test_a_mains_hum_is_no_event_but_what_the_card_warns_of(model):
    second = np.arange(16_000 * 30) / 16_000
    hum = 0.01 * sum(np.sin(2 * np.pi * 50 * k * second) / k for k in range(1, 8))
    assert {label for label, _, _ in events(model, hum)} <= {"Music"}
    assert "hum" in model.manifest.expected["weaknesses"]


def test_the_counting_of_false_alarms_hears_what_the_detector_hears(model, tmp_path):
    random = np.random.default_rng(3)
    audio = np.concatenate([three_beeps(), np.zeros(16_000 * 9), ringing(4.0), np.zeros(16_000 * 9)])
    samples = np.rint((audio + random.normal(0, 1e-4, len(audio))) * 32767).astype(np.int16)
    np.save(tmp_path / "room.npy", samples)
    heard = posteriors(model, Stream("room", "made", "check", tmp_path / "room.npy"), tmp_path)
    labels = model.manifest.labels
    specs = [model.manifest.decision_of(label) for label in labels]
    [counts] = count_onsets([heard], specs, model.manifest.hop_seconds)
    found = {label: counts[labels.index(label)] for label, _, _ in events(model, samples / 32767)}
    assert sorted(found) == ["Smoke detector, smoke alarm", "Telephone"]
    assert list(found.values()) == [1, 1]
    on = [i for i, label in enumerate(labels) if label in model.manifest.default_labels]
    assert counts[on].sum() == 2


def test_what_builds_on_its_weights_is_told_under_their_licence(model):
    told = yamnet.published()
    assert told.licence == model.manifest.licence
    assert told.sha256 == hashlib.sha256(yamnet.FILE.read_bytes()).hexdigest()

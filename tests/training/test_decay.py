"""The decay of a sound is that of the room it was recorded in, and nothing is said where it can't be told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.prepare.audit import DRY_SECONDS, audit
from training.prepare.clips import Clip
from training.prepare.decay import decay_seconds
from training.prepare.groups import Group
from training.prepare.trim import find_sound

SAMPLE_RATE = 16_000


def in_room(rt60_seconds: float, seed: int, floor: float = 1e-3) -> np.ndarray:
    """Return a burst or a knock in a room of diffuse reverberation, with quiet on both sides."""
    rng = np.random.default_rng(seed)
    n = round(1.5 * rt60_seconds * SAMPLE_RATE)
    response = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / SAMPLE_RATE / rt60_seconds)
    knock = rng.standard_normal(3000) * np.exp(-np.arange(3000) / 300)
    dry = rng.standard_normal(4000) * np.hanning(4000) if seed % 2 else knock
    wet = np.convolve(dry, response)
    audio = np.concatenate([np.zeros(8000), 0.5 * wet / np.abs(wet).max(), np.zeros(8000)])
    return (audio + rng.normal(0, floor, len(audio)) if floor else audio).astype(np.float32)


def decay(audio: np.ndarray) -> float | None:
    return decay_seconds(audio, SAMPLE_RATE, find_sound(audio, SAMPLE_RATE))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rt60_seconds", [0.2, 0.3, 0.5, 0.8, 1.2])
def test_the_decay_is_the_reverberation_of_the_room(rt60_seconds, seed):
    assert decay(in_room(rt60_seconds, seed)) == pytest.approx(rt60_seconds, rel=0.1)


def test_a_sound_that_stops_at_once_is_as_dry_as_can_be_told():
    burst = np.zeros(SAMPLE_RATE, np.float32)
    burst[4000:8000] = np.random.default_rng(1).normal(0, 0.1, 4000)
    assert decay(burst) == pytest.approx(0.05, abs=0.01)


def test_the_room_is_told_by_the_last_sound_of_several_and_not_by_the_pause_between():
    both = np.concatenate([in_room(0.3, 0), in_room(0.3, 2)])
    assert decay(both) == pytest.approx(0.3, rel=0.1)


def test_a_fade_at_the_end_of_a_clip_does_not_make_it_dry():
    wet = in_room(0.8, 1, floor=0.0)[8000:]
    onset = int(np.abs(wet).argmax())
    cut = wet[: onset + round(0.45 * SAMPLE_RATE)].copy()
    cut[-400:] *= np.linspace(1, 0, 400)
    assert decay(cut) == pytest.approx(0.8, rel=0.15)


@pytest.mark.parametrize(
    "audio",
    [
        np.zeros(SAMPLE_RATE, np.float32),
        np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE).astype(np.float32),
        in_room(0.8, 0)[: 8000 + 2000],
        in_room(0.5, 0, floor=0.05),
    ],
    ids=["silence", "it fills the clip", "cut off", "under a loud floor"],
)
def test_nothing_is_said_where_the_fall_is_too_short_to_tell(audio):
    assert decay(audio) is None


def group(folder: Path, name: str, rt60s: list[float]) -> Group:
    clips = []
    for i, rt60_seconds in enumerate(rt60s):
        path = folder / f"{name}{i}.wav"
        soundfile.write(path, in_room(rt60_seconds, i), SAMPLE_RATE)
        clips.append(Clip(path, "knock", None, None, name, None))
    return Group(name, "source", clips)


def test_the_audit_names_groups_whose_every_clip_brings_its_room(tmp_path):
    dry, wet = group(tmp_path, "dry", [0.2, 0.2, 0.9, 0.2]), group(tmp_path, "wet", [0.7] * 4)
    known = audit([dry, wet])
    assert known.dry_share == 0.5
    (finding,) = (one for one in known.findings if "not dry enough" in one.text)
    assert finding.text.startswith(f"4 of 8 recordings are of groups that take more than {DRY_SECONDS} s")
    assert {path.stem for path in finding.paths} == {"wet0", "wet1", "wet2", "wet3"}
    assert known.rows[0].median_decay_seconds == pytest.approx(0.7, rel=0.1)


def test_dry_clips_are_none_of_its_business(tmp_path):
    known = audit([group(tmp_path, "dry", [0.2, 0.3, 0.2])])
    assert known.dry_share == 1.0
    assert known.clean_share == 1.0
    assert not any("dry" in finding.text for finding in known.findings)

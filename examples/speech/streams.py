"""Streams to compare speech detectors on: clips of a split in a row, mixed with music and noise that no training heard.

A cell is one kind of noise at one signal-to-noise ratio, dry or in rooms; all cells hold the same clips at the same
places, so that they can be compared. Rooms are computed by the method that training never uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from examples.speech.activity import GRID_SAMPLES, SAMPLE_RATE, active
from examples.speech.scenes import clips_of, narrow
from training.prepare.audio import read_audio
from training.prepare.clips import Clip
from training.prepare.simulation.activity import active_rms
from training.prepare.simulation.audio import Audio, around, at_unit_level, rms, to_gain
from training.prepare.simulation.conditions import UNSEEN_SEED
from training.prepare.simulation.mix import Mix
from training.prepare.simulation.noise import ColouredNoise
from training.prepare.simulation.room import Room
from training.prepare.simulation.rooms import compute_rooms, draw_bank
from training.prepare.simulation.shoebox import ShoeboxRange

SECONDS = 30.0
SNRS_DB = (-5.0, 0.0, 5.0, 10.0, 20.0)
LEVEL_DB = -26.0
"""RMS of the speech while there is any, as ITU-T P.56 has it for speech on lines."""
LEAST_MUSIC_RMS = 1e-3
"""A stretch of a track below it, -60 dB, is a pause or a fade, and no noise to test with."""
CLIPS_DB = 3.0
"""Clips are brought to one level, give or take so much."""
PAUSES_SECONDS = (0.3, 2.5)

NOISES = {
    "game music": "wesnoth-1.16-music",
    "music on hold, 8 kHz": "asterisk-moh-opsound-wav",
    "coloured noise": None,
}
"""And the package that the music is of."""
FRESH_NOISES = {"music of another game": "naev-data", "coloured noise": None}
"""Of the second and third test: packages that were not looked at before the recipe was fixed."""
TUNING_NOISES = {"game music": "warmux-data", "music of 8 kHz": "lincity-ng-data", "coloured noise": None}
"""What lags are chosen with; this second music is made narrow here."""


@dataclass(frozen=True)
class Cell:
    """One condition."""

    noise: str
    snr_db: float
    room: bool

    def __str__(self) -> str:
        return f"{self.noise}, {self.snr_db:g} dB, {'room' if self.room else 'dry'}"


@dataclass(frozen=True, eq=False)
class Dry:
    """The speech of one stream."""

    audio: Audio
    active: NDArray[np.bool_]
    """For each 10 ms, whether there is speech."""


@dataclass(frozen=True, eq=False)
class Streams:
    """All streams of one cell."""

    cell: Cell
    samples: NDArray[np.int16]
    """(n_streams, n_samples)"""
    active: NDArray[np.bool_]
    """(n_streams, n_frames), for each 10 ms; in a room as late as the direct path."""


def streams(data: Path, split: str, n_streams: int, seed: int = 0) -> Iterator[Streams]:
    """Yield the streams of all cells for the speech of a split; fewer streams where there are fewer clips."""
    dry = _dry(clips_of(data, split), n_streams, seed)
    noises = {"tune": TUNING_NOISES, "test": NOISES}.get(split, FRESH_NOISES)
    tracks = [clip for one in ("tune", "test", "test2") for clip in clips_of(data, one) if clip.label is None]
    rooms = compute_rooms(
        draw_bank(UNSEEN_SEED + seed, len(dry), ShoeboxRange()), SAMPLE_RATE, "noise", data / "rooms"
    )[:: ShoeboxRange().n_places]
    for name, package in noises.items():
        rng = np.random.default_rng([seed, *name.encode()])
        found = [_noise(rng, [one for one in tracks if one.path.parent.name == package]) for _ in dry]
        if split == "tune" and "8 kHz" in name:
            found = [narrow(one) for one in found]
        for is_in_room in (False, True):
            wet = [_heard(one, room if is_in_room else None) for one, room in zip(dry, rooms, strict=True)]
            for snr_db in SNRS_DB:
                mixed = [_mixed(one.audio, noise, snr_db) for one, noise in zip(wet, found, strict=True)]
                yield Streams(Cell(name, snr_db, is_in_room), np.stack(mixed), np.stack([one.active for one in wet]))


def warm_up_recording(data: Path) -> NDArray[np.int16]:
    """Return a recording (n_samples,) to measure warm-ups on: six minutes of tuning speech over noise 20 dB below.

    Not over music: there a recurrent detector goes on remembering by a hundredth or two what it took for music.
    """
    cells = streams(data, "tune", 12)
    return next(one.samples.reshape(-1) for one in cells if one.cell == Cell("coloured noise", 20.0, room=False))


def _dry(clips: Sequence[Clip], n_streams: int, seed: int) -> list[Dry]:
    """Fill streams with whole recordings, none of them twice, and pauses between."""
    rng = np.random.default_rng(seed)
    paths = sorted({clip.path for clip in clips if clip.label is not None})
    order = iter(rng.permutation(len(paths)))
    n_samples = round(SECONDS * SAMPLE_RATE)
    found: list[Dry] = []
    while len(found) < n_streams:
        audio, labels = np.zeros(n_samples, np.float32), np.zeros(n_samples // GRID_SAMPLES, np.bool_)
        position = 0
        while True:
            position += round(rng.uniform(*PAUSES_SECONDS) * SAMPLE_RATE / GRID_SAMPLES) * GRID_SAMPLES
            which = next(order, None)
            if which is None:
                return found
            clip, _ = read_audio(paths[which])
            level = active_rms(clip, SAMPLE_RATE)
            if level == 0:
                continue
            clip = clip * np.float32(to_gain(rng.uniform(-CLIPS_DB, CLIPS_DB)) / level)
            if position + len(clip) > n_samples:
                break
            audio[position : position + len(clip)] += clip
            speaks = active(clip)
            begin = position // GRID_SAMPLES
            labels[begin : begin + len(speaks)] |= speaks
            position += len(clip)
        found.append(Dry(audio, labels))
    return found


def _noise(rng: np.random.Generator, tracks: Sequence[Clip]) -> Audio:
    """Return noise of the length of a stream: a stretch of one of the tracks, or coloured where there is none."""
    n_samples = round(SECONDS * SAMPLE_RATE)
    if not tracks:
        return ColouredNoise(float(rng.choice([0.0, 1.0, 2.0])), int(rng.integers(2**32))).make(n_samples, SAMPLE_RATE)
    while True:
        track, _ = read_audio(tracks[int(rng.integers(len(tracks)))].path)
        stretch = around(track, float(rng.uniform()), n_samples)
        if rms(stretch) >= LEAST_MUSIC_RMS:
            return at_unit_level(stretch)


def _heard(dry: Dry, room: Room | None) -> Dry:
    """Return the speech as it arrives."""
    if room is None:
        return dry
    late = round(room.direct_sample / GRID_SAMPLES)
    moved = np.concatenate([np.zeros(late, np.bool_), dry.active])[: len(dry.active)]
    return Dry(room.apply(dry.audio, SAMPLE_RATE), moved)


def _mixed(wet: Audio, noise: Audio, snr_db: float) -> NDArray[np.int16]:
    mix = Mix(snr_db).apply(wet, SAMPLE_RATE, noise)
    scaled = mix * np.float32(to_gain(LEVEL_DB) / active_rms(wet, SAMPLE_RATE))
    samples: NDArray[np.int16] = np.clip(np.rint(scaled * 32768), -32768, 32767).astype(np.int16)
    return samples

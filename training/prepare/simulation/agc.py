"""Automatic gain control: what phones and laptops do to levels before anybody sees a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.prepare.simulation.audio import Audio
from training.prepare.simulation.chance import Range

FRAME_SECONDS = 0.01
"""The level is looked at this often; between two looks the gain moves in a straight line."""
SILENCE_DB = -100.0
"""Digital silence counts as this loud."""


@dataclass(frozen=True)
class Agc:
    """A gain that moves the level towards a target, fast when it is too loud, slowly when it is too quiet."""

    target_db: float
    """RMS level it aims at, relative to full scale."""
    most_gain_db: float
    """It amplifies by no more than this, and attenuates by no more than this either."""
    attack_seconds: float
    """Time constant of falling gain."""
    release_seconds: float
    """Time constant of rising gain."""

    def apply(self, audio: Audio, sample_rate: int) -> Audio:
        """Return audio (n_samples,) after the control, which begins with a gain of 0 dB."""
        length = max(1, round(FRAME_SECONDS * sample_rate))
        n_frames = -(-len(audio) // length)
        padded = np.zeros(n_frames * length)
        padded[: len(audio)] = audio
        power = np.mean(padded.reshape(n_frames, length) ** 2, axis=1)
        levels_db = 10 * np.log10(np.maximum(power, 10 ** (SILENCE_DB / 10)))
        wanted_db = np.clip(self.target_db - levels_db, -self.most_gain_db, self.most_gain_db)
        attack, release = (1 - np.exp(-length / sample_rate / t) for t in (self.attack_seconds, self.release_seconds))
        gain_db, gains_db = 0.0, [0.0]
        for wanted in wanted_db.tolist():
            gain_db += (attack if wanted < gain_db else release) * (wanted - gain_db)
            gains_db.append(gain_db)
        octaves = np.asarray(gains_db, np.float32) / np.float32(20 * np.log10(2))
        part = np.arange(length, dtype=np.float32) / np.float32(length)
        moving = octaves[:-1, None] + np.diff(octaves)[:, None] * part
        return np.asarray(audio * np.exp2(moving).reshape(-1)[: len(audio)], np.float32)


@dataclass(frozen=True)
class AgcRange:
    """What a gain control is drawn from."""

    on: float = 0.3
    """Fraction of items with one: phones and laptops have it, bare microphones have not."""
    target_db: Range = Range(-30.0, -18.0)
    most_gain_db: Range = Range(6.0, 24.0)
    """Sound cards and voice engines offer up to 30 dB; all of it lifts the hiss to the level of speech."""
    attack_seconds: Range = Range(0.01, 0.1)
    release_seconds: Range = Range(0.3, 3.0)
    """Slow enough to hold through the pauses of speech, or fast enough to pump."""


def draw(rng: np.random.Generator, range_: AgcRange) -> Agc | None:
    """Return a gain control; None where the device has none."""
    is_on = rng.uniform() < range_.on
    agc = Agc(
        range_.target_db.draw(rng),
        range_.most_gain_db.draw(rng),
        range_.attack_seconds.draw(rng),
        range_.release_seconds.draw(rng),
    )
    return agc if is_on else None

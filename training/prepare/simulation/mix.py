"""Noise is added at a signal-to-noise ratio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.prepare.simulation.activity import active_rms
from training.prepare.simulation.audio import Audio, rms, to_gain
from training.prepare.simulation.chance import Range


@dataclass(frozen=True)
class Mix:
    """wet + alpha · noise."""

    snr_db: float
    """Power of the sound, where it sounds, over the power of the noise."""

    def alpha(self, wet: Audio, sample_rate: int, noise: Audio) -> float:
        """Return the factor of the noise; 1 where sound or noise is silent, as there is no ratio then.

        The sound's power is its mean over the active samples of the **wet** sound: silence around it counts for
        nothing, and reverberation, which the microphone hears too, counts. The noise's power is its mean over all
        of it: how loud a place is does not depend on when something happens there.
        """
        sound, unwanted = active_rms(wet, sample_rate), rms(noise)
        return sound / unwanted / to_gain(self.snr_db) if sound > 0 and unwanted > 0 else 1.0

    def apply(self, wet: Audio, sample_rate: int, noise: Audio) -> Audio:
        """Return the mix (n_samples,) of a sound and noise of the same length."""
        if len(wet) != len(noise):
            raise ValueError(f"{len(noise)} samples of noise for {len(wet)} of sound; expected as many")
        return np.asarray(wet + np.float32(self.alpha(wet, sample_rate, noise)) * noise, np.float32)


@dataclass(frozen=True)
class MixRange:
    """What an SNR is drawn from."""

    snr_db: Range = Range(-5.0, 20.0)
    """Below -5 dB most sounds are lost to people too; above 20 dB noise no longer changes a log-mel that matters."""
    clean: float = 0.1
    """Fraction of items without noise: a quiet room must stay inside of what was heard in training."""


def draw(rng: np.random.Generator, range_: MixRange) -> Mix | None:
    """Return a mix; None for a clean one."""
    is_clean = rng.uniform() < range_.clean
    mix = Mix(range_.snr_db.draw(rng))
    return None if is_clean else mix

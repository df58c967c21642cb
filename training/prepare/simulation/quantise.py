"""16 bits: what a capture agent sends to the daemon."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.capture.resample import from_pcm, to_pcm
from training.prepare.simulation.audio import Audio


@dataclass(frozen=True)
class Quantise:
    """Rounding to 16 bits and clipping at full scale, by the very code of the capture agent."""

    def apply(self, audio: Audio, sample_rate: int) -> Audio:
        """Return audio (n_samples,) in [-1, 1), in steps of 1/32768."""
        return from_pcm(to_pcm(audio))

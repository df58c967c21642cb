"""The newest audio of a take, so that a recording can begin before its event was known of."""

from __future__ import annotations

from collections import deque

import numpy as np

from streamd.recorder.messages import Heard, Pcm


class KeptAudio:
    """Audio of one take without a hole, from some sample on."""

    def __init__(self, first: Heard) -> None:
        """Prepare for the audio that begins with this message."""
        self.sample_rate = first.sample_rate
        self.first_sample = self.end_sample = first.first_sample
        """What is kept: [first_sample, end_sample)."""
        self._blocks: deque[Pcm] = deque()
        self._dated = first

    def push(self, heard: Heard, pcm: Pcm) -> None:
        """Add what follows at once; who has something else makes another KeptAudio."""
        self._dated = heard
        self._blocks.append(pcm)
        self.end_sample += len(pcm)

    def forget_before(self, sample: int) -> None:
        """Let go of whole blocks before a sample."""
        while self._blocks and self.first_sample + len(self._blocks[0]) <= sample:
            self.first_sample += len(self._blocks.popleft())

    def cut(self, first_sample: int, end_sample: int) -> Pcm:
        """Return what is kept of [first_sample, end_sample)."""
        begin = max(0, first_sample - self.first_sample)
        end = max(begin, end_sample - self.first_sample)
        return np.concatenate([np.zeros(0, np.int16), *self._blocks])[begin:end]

    def wall_seconds(self, sample: int) -> float:
        """Wall time of a sample, in seconds since 1970."""
        return self._dated.captured_at + (sample - self._dated.first_sample) / self.sample_rate

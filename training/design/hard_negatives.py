"""Hard negatives: the stretches of a stream without any of the sounds that a network found most like one.

False alarms come from the few sounds that are like the one wanted, and a stream of hours holds few of them. So each
training step hears some of the stream, and the worst of it is kept and heard again (Sung and Poggio 1998,
https://doi.org/10.1109/34.655648, call it bootstrapping). Nothing is played for this alone: what a training step
computes anyway tells how hard a stretch was.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class HardNegatives:
    """The hardest scenes heard so far: log-mel frames (n_frames, n_mels) and the highest posterior in each."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.frames: list[Tensor] = []
        self.hardness: list[float] = []

    def __len__(self) -> int:
        return len(self.frames)

    def draw(self, n: int, generator: torch.Generator) -> list[int]:
        """Return the places of n scenes, all different where there are so many, each as likely as any other."""
        if not self.frames:
            return []
        rounds = [torch.randperm(len(self.frames), generator=generator) for _ in range(-(-n // len(self.frames)))]
        return [int(place) for place in torch.cat(rounds)[:n]] if n else []

    def heard(self, places: list[int], hardness: list[float]) -> None:
        """Note how hard scenes are now, after they were drawn and heard again."""
        for place, value in zip(places, hardness, strict=True):
            self.hardness[place] = value

    def offer(self, frames: Tensor, hardness: float) -> None:
        """Keep a scene if there is room, or in place of the easiest if that is easier."""
        if len(self.frames) < self.capacity:
            self.frames.append(frames)
            self.hardness.append(hardness)
            return
        easiest = min(range(len(self.hardness)), key=self.hardness.__getitem__)
        if hardness > self.hardness[easiest]:
            self.frames[easiest], self.hardness[easiest] = frames, hardness

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"frames": self.frames, "hardness": self.hardness}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what a checkpoint kept."""
        self.frames, self.hardness = list(state["frames"]), list(state["hardness"])

"""Where chance comes from: a generator of its own for each stage of each item."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Range:
    """Values from `low` to `high`, each as likely as any other."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"a range from {self.low} to {self.high} is empty; expected low ≤ high")

    def draw(self, rng: np.random.Generator) -> float:
        """Return one value."""
        return float(rng.uniform(self.low, self.high))


def generator(seed: int, item: str, stage: str) -> np.random.Generator:
    """Return the generator that draws one stage of one item; the same arguments, the same draws.

    A stage draws from nobody else's generator: with one stage left out or changed all others draw what they drew,
    so that what a stage is worth can be measured on pairs of items that differ in nothing else.
    """
    digest = hashlib.sha256(f"{seed}\0{item}\0{stage}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def draw_seed(rng: np.random.Generator) -> int:
    """Return the seed of a waveform of noise, the one drawn value that is no number of physics."""
    return int(rng.integers(2**32))

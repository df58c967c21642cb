"""Where augmentation gets its chance from."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np


def generators(seeds: Sequence[int], effect: str) -> list[np.random.Generator]:
    """Return a generator for every item; effects that share an item's seed (≥ 0) draw apart from each other."""
    return [np.random.default_rng([seed, zlib.crc32(effect.encode())]) for seed in seeds]

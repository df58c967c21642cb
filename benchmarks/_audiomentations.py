"""The other side of simulate.py: runs in a venv of its own, as audiomentations asks for another soxr than streamd.

    python _audiomentations.py FOLDER      # with dry.npy, rooms/*.wav, backgrounds/*.wav, all at 16 kHz

Each line on stdin is a number of scenes; the answer is the CPU time that one took, in seconds.
"""

from __future__ import annotations

import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

SAMPLE_RATE = 16_000


def chain(folder: Path) -> Any:
    """Return the chain of simulate.py in its parts."""
    import audiomentations as a  # type: ignore[import-not-found, unused-ignore]

    return a.Compose(
        [
            a.Gain(min_gain_db=-6, max_gain_db=6, p=1.0),
            a.ApplyImpulseResponse(str(folder / "rooms"), p=1.0, leave_length_unchanged=True, lru_cache_size=128),
            a.AddBackgroundNoise(str(folder / "backgrounds"), -5, 20, p=1.0),
            a.Normalize(p=1.0),
            a.BandPassFilter(p=1.0),
            a.AddGaussianNoise(0.0001, 0.001, p=1.0),
            a.Clip(-0.7, 0.7, p=1.0),
            a.BitCrush(16, 16, p=1.0),
        ]
    )


def main() -> None:
    """Answer until there is nothing more."""
    import numpy as np

    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1])
    scenes = np.load(folder / "dry.npy")
    augment = chain(folder)
    n_made = 0
    print(version("audiomentations"), flush=True)
    for line in sys.stdin:
        n_scenes = int(line)
        start = time.process_time()
        for _ in range(n_scenes):
            augment(samples=scenes[n_made % len(scenes)], sample_rate=SAMPLE_RATE)
            n_made += 1
        print((time.process_time() - start) / n_scenes, flush=True)


if __name__ == "__main__":
    main()

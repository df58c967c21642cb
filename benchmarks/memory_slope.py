"""Claim: a detector that hears for ever needs no more memory: a million hops of many sources leave it where it was.

A tiny model stands in for a network, so that a million hops take a minute or two; every label sounds now and then.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import _harness as harness
import numpy as np
from numpy.typing import NDArray

from streamd.detector import Detector
from streamd.model import Model
from tests import tiny_models

N_SOURCES = 64
N_HOPS = 1_000_000
N_PARTS = 20
"""Memory is read after each of them; the first two are warm-up."""
N_WARM = 2
N_GAPS = 50
"""In each part: a source loses audio, leaves, and another one joins."""
PAGE_BYTES = 4096


def resident_bytes() -> int:
    """Return the memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def sounds() -> NDArray[np.int16]:
    """Return a minute in which each label sounds for a while, in noise."""
    noise = np.random.default_rng(0).normal(0, 50, 60 * tiny_models.SAMPLE_RATE)
    for i, label in enumerate(list(tiny_models.TONES) * 4):
        begin = (2 + 4 * i) * tiny_models.SAMPLE_RATE
        noise[begin : begin + tiny_models.SAMPLE_RATE] += 20_000 * tiny_models.tone(tiny_models.SAMPLE_RATE, label)
    return noise.astype(np.int16)


def hear(detector: Detector, audio: NDArray[np.int16], names: list[str], n_hops: int) -> int:
    """Hear so many hops, sources in turn, each elsewhere in the audio; return how many onsets and offsets came."""
    n_samples = detector.model.manifest.hop_samples
    n_places = len(audio) // n_samples
    n_found = 0
    n_turns = n_hops // len(names)
    for turn in range(n_turns):
        for i, name in enumerate(names):
            begin = (turn + i * 7) % n_places * n_samples
            detector.push(name, audio[begin : begin + n_samples])
        n_found += sum(len(hop.detections) for hop in detector.step())
        if turn % (n_turns // N_GAPS) == 0:
            n_found += len(detector.gap(names[turn % len(names)], n_samples))
            gone = names.pop(0)
            n_found += len(detector.leave(gone))
            names.append(gone)
            detector.start(gone)
    return n_found


def main() -> None:
    """Measure in one process."""
    with tempfile.TemporaryDirectory() as folder:
        model = Model(tiny_models.build(Path(folder), "stream", "log_mel"), "cpu")
        detector, audio = Detector(model), sounds()
        names = [f"source-{i}" for i in range(N_SOURCES)]
        for name in names:
            detector.start(name)
        memory, n_found = [], 0
        for _ in range(N_PARTS):
            n_found += hear(detector, audio, names, N_HOPS // N_PARTS)
            memory.append(resident_bytes())
    counted = np.array(memory[N_WARM:])
    hops = np.arange(len(counted)) * N_HOPS / N_PARTS
    slope, begin = np.polyfit(hops, counted, 1)
    rest = counted - (slope * hops + begin)
    # The standard error of a fitted slope; three of them are noise.
    error = float(np.sqrt((rest**2).sum() / (len(hops) - 2) / ((hops - hops.mean()) ** 2).sum()))
    per_million = float(slope) * 1e6 / 1e3
    noise = max(3 * error * 1e6 / 1e3, PAGE_BYTES * 16 / 1e3)
    figures = [
        harness.Figure(
            "memory slope of a detector, a million hops",
            per_million,
            per_million - noise,
            per_million + noise,
            "kB",
            f"≤ {noise:.0f}",
        )
    ]
    table = [
        {
            "hops": round((i + 1) * N_HOPS / N_PARTS),
            "resident memory, MB": round(value / 1e6, 2),
        }
        for i, value in enumerate(memory)
        if i % 4 == 3 or i < N_WARM
    ]
    how = f"""{N_SOURCES} sources with the tiny stream model of the tests, {N_HOPS:,} hops in all (ten minutes of each
        source), {n_found:,} onsets and offsets, gaps and sources that leave and join among them. Resident memory is
        read {N_PARTS} times; the slope is that of a straight line through all but the first {N_WARM}, in kB (10^3
        bytes) per million hops. Noise is three standard errors of that slope, and at least 16 pages, which an allocator
        takes at once: the limit that is shown as the goal. The median was {statistics.median(memory) / 1e6:.1f} MB."""
    harness.save(__file__, how, figures, table)


if __name__ == "__main__":
    main()

"""Claim: looking after a signal costs next to nothing, finds every fault made for it, and takes nothing real for one.

    python benchmarks/signals.py [FOLDER …]

Each FOLDER has a folder for every set of recordings: Debian packages, unpacked by `dpkg-deb -x`. Left out: those that
the examples unpack. A set is one source that plays for hours, in the order of its names; the level that is usual is
that of all of them in a row, since it takes a day to know it.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import _harness as harness
import numpy as np
from numpy.typing import NDArray

from streamd.capture.recording import RecordingReader
from streamd.capture.resample import Resampler
from streamd.detector import Detector
from streamd.errors import RecordingError
from streamd.model import Model
from streamd.shipped import model_file
from streamd.signals import Signal

RATE = 16_000
HOP = 2_048
"""Samples of a hop of the speech model, 128 ms."""
N_SOURCES = 16
FOLDERS = [harness.ROOT / "examples-data" / name for name in ("speech/unpacked", "packages/unpacked")]
SUFFIXES = {".wav", ".flac", ".ogg", ".mp3"}
Pcm = NDArray[np.int16]
Heard = tuple[Pcm, tuple[int, ...]]
"""A block, and the dead channels that its agent would name."""


@dataclass
class Played:
    """What was said while something played."""

    seconds: float = 0.0
    n_recordings: int = 0
    alarms: Counter[str] = field(default_factory=Counter)
    first_after: dict[str, float] = field(default_factory=dict)

    def play(self, blocks: Iterator[Heard], signal: Signal) -> None:
        """Play blocks, and count problems as they begin."""
        for pcm, dead in blocks:
            was = signal.problems
            self.seconds += len(pcm) / RATE
            if signal.hear(pcm, dead):
                for problem in set(signal.problems) - set(was):
                    self.alarms[problem] += 1
                    self.first_after.setdefault(problem, self.seconds)


def read(file: Path) -> Iterator[Heard]:
    """Yield a recording in blocks, as an agent sends them; one that is damaged ends where it is."""
    try:
        reader = RecordingReader(str(file))
    except RecordingError:
        return
    resampler = Resampler(reader.sample_rate, RATE)
    rest = np.zeros(0, np.int16)
    try:
        while len(samples := reader.read(reader.sample_rate // 2)):
            rest = np.concatenate([rest, resampler.push(samples)])
            whole = len(rest) // HOP * HOP
            for begin in range(0, whole, HOP):
                yield rest[begin : begin + HOP], reader.dead_channels
            rest = rest[whole:]
    except RecordingError:
        return
    finally:
        reader.close()


def decoded(file: Path) -> list[Heard]:
    """Return a recording in blocks."""
    return list(read(file))


def rooms() -> dict[str, Callable[[np.random.Generator, int], NDArray[np.floating]]]:
    """Return made sounds without a fault: each a function of chance and a number of samples."""

    def noise(level_db: float) -> Callable[[np.random.Generator, int], NDArray[np.floating]]:
        return lambda chance, n: 10 ** (level_db / 20) * chance.standard_normal(n)

    def brown(chance: np.random.Generator, n: int) -> NDArray[np.floating]:
        spectrum = np.fft.rfft(chance.standard_normal(n)) / np.maximum(1, np.arange(n // 2 + 1))
        audio = np.fft.irfft(spectrum, n)
        return np.asarray(0.1 * audio / np.abs(audio).max())

    def clicks(chance: np.random.Generator, n: int) -> NDArray[np.floating]:
        return 1e-4 * chance.standard_normal(n) + 0.9 * (chance.random(n) < 1 / (10 * RATE))

    def hum(chance: np.random.Generator, n: int) -> NDArray[np.floating]:
        return 0.2 * np.sin(2 * np.pi * 50 * np.arange(n) / RATE) + 1e-4 * chance.standard_normal(n)

    def tone(_: np.random.Generator, n: int) -> NDArray[np.floating]:
        return 0.9 * np.sin(2 * np.pi * 440 * np.arange(n) / RATE)

    quiet = {f"noise of {level} dB": noise(level) for level in (-84, -75, -60, -45, -30, -15)}
    return {
        **quiet,
        "brown noise": brown,
        "clicks in noise of -80 dB": clicks,
        "hum of 50 Hz": hum,
        "a loud tone": tone,
    }


def faults() -> dict[str, Callable[[np.random.Generator, int], NDArray[np.floating]]]:
    """Return what is made to be noticed."""
    return {
        "silent": lambda _, n: np.zeros(n),
        "stuck": lambda _, n: np.full(n, 0.1),
        "dc": lambda chance, n: 0.2 + 1e-3 * chance.standard_normal(n),
        "clipping": lambda _, n: np.clip(4 * np.sin(2 * np.pi * 180 * np.arange(n) / RATE), -1, 1),
    }


def made(make: Callable[[np.random.Generator, int], NDArray[np.floating]], seconds: int) -> Iterator[Heard]:
    """Yield a made sound in blocks."""
    audio = make(np.random.default_rng(0), seconds * RATE)
    pcm = np.clip(np.rint(32768 * audio), -32768, 32767).astype(np.int16)
    for begin in range(0, len(pcm) - HOP, HOP):
        yield pcm[begin : begin + HOP], ()


def cost() -> tuple[list[float], list[float]]:
    """Return what looking takes in percent of hearing a hop, hot and paced, by round."""
    model = Model(model_file("speech"), "cpu")
    blocks = (1_000 * np.random.default_rng(0).standard_normal((N_SOURCES, HOP))).astype(np.int16)

    def hearing(n: int) -> harness.Work:
        detector = Detector(model)
        for i in range(n):
            detector.start(str(i))

        def work() -> None:
            for i in range(n):
                detector.push(str(i), blocks[i])
            for _ in detector.step():
                pass

        return work

    def looking(n: int) -> harness.Work:
        signals = [Signal() for _ in range(n)]
        for signal in signals:
            signal.begin(RATE)

        def work() -> None:
            for i, signal in enumerate(signals):
                signal.hear(blocks[i])

        return work

    hot = harness.alternate({"hear": hearing(N_SOURCES), "look": looking(N_SOURCES)})
    paced = paced_cost(hearing(1), looking(1))
    return [100 * share for share in harness.ratios(hot["look"], hot["hear"])], paced


def paced_cost(hear: harness.Work, look: harness.Work, n_rounds: int = 8, n_wakes: int = 160) -> list[float]:
    """Return what looking adds, in percent of hearing, by round: before every other hop, in turn with one without.

    In turn, since from one round to the next the machine changes by ten times what is looked for.
    """
    found = []
    for _ in range(n_rounds):
        spent = [0.0, 0.0]
        due = time.monotonic()
        for wake in range(n_wakes):
            due += HOP / RATE
            time.sleep(max(0.0, due - time.monotonic()))
            begin = time.process_time()
            if looks := wake % 2:
                look()
            hear()
            spent[looks] += time.process_time() - begin
        found.append(100 * (spent[1] / spent[0] - 1))
    return found


def main() -> None:
    """Measure the cost, play all there is, and print what was said."""
    folders = [Path(name) for name in sys.argv[1:]] or FOLDERS
    hot, slow = cost()
    all_real, in_a_row, real = Signal(), Played(), dict[str, Played]()
    all_real.begin(RATE)
    decoders = ProcessPoolExecutor()
    for package in sorted((each for folder in folders if folder.is_dir() for each in folder.iterdir()), key=str):
        played = real[package.name] = Played()
        signal = Signal()
        signal.begin(RATE)
        files = sorted(file for file in package.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        for blocks in decoders.map(decoded, files, chunksize=4):
            played.n_recordings += bool(blocks)
            played.play(iter(blocks), signal)
            in_a_row.play(((pcm, ()) for pcm, _ in blocks), all_real)
        print(f"{package.name}: {played.seconds / 3600:.2f} h, alarms: {dict(played.alarms) or 'none'}", flush=True)
    quiet = {name: Played() for name in rooms()}
    for name, make in rooms().items():
        signal = Signal()
        signal.begin(RATE)
        quiet[name].play(made(make, 1_800), signal)
    told = {}
    for problem, make in faults().items():
        signal, one = Signal(), Played()
        signal.begin(RATE)
        one.play(made(make, 900), signal)
        told[problem] = one.first_after[problem]
    hours = sum(one.seconds for one in real.values()) / 3600
    n_alarms = sum(sum(one.alarms.values()) for one in real.values())
    judged = max(0.0, in_a_row.seconds / 3600 - 24)
    figures = [
        harness.Figure.of("signal health: CPU beside that of hearing a hop, hot", hot, "%", "≤ 2"),
        harness.Figure.of("signal health: CPU beside that of hearing a hop, paced", slow, "%", "≤ 2"),
        harness.Figure.of("signal health: real recordings played", [hours], "hours"),
        harness.Figure.of("signal health: alarms in them", [float(n_alarms)], "alarms", "≤ 0"),
        harness.Figure.of("signal health: real recordings whose level was judged", [judged], "hours"),
        harness.Figure.of("signal health: alarms for their level", [float(in_a_row.alarms["level"])], "alarms"),
        harness.Figure.of(
            "signal health: alarms in made sounds without a fault",
            [float(sum(sum(one.alarms.values()) for one in quiet.values()))],
            "alarms",
            "≤ 0",
        ),
    ]
    table = [
        {
            "played": name,
            "kind": kind,
            "recordings": one.n_recordings or "",
            "hours": f"{one.seconds / 3600:.2f}",
            "alarms": ", ".join(f"{problem} {n}" for problem, n in one.alarms.items()) or "none",
        }
        for kind, some in (("real", real), ("made, no fault", quiet))
        for name, one in some.items()
    ]
    table += [
        {"played": problem, "kind": "made, a fault", "recordings": "", "hours": "", "alarms": f"after {seconds:.0f} s"}
        for problem, seconds in told.items()
    ]
    how = f"""Cost: looking at a source's block, against hearing that hop with the speech model (detector with log-mel
        and network, nothing else of a daemon), {N_SOURCES} sources in a batch hot; paced, one source, every
        other hop with it. Recordings: each package is one source that plays all its recordings in a row; which level
        is usual is asked of all packages in a row, of which {judged:.1f} hours come after the first day and are judged;
        recordings that follow each other are no room, so no goal is set for that. Made sounds are counted apart: noise
        as quiet as 16 bits have it, hum, clicks, a tone, half an hour each; and the faults themselves, with how long it
        takes until they are told. A dead channel
        needs channels: tests/capture/test_channels.py makes one."""
    harness.save(__file__, how, figures, table)


if __name__ == "__main__":
    main()

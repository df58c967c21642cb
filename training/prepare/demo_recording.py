"""Makes the recording of `streamd demo`, its label list and its list of sources.

    python -m training.prepare.demo_recording CACHE

Two sounds are real and in the public domain, out of a Debian package (fetched into the folder CACHE,
unpacked, never installed); the others are made by demo_sounds.py. Under all of it lies the faint
noise of a room, so that what is quiet is not digital silence.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from streamd import shipped
from training.prepare import demo_sounds as sounds
from training.prepare.demo_sounds import SAMPLE_RATE, Samples
from training.prepare.negatives import Package, decode, fetch

FIRST_SECONDS = 3.0
"""Quiet at the beginning: a subscriber has time to come."""
PAUSE_SECONDS = 2.5
"""Quiet between two sounds; longer than the model's window."""
LAST_SECONDS = 1.5
FADED = 0.03
"""A sound is over, in the label list, once it stays below this part of its peak."""
QUIET_DB = -62.0
"""Level of the room's noise, in dB relative to full scale."""

PACKAGE = Package("sonic-pi-samples", "music", "CC0-1.0", ("**/samples/*.flac",))


@dataclass(frozen=True)
class Real:
    """A recording of somebody else's."""

    file: str
    author: str
    url: str
    sha256: str


CROW = Real(
    "misc_crow.flac",
    "davidworksonline, 2008",
    "http://freesound.org/people/davidworksonline/sounds/54973/",
    "007e6ce77f6f187c76e1255702fdf5852f60a0edc1307e177d3219343abf7a28",
)
GUITAR = Real(
    "guit_em9.flac",
    "Sub-d, 2008",
    "http://www.freesound.org/people/Sub-d/sounds/46992/",
    "e6dbbdc5aef03fada9cbd84d9ef000472c6954db9badcf5721969c515d46c2f1",
)


@dataclass(frozen=True)
class Sound:
    """One sound of the recording."""

    label: str
    """What the default model calls it."""
    what: str
    """What it is, for people."""
    samples: Samples
    peak: float
    """Its loudest sample, as a part of full scale."""
    origin: Real | str
    """Where it comes from, or the function of demo_sounds.py that made it."""


def choose(cache: Path) -> list[Sound]:
    """Return the sounds in an order in which none prolongs the event of the one before."""
    crow = np.concatenate([_real(CROW, cache), sounds.silence(0.35)])
    # Its very beginning, alone in a window, comes close to speech.
    guitar = sounds.faded(_real(GUITAR, cache)[SAMPLE_RATE // 2 :][: 6 * SAMPLE_RATE], 0.05, 1.0)
    return [
        Sound("Knock", "somebody knocks", sounds.knocking(5), 0.7, "knocking"),
        Sound("Doorbell", "the doorbell rings", sounds.doorbell(), 0.4, "doorbell"),
        Sound("Baby cry, infant cry", "a baby cries", sounds.crying_baby(4), 0.4, "crying_baby"),
        Sound("Crow", "a crow caws at the window", np.tile(crow, 3), 0.4, CROW),
        Sound("Vehicle horn, car horn, honking", "a car honks", sounds.car_horn(), 0.4, "car_horn"),
        Sound("Smoke detector, smoke alarm", "a smoke alarm goes off", sounds.smoke_alarm(2), 0.25, "smoke_alarm"),
        Sound("Telephone", "an old telephone rings", sounds.telephone(2), 0.4, "telephone"),
        Sound("Music", "a guitar plays", guitar, 0.4, GUITAR),
    ]


def compose(parts: Sequence[Sound]) -> tuple[NDArray[np.int16], list[tuple[float, float]]]:
    """Return the recording (n_samples,) and the (onset, offset) of every sound in seconds."""
    begins, at = [], round(FIRST_SECONDS * SAMPLE_RATE)
    for part in parts:
        begins.append(at)
        at += len(part.samples) + round(PAUSE_SECONDS * SAMPLE_RATE)
    mix = _room_noise(at + round((LAST_SECONDS - PAUSE_SECONDS) * SAMPLE_RATE))
    for begin, part in zip(begins, parts, strict=True):
        mix[begin : begin + len(part.samples)] += part.peak * part.samples / np.abs(part.samples).max()
    times = [
        (begin / SAMPLE_RATE, (begin + _length(part.samples)) / SAMPLE_RATE)
        for begin, part in zip(begins, parts, strict=True)
    ]
    return np.round(mix * 32767).astype(np.int16), times


def write(folder: Path, cache: Path) -> None:
    """Write demo.flac, demo.tsv and SOURCES.md to a folder."""
    parts = choose(cache)
    samples, times = compose(parts)
    recording = folder / "demo.flac"
    soundfile.write(recording, samples, SAMPLE_RATE, subtype="PCM_16", compression_level=1.0)
    rows = [f"{on:.2f}\t{off:.2f}\t{part.label}\t{part.what}" for (on, off), part in zip(times, parts, strict=True)]
    (folder / "demo.tsv").write_text("\n".join(["onset\toffset\tlabel\tsound", *rows, ""]))
    (folder / "SOURCES.md").write_text(sources(parts, hashlib.sha256(recording.read_bytes()).hexdigest(), cache))


def sources(parts: Sequence[Sound], sha256: str, cache: Path) -> str:
    """Return the page that says where every sound comes from."""
    deb = fetch(PACKAGE, cache)
    lines = [
        "# Sources of the demo recording",
        "",
        f"`demo.flac` (SHA-256 `{sha256}`) is made by `python -m training.prepare.demo_recording`.",
        (
            f"Two sounds are recordings from the Debian package `{deb.stem}` "
            f"(SHA-256 `{hashlib.sha256(deb.read_bytes()).hexdigest()}`), folder `usr/share/sonic-pi/samples`; "
            "resampled, cut and repeated here. All others, and the faint noise of the room, are made from sines "
            "and random numbers by `training/prepare/demo_sounds.py`."
        ),
        "",
        "| sound | source | author | licence | SHA-256 of the source |",
        "|---|---|---|---|---|",
    ]
    for part in parts:
        if isinstance(part.origin, Real):
            real = part.origin
            cells = part.what, f"`{real.file}`, {real.url}", real.author, PACKAGE.licence, f"`{real.sha256}`"
        else:
            cells = part.what, f"`demo_sounds.{part.origin}`", "the streamd maintainers", "Apache-2.0", "made here"
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _real(real: Real, cache: Path) -> Samples:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "-x", fetch(PACKAGE, cache), folder], check=True)
        file = next(Path(folder).rglob(real.file))
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if found != real.sha256:
            raise ValueError(f"{real.file}: SHA-256 {found}; expected {real.sha256}: listen to it, then write it here")
        return decode(file).astype(np.float64)


def _length(samples: Samples) -> int:
    return int(np.flatnonzero(np.abs(samples) >= FADED * np.abs(samples).max())[-1]) + 1


def _room_noise(n_samples: int) -> Samples:
    """Return pink noise, rolled off below 60 Hz, at QUIET_DB."""
    white = np.random.default_rng(0).standard_normal(n_samples)
    hz = np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE)
    pink: Samples = np.fft.irfft(np.fft.rfft(white) / np.sqrt(np.maximum(hz, 60.0)), n_samples)
    pink *= 10 ** (QUIET_DB / 20) / pink.std()
    return pink


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m training.prepare.demo_recording CACHE")
    write(shipped.demo_file(""), Path(sys.argv[1]))

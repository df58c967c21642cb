"""Hours of audio in which most labels are absent: what false alarms are counted on.

Music and speech come from Debian packages (fetched, unpacked, never installed), the rest is made here:
digital silence, faint quantised noise, hum, clicks, coloured noise. It is split by file into two halves, one
to choose decisions on and one to check them on; further packages were fetched after the decisions had been
chosen, and are only counted on, whole. The audio stays in a folder of the user; nothing of it goes into a model
or into this repository, which only keeps counts and checksums.
"""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from streamd.errors import RecordingError

SAMPLE_RATE = 16_000

PAUSE_SECONDS = 0.5
"""Digital silence between two recordings of one stream."""

Kind = Literal["music", "speech", "made"]
Half = Literal["choose", "check"]
HALVES: tuple[Half, Half] = ("choose", "check")
Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Package:
    """Recordings of one Debian package."""

    name: str
    kind: Kind
    licence: str
    """As the package's copyright file gives it for these recordings."""
    recordings: tuple[str, ...]
    """Patterns of the files to use, below the package's root."""
    without: tuple[str, ...] = ()
    """Beginnings of file names that hold something else: beeps, effects."""
    archive: str = ""
    """A zip below the package's root that the recordings are in."""


PACKAGES = (
    Package("wesnoth-1.16-music", "music", "GPL-2+", ("**/music/*.ogg",)),
    Package("supertux-data", "music", "GPL-2+", ("**/music/**/*.ogg",)),
    Package("hedgewars-data", "music", "GPL-2", ("**/Data/Music/*.ogg",)),
    Package("colobot-common-sounds", "music", "GPL-3+", ("**/music/*.ogg",)),
    Package("warmux-data", "music", "GPL-2+", ("**/music/**/*.ogg",)),
    Package("lincity-ng-data", "music", "GPL-2 or CC-BY-SA-2.0", ("**/music/**/*.ogg",)),
    Package("asterisk-moh-opsound-wav", "music", "CC-BY-SA-3.0", ("**/moh/*.wav",)),
    # File names with _desc are spoken descriptions; the others are the sounds of the pictures.
    Package("tuxpaint-stamps-default", "speech", "GPL-2", ("**/*_desc*.ogg",)),
    Package("klettres-data", "speech", "GPL-2+", ("**/*.ogg", "**/*.wav")),
    Package("ktuberling-data", "speech", "GPL-2+", ("**/*.ogg", "**/*.wav")),
    *(
        Package(
            f"asterisk-core-sounds-{language}-wav",
            "speech",
            "CC-BY-SA-3.0",
            ("**/sounds/**/*.wav",),
            ("beep", "ascending", "descending", "tt-monkeys", "tt-weasels"),
        )
        for language in ("en", "es", "fr")
    ),
    Package("fillets-ng-data-cs", "speech", "GPL-2", ("**/cs/*.ogg",)),
)
"""Half of each chose the decisions; the other half checks them."""

NAEV = Package("naev-data", "music", "GPL-2+, GPL-3, CC-BY-3.0 and CC-BY-SA-3.0", ("**/snd/music/*.ogg",))
ZERO_AD = Package(
    "0ad-data",
    "music",
    "CC-BY-SA-3.0",
    ("**/audio/music/*.ogg",),
    archive="usr/share/games/0ad/mods/public/public.zip",
)
UFOAI = Package(
    "ufoai-music", "music", "GPL-2+ and CC-BY-3.0", ("**/music/*.ogg",), archive="usr/share/games/ufoai/base/0music.pk3"
)
FREEDROID = Package("freedroidrpg-data", "music", "GPL-2+", ("**/sound/music/*.ogg",))
MEGAGLEST = Package("megaglest-data", "music", "CC-BY-SA-3.0", ("**/music/*.ogg",))
FREEORION = Package("freeorion-data", "music", "CC-BY-SA-3.0", ("**/sound/artificial_intelligence_v3.ogg",))
WIDELANDS = Package("widelands-data", "music", "GPL-2+ and CC-BY-SA-3.0", ("**/data/music/**/*.ogg",))
UNKNOWN_HORIZONS = Package("unknown-horizons", "music", "CC-BY-SA-3.0", ("**/audio/music/*.ogg",))
ASC = Package("asc-music", "music", "GPL-2+", ("**/music/*.mp3",))
HYPERROGUE = Package("hyperrogue-music", "music", "CC-BY-SA-3.0", ("**/music/*.ogg",))
FLARE = Package("flare-game", "music", "CC-BY-SA-3.0", ("**/music/*.ogg",))
SINGULARITY = Package("singularity-music", "music", "CC-BY-SA-3.0", ("**/music/*.ogg",))
GCIN = Package("gcin-voice", "speech", "GPL-3 or LGPL-3", ("**/ogg/*/3.ogg",))

COUNTED = (
    NAEV,
    ZERO_AD,
    UFOAI,
    FREEDROID,
    MEGAGLEST,
    FREEORION,
    WIDELANDS,
    UNKNOWN_HORIZONS,
    ASC,
    HYPERROGUE,
    FLARE,
    SINGULARITY,
    Package("fillets-ng-data-nl", "speech", "GPL-2", ("**/nl/*.ogg",)),
    GCIN,
)
"""Nothing was chosen on any of it: counted on whole."""


@dataclass(frozen=True)
class Stream:
    """One half of a package, or one made sound: all its audio in a row."""

    name: str
    kind: Kind
    half: Half
    path: Path
    """A .npy file of int16 samples at 16 kHz."""

    def samples(self) -> Samples:
        """Return the audio (n_samples,), mapped from the file."""
        array: Samples = np.load(self.path, mmap_mode="r")
        return array

    def recorded_hours(self) -> float:
        """Return the hours without digital silence of PAUSE_SECONDS and more: pauses between recordings are made."""
        samples = self.samples()
        silent = np.zeros(len(samples) + 2, np.bool_)
        silent[1:-1] = samples == 0
        edges = np.flatnonzero(silent[1:] != silent[:-1])
        runs = edges[1::2] - edges[::2]
        n_silent = int(runs[runs >= PAUSE_SECONDS * SAMPLE_RATE].sum())
        return (len(samples) - n_silent) / SAMPLE_RATE / 3600


@dataclass(frozen=True)
class Origin:
    """Where streams of one name came from: a line for the card."""

    name: str
    kind: Kind
    licence: str
    version: str
    sha256: str
    """Of the package's file; empty where the sound is made here."""


def fetch(package: Package, cache: Path) -> Path:
    """Download a Debian package, once, and return its .deb file."""
    folder = cache / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.glob(f"{package.name}_*.deb")):
        subprocess.run(["apt-get", "download", "-q", package.name], cwd=folder, check=True)
    return next(folder.glob(f"{package.name}_*.deb"))


def unpack(package: Package, cache: Path) -> Path:
    """Download and unpack a Debian package, once, and return the folder that has its files; nothing is installed."""
    root = cache / "unpacked" / package.name
    if not root.exists():
        # Under another name first: an unpacking that was cut short must not pass for a whole one.
        part = root.with_name(f"{package.name}.part")
        part.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-x", fetch(package, cache), part], check=True)
        if package.archive:
            _take_recordings(package, part)
        part.rename(root)
    return root


def _take_recordings(package: Package, root: Path) -> None:
    """Put the recordings of a package's archive beside it, and remove it: it may hold gigabytes of pictures."""
    archive = root / package.archive
    with zipfile.ZipFile(archive) as members:
        for name in members.namelist():
            # Here a star takes slashes too, so a few more may be unpacked than the patterns find later.
            if any(fnmatch(name, pattern.replace("**/", "*")) for pattern in package.recordings):
                members.extract(name, archive.parent)
    archive.unlink()


def prepare(cache: Path) -> list[Stream]:
    """Return all streams, made on the first call and read from the cache later; what is only counted on is `check`."""
    streams: list[Stream] = []
    for package in PACKAGES:
        streams += _prepared(package.name, package.kind, cache, partial(_halves, package, cache))
    for package in COUNTED:
        streams += _prepared(package.name, package.kind, cache, partial(_whole, package, cache), ("check",))
    for name, make in MADE.items():
        streams += _prepared(name, "made", cache, partial(_made, make))
    return streams


def origins(cache: Path) -> list[Origin]:
    """Return name, licence, version and checksum of everything that the streams are made of."""
    found = []
    for package in (*PACKAGES, *COUNTED):
        deb = fetch(package, cache)
        with deb.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        version = deb.name.split("_")[1].replace("%3a", ":")
        found.append(Origin(package.name, package.kind, package.licence, version, digest))
    return found + [Origin(name, "made", "made here", "", "") for name in MADE]


def decode(path: Path) -> Samples:
    """Return a recording as int16 mono at 16 kHz (n_samples,); RecordingError if it is none."""
    try:
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise RecordingError(f"{path}: {error.error_string} expected WAV, FLAC, OGG or MP3") from error
    mono = soxr.resample(samples.mean(axis=1), sample_rate, SAMPLE_RATE)
    return _quantised(mono * 32768)


def _prepared(
    name: str, kind: Kind, cache: Path, make: Callable[[], dict[Half, Samples]], halves: Sequence[Half] = HALVES
) -> Iterator[Stream]:
    folder = cache / "streams"
    folder.mkdir(parents=True, exist_ok=True)
    paths = {half: folder / f"{name}-{half}.npy" for half in halves}
    if not all(path.exists() for path in paths.values()):
        for half, samples in make().items():
            np.save(paths[half], samples)
    for half, path in paths.items():
        yield Stream(name, kind, half, path)


def _halves(package: Package, cache: Path) -> dict[Half, Samples]:
    """Return each half of a package's recordings, one after the other with a pause between.

    In the order of their checksums each goes to the half that is shorter so far.
    """
    parts: dict[Half, list[Samples]] = {half: [] for half in HALVES}
    lengths = dict.fromkeys(HALVES, 0)
    for samples in _recordings(package, cache):
        half = min(HALVES, key=lambda h: lengths[h])
        lengths[half] += len(samples)
        parts[half] += [samples, _PAUSE]
    return {half: np.concatenate(parts[half]) for half in HALVES}


def _whole(package: Package, cache: Path) -> dict[Half, Samples]:
    """Return all of a package's recordings, one after the other with a pause between."""
    return {"check": np.concatenate([part for one in _recordings(package, cache) for part in (one, _PAUSE)])}


def _recordings(package: Package, cache: Path) -> Iterator[Samples]:
    """Yield the recordings of a package in the order of their checksums; files of equal content count once."""
    root = unpack(package, cache)
    found = {hashlib.sha256(p.read_bytes()).hexdigest(): p for g in package.recordings for p in sorted(root.glob(g))}
    for _, path in sorted(found.items()):
        if not (package.without and path.name.startswith(package.without)):
            yield decode(path)


_PAUSE: Samples = np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE), np.int16)


def _made(make: Callable[[Half], Samples]) -> dict[Half, Samples]:
    return {half: make(half) for half in HALVES}


def _quantised(values: NDArray[Any]) -> Samples:
    """Return values in units of the least significant bit, rounded and clipped to 16 bits."""
    samples: Samples = np.clip(np.rint(values), -32768, 32767).astype(np.int16)
    return samples


def _generator(name: str, half: Half) -> np.random.Generator:
    """Return a generator of its own for each sound and half: no sample is in both."""
    return np.random.default_rng(list(f"{name} {half}".encode()))


def _silence(_half: Half) -> Samples:
    return np.zeros(600 * SAMPLE_RATE, np.int16)


def _faint_noise(half: Half) -> Samples:
    """20 minutes in five parts: ±1, ±2, ±3 least significant bits, and rounded Gaussian noise far below and at one."""
    random = _generator("faint noise", half)
    n = 240 * SAMPLE_RATE
    parts: list[NDArray[Any]] = [random.integers(-peak, peak + 1, n) for peak in (1, 2, 3)]
    parts += [random.normal(0, deviation, n) for deviation in (0.3, 1.0)]
    return np.concatenate([_quantised(part) for part in parts])


def _coloured_noise(half: Half) -> Samples:
    """White, pink and brown noise at -70, -50, -30 and -15 dB, two minutes each."""
    random = _generator("coloured noise", half)
    n = 120 * SAMPLE_RATE
    hertz = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
    parts = []
    for exponent in (0.0, 0.5, 1.0):
        shape = np.maximum(hertz, 20.0) ** -exponent
        noise = np.fft.irfft(np.fft.rfft(random.normal(size=n)) * shape, n)
        noise /= np.sqrt(np.mean(noise**2))
        parts += [_quantised(noise * 32768 * 10 ** (db / 20)) for db in (-70, -50, -30, -15)]
    return np.concatenate(parts)


def _hum(half: Half) -> Samples:
    """Mains hum of 50 and 60 Hz with falling harmonics at -60, -40 and -20 dB over faint noise, four minutes each."""
    random = _generator("hum", half)
    time = np.arange(240 * SAMPLE_RATE) / SAMPLE_RATE
    parts = []
    for mains in (50.0, 60.0):
        phases = random.uniform(0, 2 * np.pi, 12)
        hum = sum(np.sin(2 * np.pi * mains * k * time + phases[k - 1]) / k for k in range(1, 13))
        hum /= np.sqrt(np.mean(hum**2))
        for db in (-60, -40, -20):
            parts.append(_quantised(hum * 32768 * 10 ** (db / 20) + random.normal(0, 1, len(time))))
    return np.concatenate(parts)


def _clicks(half: Half) -> Samples:
    """Single clicks at random times, about one in 2 s, 0.1 to 2 ms long, -40 to -3 dB, over faint noise: 20 minutes."""
    random = _generator("clicks", half)
    clicks = random.normal(0, 1, 1200 * SAMPLE_RATE)
    for start in random.integers(0, len(clicks) - 400, 600):
        decay = random.uniform(1e-4, 2e-3) * SAMPLE_RATE
        peak = 32768 * 10 ** (random.uniform(-40, -3) / 20)
        clicks[start : start + 400] += peak * np.exp(-np.arange(400) / decay) * random.choice([-1.0, 1.0])
    return _quantised(clicks)


MADE: dict[str, Callable[[Half], Samples]] = {
    "digital-silence": _silence,
    "faint-noise": _faint_noise,
    "coloured-noise": _coloured_noise,
    "hum": _hum,
    "clicks": _clicks,
}
"""Sounds that are made here, by name."""

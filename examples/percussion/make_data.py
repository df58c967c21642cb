"""Make examples-data/percussion: five classes of drum sounds out of eleven kits that Debian packages carry.

    .venv/bin/python examples/percussion/make_data.py [FOLDER]

Downloads four packages once (180 MB, into examples-data/packages; nothing is installed) and writes

    FOLDER/<label>/<source>-<name>.flac    mono, 16 bit, at the recording's own rate
    FOLDER/labels.csv                      path, label, source: the kit, which no split may cut
    FOLDER/origins.csv                     each package's version, SHA-256 and each kit's licence
    FOLDER-unseen/...                      the same of a kit that is in no training and no test: for replay_unseen.py

Needs apt-get and dpkg-deb, and the package lists that `apt-get update` fetches. The second run takes a second.
"""

from __future__ import annotations

import csv
import hashlib
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from streamd.errors import RecordingError
from training.prepare.audio import read_audio

EXAMPLES_DATA = Path(__file__).resolve().parents[2] / "examples-data"

KITS = "usr/share/hydrogen/data/drumkits"


@dataclass(frozen=True)
class Kit:
    """Where the sounds of one source lie."""

    source: str
    """No split cuts it: the same drums, microphones or synthesiser."""
    package: str
    folder: str
    """Below the package's root. With a drumkit.xml in it, that says what each file is; else its name does."""
    licence: str
    """As the package's copyright file gives it for these sounds."""


ALL_KITS = (
    Kit("audiophob", "hydrogen-drumkits", f"{KITS}/Audiophob", "CC0-1.0"),
    Kit("colombo", "hydrogen-drumkits", f"{KITS}/ColomboAcousticDrumkit", "GPL-2.0-or-later"),
    Kit("electric-empire", "hydrogen-drumkits", f"{KITS}/ElectricEmpireKit", "GPL-2.0-or-later"),
    Kit("forzee", "hydrogen-drumkits", f"{KITS}/ForzeeStereo", "GPL-2.0-only"),
    Kit("hard-electro", "hydrogen-drumkits", f"{KITS}/HardElectro1", "GPL-2.0-or-later"),
    # Three recordings of one and the same drums: one source.
    Kit("millo", "hydrogen-drumkits", f"{KITS}/Millo-Drums_v.1", "GPL-2.0-only"),
    Kit("millo", "hydrogen-drumkits", f"{KITS}/Millo_MultiLayered2", "GPL-2.0-only"),
    Kit("millo", "hydrogen-drumkits", f"{KITS}/Millo_MultiLayered3", "GPL-2.0-only"),
    Kit("rumpf", "hydrogen-drumkits", f"{KITS}/rumpf_kit_z01_h2", "CC-BY-3.0"),
    Kit("varibreaks", "hydrogen-drumkits", f"{KITS}/VariBreaks", "GPL-2.0-or-later"),
    Kit("tr808", "hydrogen-data", f"{KITS}/TR808EmulationKit", "GPL-2.0-or-later"),
    Kit("lmms", "lmms-common", "usr/share/lmms/samples/drums", "GPL-2.0-or-later"),
    Kit("sonic-pi", "sonic-pi-samples", "usr/share/sonic-pi/samples", "CC0-1.0"),
)

UNSEEN_KITS = (Kit("black-pearl", "hydrogen-drumkits", f"{KITS}/The Black Pearl 1.0", "GPL-2.0-only"),)

LABELS = (
    # Only a hi-hat can be closed or has a pedal: so Sonic Pi's "cymbals" of that name are hi-hats.
    ("hi-hat", r"\b(hi ?hat|hat|hh|chh|ohh|cymbal (closed|open|pedal))"),
    ("kick", r"\b(kick|bass ?drum|drum bass|bd)\b|kick"),
    ("snare", r"\b(sn|rim\w*|side ?stick\d*)\b|snare"),
    ("tom", r"\btom"),
    ("cymbal", r"\b(cymbal|crash|ride|splash|china)"),
)
"""Words that give a sound its label; the first line that fits holds. "Stick" alone may be two sticks: no label."""

SUFFIXES = {".wav", ".flac", ".ogg"}


def main() -> None:
    """Make the folder and tell what is in it."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else EXAMPLES_DATA / "percussion"
    if not (data / "labels.csv").exists():
        make(data, EXAMPLES_DATA / "packages")
    unseen = data.with_name(f"{data.name}-unseen")
    if not (unseen / "labels.csv").exists():
        make(unseen, EXAMPLES_DATA / "packages", UNSEEN_KITS)
    with (data / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels = sorted({row["label"] for row in rows})
    width = max(len(row["source"]) for row in rows)
    print(" " * width, *(f"{label:>8}" for label in labels))
    for source in sorted({row["source"] for row in rows}):
        counts = Counter(row["label"] for row in rows if row["source"] == source)
        print(f"{source:{width}}", *(f"{counts[label]:8}" for label in labels))
    totals = Counter(row["label"] for row in rows)
    print(f"{'all':{width}}", *(f"{totals[label]:8}" for label in labels))
    print(f"{len(rows)} clips in {data}")


def make(data: Path, cache: Path, kits: Sequence[Kit] = ALL_KITS) -> None:
    """Fetch the packages and write the folder; it appears complete or not at all."""
    debs = {name: fetch(name, cache) for name in dict.fromkeys(kit.package for kit in kits)}
    part = data.with_name(f"{data.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    seen: set[str] = set()
    rows = []
    n_copies = 0
    for kit in kits:
        folder = unpack(debs[kit.package], cache) / kit.folder
        for path, label in labelled(folder):
            try:
                samples, sample_rate = read_audio(path)
            except RecordingError as error:
                print(f"left out: {error}")
                continue
            content = fingerprint(samples)
            if content in seen:
                n_copies += 1
                continue
            seen.add(content)
            name = f"{label}/{kit.source}-{_plain(f'{folder.name} {path.stem}')}.flac"
            (part / label).mkdir(exist_ok=True)
            if (part / name).exists():
                raise SystemExit(f"two recordings would be called {name}")
            soundfile.write(part / name, samples, sample_rate, subtype="PCM_16")
            rows.append((name, label, kit.source))
    print(f"{n_copies} copies of sounds left out")
    _write(part / "origins.csv", ("source", "licence", "package", "version", "sha256"), _origins(kits, debs))
    _write(part / "labels.csv", ("path", "label", "source"), sorted(rows))
    shutil.rmtree(data, ignore_errors=True)
    part.rename(data)


def fetch(package: str, cache: Path) -> Path:
    """Download a Debian package, once, and return its .deb file."""
    cache.mkdir(parents=True, exist_ok=True)
    if not any(cache.glob(f"{package}_*.deb")):
        subprocess.run(["apt-get", "download", "-q", package], cwd=cache, check=True)
    return next(cache.glob(f"{package}_*.deb"))


def unpack(deb: Path, cache: Path) -> Path:
    """Unpack a package, once, and return its root."""
    root = cache / "unpacked" / deb.name.split("_")[0]
    if not root.exists():
        # Under another name first: an unpacking that was cut short must not pass for a whole one.
        part = root.with_name(f"{root.name}.part")
        part.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-x", deb, part], check=True)
        part.rename(root)
    return root


def labelled(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each recording of a kit that has a label, once, in the order of names."""
    said = _instruments(folder / "drumkit.xml") if (folder / "drumkit.xml").exists() else {}
    for path in sorted(folder.iterdir()):
        if path.suffix not in SUFFIXES or (said and path.name not in said):
            continue
        labels = dict.fromkeys(filter(None, map(label_of, [*said.get(path.name, ()), path.stem])))
        if labels:
            yield path, next(iter(labels))


def label_of(name: str) -> str | None:
    """Return the label that a name of an instrument or a file gives; None if it names none of the five."""
    words = re.sub(r"[^a-z0-9]+", " ", name.lower())
    return next((label for label, pattern in LABELS if re.search(pattern, words)), None)


def fingerprint(samples: NDArray[np.float32]) -> str:
    """Return what the same sound has in common at any level, with any silence around it."""
    loud = np.nonzero(np.abs(samples) > 1e-4)[0]
    inside = samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]
    scaled = np.rint(inside / max(1e-9, float(np.abs(inside).max(initial=0))) * 2000).astype("<i2")
    return hashlib.sha256(scaled.tobytes()).hexdigest()


def _instruments(table: Path) -> dict[str, list[str]]:
    """Return the names of the instruments that play each file of a kit."""
    found: dict[str, list[str]] = {}
    for instrument in ET.parse(table).iter():  # noqa: S314  # a file of Debian's archive
        if instrument.tag.rpartition("}")[2] != "instrument":
            continue
        fields = [(field.tag.rpartition("}")[2], field.text or "") for field in instrument.iter()]
        name = next(text for tag, text in fields if tag == "name")
        for file in {text for tag, text in fields if tag == "filename"}:
            found.setdefault(file, []).append(name)
    return found


def _origins(kits: Sequence[Kit], debs: dict[str, Path]) -> Iterator[tuple[str, ...]]:
    for source in dict.fromkeys(kit.source for kit in kits):
        kit = next(kit for kit in kits if kit.source == source)
        deb = debs[kit.package]
        version = deb.name.split("_")[1].replace("%3a", ":")
        yield source, kit.licence, kit.package, version, hashlib.sha256(deb.read_bytes()).hexdigest()


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _write(table: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    main()

"""Speech in many languages, and music without voices, from Debian packages: the data of this example.

`python -m examples.speech.make_data` fetches the packages by name (they are unpacked, never installed), decodes their
recordings to 16 kHz, drops copies, finds where in each somebody speaks, and writes below `examples-data/speech`:

- `labels.csv`, a table that `python -m training` reads: a row for each stretch of speech, and one for each track;
- `sources.json`: version, licence and checksum of every package, and what was left out of it and why.

No language and no recording is in two splits. Of the test's languages, Czech and Chinese, nothing is trained on. Music
of the split `count` is neither trained on nor tested with: only false alarms are counted on it, as on the tests' music.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from examples.speech.activity import SAMPLE_RATE, stretches
from streamd.errors import RecordingError
from streamd.model import Model
from streamd.shipped import model_file
from training.prepare.negatives import (
    ASC,
    FLARE,
    FREEDROID,
    FREEORION,
    GCIN,
    HYPERROGUE,
    MEGAGLEST,
    NAEV,
    SINGULARITY,
    UFOAI,
    UNKNOWN_HORIZONS,
    WIDELANDS,
    ZERO_AD,
    Package,
    decode,
    fetch,
    unpack,
)

DATA = Path("examples-data/speech")

Split = Literal["train", "tune", "test", "test2", "test3", "count"]

HELD_OUT = {"da", "nl", "lt"}
"""Languages of the training packages whose speakers are kept for tuning."""
UNHEARD = {"cs", "zh", "zh_tw", "zh_cn", "zh_TW", "zh_CN"}
"""Languages of the test sets: what the training packages have of them is left out."""

LONGEST_SECONDS = 600.0
"""Of a track: a single long one would otherwise be a good part of its set."""

VOICES = (
    *("Speech", "Child speech, kid speaking", "Conversation", "Narration, monologue", "Speech synthesizer", "Shout"),
    *("Yell", "Children shouting", "Whispering", "Singing", "Choir", "Yodeling", "Chant", "Mantra", "Child singing"),
    *("Synthetic singing", "Rapping", "Humming", "Opera", "Vocal music", "A capella", "Gospel music"),
)
"""YAMNet's labels of voices, spoken and sung."""
VOICE_POSTERIOR = 0.3
MOST_VOICE = 0.02
"""A track is left out if YAMNet hears a voice in more than this part of its windows."""


@dataclass(frozen=True)
class Part:
    """One package and what it is for."""

    package: Package
    split: Split
    speaker: str
    """A pattern on the path below the package's root; its groups are the language or the voice. Empty: music."""


def _speech(name: str, licence: str, split: Split, speaker: str, *patterns: str, without: tuple[str, ...] = ()) -> Part:
    return Part(Package(name, "speech", licence, patterns, without), split, speaker)


def _music(name: str, licence: str, split: Split, pattern: str) -> Part:
    return Part(Package(name, "music", licence, (pattern,)), split, "")


NOT_SPOKEN = ("beep", "ascending", "descending", "tt-monkeys", "tt-weasels", "silence")

PARTS = (
    _speech(
        "tuxpaint-stamps-default",
        "GPL-2",
        "train",
        r"(?:_desc_|math/[0-9]_)([a-zA-Z_]+)\.",
        "**/*_desc*.ogg",
        "**/*_desc*.wav",
        "**/symbols/math/[0-9]*.ogg",
    ),
    _speech("klettres-data", "GPL-2+", "train", r"klettres/([^/]+)/", "**/klettres/*/*/*.ogg", "**/klettres/*/*/*.wav"),
    _speech("ktuberling-data", "GPL-2+", "train", r"sounds/([^/@]+)", "**/sounds/*/*.ogg", "**/sounds/*/*.wav"),
    *(
        _speech(
            f"asterisk-core-sounds-{language}-wav",
            "CC-BY-SA-3.0",
            "tune",
            "sounds/([^/]+)/",
            "**/sounds/**/*.wav",
            without=NOT_SPOKEN,
        )
        for language in ("en", "es", "fr")
    ),
    _speech("fillets-ng-data-cs", "GPL-2", "test", "sound/([^/]+)/cs/", "**/cs/*.ogg"),
    # A pack that sings is left out by its name, below.
    _speech("hedgewars-data", "GFDL-1.3", "test2", "voices/([^/]+)/", "**/Data/Sounds/voices/*/*.ogg"),
    Part(GCIN, "test3", "(gcin-voice)"),
    _music("supertux-data", "GPL-2+", "train", "**/music/**/*.ogg"),
    _music("hedgewars-data", "GPL-2", "train", "**/Data/Music/*.ogg"),
    _music("colobot-common-sounds", "GPL-3+", "train", "**/music/*.ogg"),
    # Orchestras and ambient music: with the three above alone, mostly synthetic, the network took strings and winds
    # for voices.
    *(Part(one, "train", "") for one in (WIDELANDS, UNKNOWN_HORIZONS, ASC, HYPERROGUE, FLARE, SINGULARITY)),
    _music("warmux-data", "GPL-2+", "tune", "**/music/**/*.ogg"),
    _music("lincity-ng-data", "GPL-2 or CC-BY-SA-2.0", "tune", "**/music/**/*.ogg"),
    _music("wesnoth-1.16-music", "GPL-2+", "test", "**/music/*.ogg"),
    _music("asterisk-moh-opsound-wav", "CC-BY-SA-3.0", "test", "**/moh/*.wav"),
    Part(NAEV, "test2", ""),
    *(Part(one, "count", "") for one in (ZERO_AD, UFOAI, FREEDROID, MEGAGLEST, FREEORION)),
)
SINGS = {"Singer"}


@dataclass(frozen=True)
class Row:
    """A line of labels.csv."""

    path: str
    label: str
    onset: str
    offset: str
    source: str
    split: str


@dataclass
class Origin:
    """A line of sources.json."""

    package: str
    version: str
    licence: str
    sha256: str
    kind: str
    split: str
    n_recordings: int = 0
    minutes: float = 0.0
    left_out: dict[str, str] | None = None
    """Recordings by name, and why."""


def main() -> None:
    """Make the data, or complete what is there."""
    rows: list[Row] = []
    origins: list[Origin] = []
    seen: set[str] = set()
    with ProcessPoolExecutor(2) as workers:
        for part in PARTS:
            root = unpack(part.package, DATA)
            names = [(path, _group(path, part)) for path in _recordings(root, part.package)]
            origin = _origin(part)
            results = workers.map(_converted, [(path, _target(path, root, part)) for path, _ in names], chunksize=8)
            for (path, group), result in zip(names, results, strict=True):
                why_not = _why_not(group, result, seen)
                if why_not:
                    origin.left_out[str(path.relative_to(root))] = why_not  # type: ignore[index]
                    continue
                seen.add(result.digest)
                origin.n_recordings += 1
                origin.minutes += result.seconds / 60
                rows += _rows(_target(path, root, part), group, part, result)
            origin.minutes = round(origin.minutes, 1)
            origins.append(origin)
            print(part.package.name, part.package.kind, origin.n_recordings, origin.minutes, len(origin.left_out or {}))
    with (DATA / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(Row.__dataclass_fields__)
        table.writerows(asdict(row).values() for row in rows)
    text = json.dumps([asdict(one) for one in origins], indent=1, ensure_ascii=False)
    (DATA / "sources.json").write_text(text + "\n")


@dataclass(frozen=True)
class _Converted:
    digest: str
    seconds: float
    active: list[tuple[float, float]]
    """Onset and offset of each stretch of speech, in seconds."""
    voice: float = 0.0
    """Of a track: the part of its windows in which YAMNet hears a voice."""
    error: str = ""


def _converted(task: tuple[Path, Path]) -> _Converted:
    """Decode a recording to a FLAC at 16 kHz, and look where in it there is speech; music is heard by YAMNet."""
    path, target = task
    if not target.exists():
        try:
            samples = decode(path)
        except RecordingError as error:
            return _Converted("", 0.0, [], error=str(error))
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, samples[: round(LONGEST_SECONDS * SAMPLE_RATE)], SAMPLE_RATE, subtype="PCM_16")
    heard, _ = soundfile.read(target, dtype="int16")
    digest = hashlib.sha256(heard.tobytes()).hexdigest()
    is_music = target.parts[len(DATA.parts)] == "music"
    voice = _voice(heard, target.with_suffix(".voice")) if is_music and len(heard) else 0.0
    active = [] if is_music else stretches(heard)
    return _Converted(digest, len(heard) / SAMPLE_RATE, active, voice)


def _voice(samples: NDArray[np.int16], known: Path) -> float:
    """Return in what part of a track's windows YAMNet hears a voice; kept in a file, as it takes a while."""
    if known.exists():
        return float(known.read_text())
    model = Model(model_file("yamnet"), "cpu", verify=False)
    facts = model.manifest
    columns = [facts.labels.index(label) for label in VOICES]
    found = []
    # A window in three: they overlap by three quarters.
    for begin in range(0, len(samples) - facts.span_samples, 3 * facts.hop_samples):
        _, posteriors = model.answer(samples[begin : begin + facts.span_samples])
        found.append(posteriors[0, columns].max() >= VOICE_POSTERIOR)
    known.write_text(f"{float(np.mean(found)) if found else 0.0:.4f}\n")
    return float(known.read_text())


def _recordings(root: Path, package: Package) -> Iterator[Path]:
    for path in sorted({path for pattern in package.recordings for path in root.glob(pattern)}):
        if not path.name.startswith(package.without or "\0"):
            yield path


def _group(path: Path, part: Part) -> str:
    """Return what belongs together: a voice or language of the package; of music the track."""
    if not part.speaker:
        return path.stem
    found = re.search(part.speaker, str(path))
    return found.group(1) if found else "en"


def _target(path: Path, root: Path, part: Part) -> Path:
    name = hashlib.sha256(str(path.relative_to(root)).encode()).hexdigest()[:8]
    folder = DATA / part.package.kind / part.package.name
    return folder / f"{re.sub('[^A-Za-z0-9-]+', '-', path.stem).strip('-') or 'x'}-{name}.flac"


def _why_not(group: str, found: _Converted, seen: set[str]) -> str:
    if found.error:
        return found.error
    if found.digest in seen:
        return "a copy of another"
    if group in UNHEARD:
        return "a language of the test"
    if group in SINGS:
        return "sung"
    if found.voice > MOST_VOICE:
        return f"YAMNet hears a voice in {found.voice:.0%} of its windows"
    return ""


def _rows(target: Path, group: str, part: Part, found: _Converted) -> Iterator[Row]:
    path, source = str(target.relative_to(DATA)), f"{part.package.name}/{group}"
    if not part.speaker:
        yield Row(path, "background", "", "", source, part.split)
        return
    split = "tune" if part.split == "train" and group in HELD_OUT else part.split
    for onset, offset in found.active:
        yield Row(path, "Speech", f"{onset:.2f}", f"{offset:.2f}", source, split)


def _origin(part: Part) -> Origin:
    deb = fetch(part.package, DATA)
    with deb.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    version = deb.name.split("_")[1].replace("%3a", ":")
    one = part.package
    return Origin(one.name, version, one.licence, digest, one.kind, part.split, left_out={})


if __name__ == "__main__":
    main()

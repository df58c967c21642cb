"""Banks of rooms: computed once and kept on disk, or recorded by somebody."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

from streamd.errors import DataError
from training.prepare.simulation.audio import Audio
from training.prepare.simulation.chance import generator
from training.prepare.simulation.room import DIRECT_SECONDS, Room, reverberation_seconds, room_of
from training.prepare.simulation.shoebox import METHODS, Method, Shoebox, ShoeboxRange, draw

if TYPE_CHECKING:  # workers make scenes, which are made of rooms
    from training.prepare.simulation.workers import Workers

REVISION = 1
"""Part of what a cached response is found by: higher with each change to how shoebox.py computes."""
SUFFIXES = {".wav", ".flac"}
"""Of recorded impulse responses."""


def draw_bank(seed: int, n_halls: int, range_: ShoeboxRange) -> list[Shoebox]:
    """Return boxes; a longer bank of the same seed begins with the shorter one."""
    return [draw(generator(seed, f"hall {i}", "shoebox"), range_) for i in range(n_halls)]


def compute_rooms(
    boxes: Sequence[Shoebox], sample_rate: int, method: Method, cache: Path, workers: Workers | None = None
) -> list[Room]:
    """Return the rooms of all places of all boxes, box by box; those of one box are places in the same hall.

    What is in the folder `cache` is read, what is missing or damaged there is computed and kept; by workers, where
    there are any, several boxes at a time.
    """
    cache.mkdir(parents=True, exist_ok=True)
    if workers:
        missing = [box for box in boxes if not (cache / f"{_key(box, sample_rate, method)}.npz").exists()]
        for done in [workers.run(_kept, box, sample_rate, method, cache) for box in missing]:
            done.result()
    rooms: list[Room] = []
    for box in boxes:
        key = _key(box, sample_rate, method)
        responses = _kept(box, sample_rate, method, cache)
        hall = f"{method}-{key[:12]}"
        for place, response in enumerate(responses):
            direct_sample = box.direct_sample(place, sample_rate)
            room = _room_with_direct(f"{hall}-{place}", hall, response, sample_rate, direct_sample)
            rooms.append(replace(room, method=method, distance_m=box.distance(place)))
    return rooms


def response_files(folder: Path) -> list[Path]:
    """Return the impulse responses (WAV, FLAC) in a folder and its subfolders, ordered by path."""
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)


def recorded_rooms(folder: Path, sample_rate: int) -> list[Room]:
    """Return the rooms of all impulse responses in a folder and its subfolders, ordered by path.

    Files in one subfolder are places in the same hall; each file in the folder itself stands alone. Of several channels
    the first is taken: microphones mixed together hear what none of them does.

    Raises:
        DataError: there are none, or one is silent or can't be read.
    """
    files = response_files(folder)
    if not files:
        raise DataError(f"{folder}: found no impulse responses; expected WAV or FLAC files")
    rooms = []
    for file in files:
        try:
            audio, own_rate = soundfile.read(file, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise DataError(f"{file}: can't be read ({error.error_string}); expected an impulse response") from error
        response = np.asarray(soxr.resample(audio[:, 0], own_rate, sample_rate), np.float32)
        hall = None if file.parent == folder else str(file.parent.relative_to(folder))
        try:
            rooms.append(room_of(str(file.relative_to(folder)), response, sample_rate, hall))
        except ValueError as error:
            raise DataError(f"{folder}: {error}") from error
    return rooms


def _room_with_direct(name: str, hall: str, response: Audio, sample_rate: int, direct_sample: int) -> Room:
    """Return a room whose direct path is known by geometry and need not be the strongest sample."""
    reach = round(DIRECT_SECONDS * sample_rate)
    direct = response[max(0, direct_sample - reach) : direct_sample + reach + 1]
    scaled = (response / np.sqrt(np.sum(np.square(direct, dtype=np.float64)))).astype(np.float32)
    return Room(name, hall, scaled, sample_rate, direct_sample, reverberation_seconds(response, sample_rate))


def _kept(box: Shoebox, sample_rate: int, method: Method, cache: Path) -> list[Audio]:
    """Return the responses of a box: read from the cache, or computed and kept there."""
    file = cache / f"{_key(box, sample_rate, method)}.npz"
    responses = _read(file)
    if responses is None or len(responses) != len(box.places):
        responses = METHODS[method](box, sample_rate)
        _write(file, responses)
    return responses


def _key(box: Shoebox, sample_rate: int, method: Method) -> str:
    """Return the hash of all that the responses of a box depend on."""
    library = version("pyroomacoustics") if method == "hybrid" else np.__version__
    spec = {
        "revision": REVISION,
        "method": method,
        "library": library,
        "sample_rate": sample_rate,
        "box": asdict(box),
    }
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def _read(file: Path) -> list[Audio] | None:
    """Return the responses in a file of the cache; None if it is missing or damaged (a zip checks its own sums)."""
    try:
        # Opened here: numpy leaves a damaged file open.
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return [np.asarray(arrays[f"arr_{i}"], np.float32) for i in range(len(arrays.files))]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error):
        return None


def _write(file: Path, responses: Sequence[Audio]) -> None:
    """Keep responses; another process that reads at the same time sees all of the file, or none."""
    unfinished = file.with_name(f"{file.stem}.{os.getpid()}.unfinished")
    with unfinished.open("wb") as stream:
        np.savez(stream, *responses)
    unfinished.replace(file)

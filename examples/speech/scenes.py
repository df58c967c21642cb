"""What the speech model hears in training: scenes of the simulator, made once and kept on disk for all seeds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from examples.speech.activity import SAMPLE_RATE
from training.prepare.audio import read_audio
from training.prepare.clips import Clip
from training.prepare.layouts import OWN_TABLE
from training.prepare.readers import read_tables
from training.prepare.simulation import scene
from training.prepare.simulation.ambience import AmbienceRange
from training.prepare.simulation.audio import Audio
from training.prepare.simulation.chance import Range
from training.prepare.simulation.codec import CodecRange
from training.prepare.simulation.gain import GainRange
from training.prepare.simulation.loudspeaker import LoudspeakerRange
from training.prepare.simulation.material import Material, Sound
from training.prepare.simulation.microphone import MicrophoneRange
from training.prepare.simulation.mix import MixRange
from training.prepare.simulation.recipe import Recipe
from training.prepare.simulation.room import Room, RoomRange
from training.prepare.simulation.rooms import compute_rooms, draw_bank
from training.prepare.simulation.scene import Placed, Scene
from training.prepare.simulation.shoebox import ShoeboxRange
from training.prepare.simulation.sounds import sounds_of
from training.prepare.simulation.workers import Workers

LABEL = "Speech"
SECONDS = 16.0
N_HALLS = 80
NARROW_RATE = 8_000
"""Half of the speech and half of the music is there a second time as a telephone or an old recording leaves it."""

MUSIC_SPEEDS = (0.8, 1.25)
"""Half of the music is there once more, in a room and faster or slower: there are too few orchestras."""

SCENES_SEED = 1

DENSE, SPARSE = Range(0.2, 1.0), Range(0.5, 8.0)
"""Pauses of somebody who talks, and of somebody who says a word now and then. Shorter ones are no pauses here; with no
long ones a network learns to expect speech after a while of silence, whatever it hears."""

PLAIN = Recipe(
    seconds=SECONDS,
    # Speech that is mostly in rooms over music that never is teaches that echoes are speech.
    room=RoomRange(dry=0.5),
    gain=GainRange(Range(-4.0, 4.0)),
    mix=MixRange(Range(-8.0, 18.0), clean=0.05),
    # No babble: it is voices, and nobody can say from how many talkers on it should not be heard.
    ambience=AmbienceRange(kinds=("recorded",) * 6 + ("coloured", "coloured", "speech-shaped", "hum")),
)
"""Music is the hard part, so it is more than half of what is mixed in."""

VARIANTS = (
    PLAIN,
    PLAIN,
    # Out of a small loudspeaker, and over a line.
    replace(PLAIN, loudspeaker=LoudspeakerRange(Range(100.0, 500.0), Range(2500.0, 8000.0))),
    replace(PLAIN, codec=CodecRange(on=1.0), microphone=MicrophoneRange(("flat", "phone", "electret", "far"))),
)
"""Each as often as any other; with NARROW_RATE about half of all scenes lack the upper band of something."""


def clips_of(data: Path, split: str) -> list[Clip]:
    """Return the stretches of speech and the tracks of a split."""
    clips, _ = read_tables(data, (OWN_TABLE,))
    return [clip for clip in clips if clip.split == split]


def tracks_of(clips: Sequence[Clip]) -> list[Audio]:
    """Return the music among clips (n_samples,) each, at SAMPLE_RATE as make_data wrote it."""
    return [read_audio(clip.path)[0] for clip in clips if clip.label is None]


def narrow(audio: Audio) -> Audio:
    """Return audio (n_samples,) without what is above 4 kHz."""
    back = soxr.resample(soxr.resample(audio, SAMPLE_RATE, NARROW_RATE), NARROW_RATE, SAMPLE_RATE)
    return np.asarray(back, np.float32)


def training_material(data: Path) -> Material:
    """Return the speech and music that is trained on, and rooms by the hybrid method."""
    clips = clips_of(data, "train")
    sounds = sounds_of(clips, SAMPLE_RATE)
    tracks = tracks_of(clips)
    rooms = compute_rooms(draw_bank(0, N_HALLS, ShoeboxRange()), SAMPLE_RATE, "hybrid", data / "rooms")
    return Material(
        SAMPLE_RATE,
        sounds=sounds + [Sound(sound.clip, narrow(sound.audio)) for sound in sounds[::2]],
        rooms=rooms,
        backgrounds=tracks + [narrow(track) for track in tracks[::2]] + played_in_rooms(tracks[1::2], rooms),
    )


def played_in_rooms(tracks: Sequence[Audio], rooms: Sequence[Room]) -> list[Audio]:
    """Return each track as heard in one of the rooms, and at another speed, which moves its pitch too."""
    rng = np.random.default_rng(SCENES_SEED)
    found = []
    for track in tracks:
        room = rooms[int(rng.integers(len(rooms)))]
        speed = rng.uniform(*MUSIC_SPEEDS)
        found.append(np.asarray(soxr.resample(room.apply(track, SAMPLE_RATE), speed, 1.0), np.float32))
    return found


def recipe_of(i: int) -> Recipe:
    """Return the recipe of a scene by its number."""
    pauses = DENSE if i // len(VARIANTS) % 2 else SPARSE
    return replace(VARIANTS[i % len(VARIANTS)], pause_seconds=pauses)


@dataclass(frozen=True)
class Bank:
    """Scenes on disk: audio (n_scenes, n_samples), int16, and where in each somebody speaks, in samples."""

    audio: NDArray[np.int16]
    spans: list[list[tuple[int, int]]]

    def scenes(self, seed: int, margin: int) -> Callable[[int, int], Iterator[Scene]]:
        """Return an endless list of the scenes, each pass through the bank in another order.

        margin: samples taken off both ends of each span. An output answers for a stretch of audio, and is to say yes
        where there is speech in half of it, not in a sample of it: then margin is half a stretch.
        """

        def scenes(begin: int, n: int) -> Iterator[Scene]:
            order: NDArray[np.int64] = np.zeros(0, np.int64)
            passed = -1
            for i in range(begin, begin + n):
                if i // len(self.audio) != passed:
                    passed = i // len(self.audio)
                    order = np.random.default_rng([seed, passed]).permutation(len(self.audio))
                yield self.scene(int(order[i % len(self.audio)]), margin)

        return scenes

    def scene(self, i: int, margin: int = 0) -> Scene:
        """Return one of them."""
        audio = self.audio[i].astype(np.float32) / 32768
        placed = []
        for onset, offset in self.spans[i]:
            begin, end = onset + margin, offset - margin
            if begin >= end:
                begin = (onset + offset) // 2
                end = begin + 1
            placed.append(Placed(LABEL, begin, end, _NOWHERE))
        return Scene(audio, SAMPLE_RATE, placed)


_NOWHERE = Clip(Path(), LABEL, None, None, None, None)


def bank(data: Path, name: str, n_scenes: int, material: Callable[[], Material], n_workers: int = 2) -> Bank:
    """Return a bank, made now if it isn't there: `scenes`, or `music` with no speech in it."""
    folder = data / "bank"
    # Other data or recipes make another bank.
    made_of = clips_of(data, "train"), [_recipe(name, i) for i in range(2 * len(VARIANTS))]
    stem = f"{name}-{n_scenes}-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:8]}"
    audio, spans = folder / f"{stem}.npy", folder / f"{stem}.json"
    if not spans.exists():
        folder.mkdir(exist_ok=True)
        made = material()
        with Workers(n_workers) as workers:
            _make(made if name == "scenes" else replace(made, sounds=()), name, n_scenes, workers, audio, spans)
    return Bank(np.load(audio, mmap_mode="r"), json.loads(spans.read_text()))


def _make(material: Material, name: str, n_scenes: int, workers: Workers, audio: Path, spans: Path) -> None:
    shared = workers.share(material)
    shape = (n_scenes, round(SECONDS * SAMPLE_RATE))
    kept = np.lib.format.open_memmap(audio, mode="w+", dtype=np.int16, shape=shape)
    found: list[list[tuple[int, int]]] = []
    n_ahead = 64
    for begin in range(0, n_scenes, n_ahead):
        items = range(begin, min(begin + n_ahead, n_scenes))
        made = [workers.run(scene.make, _recipe(name, i), shared, SCENES_SEED, f"{name}/{i}") for i in items]
        for i, future in zip(items, made, strict=True):
            one: Scene = future.result()
            kept[i] = np.clip(np.rint(one.audio * 32768), -32768, 32767).astype(np.int16)
            found.append([(label.onset_sample, label.offset_sample) for label in one.labels])
    kept.flush()
    spans.write_text(json.dumps(found))


def _recipe(name: str, i: int) -> Recipe:
    recipe = recipe_of(i)
    if name == "scenes" or recipe.mix is None:
        return recipe
    return replace(recipe, mix=replace(recipe.mix, clean=0.0), ambience=AmbienceRange(kinds=("recorded",)))

"""Chooses, without labelled data, which of YAMNet's labels are on by default and how each is decided.

What can be measured without labels is false alarms: hours of music, speech, silence, noise, hum and
clicks in which a label is absent by construction must give next to none of it. One half of the audio
chooses, the other half checks, and more audio is only counted on: nothing is chosen there. What can't be
measured this way is recall, and nothing here claims it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamd.decision import DecisionSpec
from streamd.model import Model
from training.expect.counted import Counted
from training.expect.false_alarms import count_onsets, lowest_within, posteriors
from training.prepare.negatives import HALVES, SAMPLE_RATE, Half, Kind, Stream, origins, prepare

REAL: tuple[Kind, ...] = ("music", "speech")
"""Recordings; all else is made."""

_ALWAYS = ("Speech", "Music")
"""On by default whatever they cost, and then steady rather than early: from this threshold on."""
_ALWAYS_FROM = 0.5

THRESHOLDS = tuple(round(0.3 + 0.05 * step, 2) for step in range(13))
"""Onset thresholds to choose from, 0.30 to 0.90; a label that would need more is not on by default."""

OFFSET_RATIO = 0.6
"""offset_threshold as a part of onset_threshold."""

MAX_PER_HOUR = 0.5
"""False alarms an hour of one label, where it is absent by construction."""

MIN_HOURS = 5.0
"""At least this much audio without the label must have been heard."""

MAX_PER_HOUR_IN_ALL = 5.0
"""Events an hour of all default labels beside Speech and Music, in real recordings that chose nothing."""

SMOOTH = 0.72
"""Three hops: what lasts longer than a window may be averaged, and single windows stop mattering."""

PROFILES: dict[str, DecisionSpec] = {
    # Thresholds are placeholders here. Two hops in a row: whatever is heard lies in at least three windows.
    "single": DecisionSpec(n_confirm=2, min_silence_seconds=1.0),
    # One event for a row of barks, knocks or coughs.
    "repeated": DecisionSpec(n_confirm=2, min_silence_seconds=4.0),
    # Rings pause for up to 4 s (North America: 2 s on, 4 s off), a smoke alarm's threes for 1.5 s (ISO 8201).
    "alarm": DecisionSpec(n_confirm=2, min_silence_seconds=6.0),
    "lasting": DecisionSpec(smoothing_seconds=SMOOTH, n_confirm=3, min_silence_seconds=5.0),
    "speech": DecisionSpec(smoothing_seconds=0.48, n_confirm=2, min_silence_seconds=10.0),
    "music": DecisionSpec(smoothing_seconds=1.92, n_confirm=8, min_silence_seconds=20.0),
}
"""How sounds of one kind are decided, hops of 0.24 s in mind."""

WANTED: dict[str, tuple[str, ...]] = {
    "speech": ("Speech",),
    "music": ("Music",),
    "alarm": (
        "Smoke detector, smoke alarm",  # "Fire alarm" hears the same alarms: one sound, one event
        "Alarm clock",
        "Car alarm",
        "Siren",
        "Telephone",
        "Reversing beeps",
    ),
    "repeated": (
        "Baby cry, infant cry",
        "Cough",
        "Crow",
        "Crowing, cock-a-doodle-doo",
        "Dog",
        "Doorbell",
        "Fireworks",
        "Gunshot, gunfire",
        "Hammer",
        "Cat",
        "Knock",
        "Laughter",
        "Owl",
        "Screaming",
        "Sneeze",
        "Thunder",
        "Vehicle horn, car horn, honking",
    ),
    "single": ("Bicycle bell", "Burping, eructation", "Glass", "Slam"),
    "lasting": (
        "Applause",
        "Blender",
        "Chainsaw",
        "Church bell",
        "Hair dryer",
        "Helicopter",
        "Lawn mower",
        "Mosquito",
        "Motorcycle",
        "Snoring",
        "Toilet flush",
        "Train",
        "Vacuum cleaner",
        "Water tap, faucet",
    ),
}
"""What people want to be told of, by profile: of a label and its parents (Bark, Dog, Animal) only one."""

# Runs of the class map, which follows the AudioSet ontology.
_HUMAN = ("Speech", "Children playing")
_SUNG = ("Singing", "Humming")
_MUSICAL = ("Music", "Scary music")
_NEVER = ("Silence", "Field recording")
"""Silence, pure tones, effects, rooms, echo, noise, hum, television and radio: the room, not what happens in it."""

_IN_MUSIC = (
    *("Finger snapping", "Clapping", "Cheering", "Applause", "Whistling", "Whistle", "Beep, bleep"),
    *("Ping", "Ding", "Clang", "Jingle, tinkle"),
)
"""Sounds beside the instruments that music is made with."""
_IN_CLICKS = ("Tick", "Tick-tock", "Clicking", "Static", "Hum")


_NOTHING = Counted(hours=0.0, n_events=0)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one label."""

    label: str
    profile: str
    onset_threshold: float
    default: bool
    why_not: str = ""
    """Why it is not on by default; empty if nobody asked for it, or if it is."""
    absent_in: tuple[Kind, ...] = ()
    """Kinds of audio without this sound: false alarms are counted there."""
    chosen_on: Counted = _NOTHING
    """False alarms at the threshold above in what chose it: recordings, pauses between them and made sounds."""
    real: Counted = _NOTHING
    """The same in recordings that chose nothing; pauses between them are not counted."""
    made: Counted = _NOTHING
    """The same in made sounds that chose nothing."""

    def decision(self) -> DecisionSpec:
        """Return how the label is decided."""
        return _spec(self.profile, self.onset_threshold)


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Audio that was played: a package, or a sound made by negatives.py."""

    name: str
    kind: Kind
    licence: str
    version: str
    sha256: str
    hours: tuple[float, float]
    """That chose, that chose nothing; without the pauses between recordings."""
    n_events: int
    """Events of all default labels but Speech and Music in what chose nothing."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The whole table: kept in the repository, so that the model can be built without the audio."""

    heard: tuple[Heard, ...]
    rows: tuple[Row, ...]

    @property
    def default_labels(self) -> tuple[str, ...]:
        """Labels that are on by default, in the order of the model."""
        return tuple(row.label for row in self.rows if row.default)

    def count(self, *kinds: Kind) -> Counted:
        """Return the events of all default labels but Speech and Music in audio of some kinds that chose nothing."""
        return self._count(one for one in self.heard if one.kind in kinds)

    def count_of_recordings(self, *, halved: bool) -> Counted:
        """Return the same for recordings whose other half chose, or for those that are only counted on."""
        return self._count(one for one in self.heard if one.kind in REAL and bool(one.hours[0]) == halved)

    def _count(self, heard: Iterable[Heard]) -> Counted:
        return Counted.all_of(Counted(hours=one.hours[1], n_events=one.n_events) for one in heard)


def choose(model: Model, cache: Path) -> Choice:
    """Play hours of audio through the model and choose.

    Args:
        model: YAMNet; its own decisions don't matter.
        cache: folder for the audio and its posteriors; filled on the first call.

    Raises:
        ValueError: in recordings that chose nothing the default labels give more than MAX_PER_HOUR_IN_ALL.
    """
    streams = prepare(cache)
    heard = [posteriors(model, stream, cache) for stream in streams]
    labels = model.manifest.labels
    profiles = [_profile(labels, label) for label in labels]
    hop_seconds = model.manifest.hop_seconds
    counts = np.stack(
        [count_onsets(heard, [_spec(profile, at) for profile in profiles], hop_seconds) for at in THRESHOLDS]
    )
    recorded = [_recorded_hours(stream) for stream in streams]
    rows = tuple(
        _row(labels, label, profile, streams, recorded, counts[:, :, i])
        for i, (label, profile) in enumerate(zip(labels, profiles, strict=True))
    )
    beside = [i for i, row in enumerate(rows) if row.default and row.label not in _ALWAYS]
    at = [THRESHOLDS.index(rows[i].onset_threshold) for i in beside]
    per_stream = counts[at, :, beside].sum(axis=0)
    choice = Choice(heard=_heard(streams, recorded, per_stream, cache), rows=rows)
    real = choice.count(*REAL)
    if real.n_events > MAX_PER_HOUR_IN_ALL * real.hours:
        raise ValueError(
            f"{real.n_events} events in {real.hours:.1f} hours without them; at most {MAX_PER_HOUR_IN_ALL} an hour"
        )
    return choice


def _row(
    labels: Sequence[str],
    label: str,
    profile: str,
    streams: Sequence[Stream],
    recorded: Sequence[float],
    counts: NDArray[np.int64],
) -> Row:
    """Decide one label by its counts, (n_thresholds, n_streams); `recorded` are the hours to count for each stream."""
    wanted = any(label in group for group in WANTED.values())
    if _within(labels, label, _NEVER):
        return Row(label=label, profile=profile, onset_threshold=0.5, default=False, why_not="never by default")
    kinds = _absent_in(labels, label)
    parts: tuple[tuple[Half, tuple[Kind, ...]], ...] = (("choose", kinds), ("check", REAL), ("check", ("made",)))
    taken = [[s.half == half and s.kind in kinds and s.kind in some for s in streams] for half, some in parts]
    # What chooses has its pauses counted: a few thresholds hang on it.
    lengths = ([_hours(s) for s in streams], recorded, recorded)
    hours = [
        round(sum(h for h, yes in zip(own, part, strict=True) if yes), 2)
        for own, part in zip(lengths, taken, strict=True)
    ]
    n_events = counts @ np.array(taken).T
    chosen = lowest_within(n_events[:, 0], MAX_PER_HOUR * hours[0])
    if label in _ALWAYS:
        chosen = max(chosen, THRESHOLDS.index(_ALWAYS_FROM))
    too_high = chosen == len(THRESHOLDS)
    why_not = "more than 0.5 false alarms an hour at 0.9" if too_high else ""
    if hours[0] < MIN_HOURS:
        why_not = f"less than {MIN_HOURS:g} hours without it"
    chosen = min(chosen, len(THRESHOLDS) - 1)
    return Row(
        label=label,
        profile=profile,
        onset_threshold=THRESHOLDS[chosen],
        default=wanted and not why_not,
        why_not=why_not,
        absent_in=kinds,
        chosen_on=Counted(hours=hours[0], n_events=int(n_events[chosen, 0])),
        real=Counted(hours=hours[1], n_events=int(n_events[chosen, 1])),
        made=Counted(hours=hours[2], n_events=int(n_events[chosen, 2])),
    )


def _heard(
    streams: Sequence[Stream], recorded: Sequence[float], n_events: NDArray[np.int64], cache: Path
) -> tuple[Heard, ...]:
    found = []
    for origin in origins(cache):
        halves: Mapping[str, int] = {s.half: i for i, s in enumerate(streams) if s.name == origin.name}
        hours = [round(recorded[halves[half]], 3) if half in halves else 0.0 for half in HALVES]
        found.append(
            Heard(
                name=origin.name,
                kind=origin.kind,
                licence=origin.licence,
                version=origin.version,
                sha256=origin.sha256,
                hours=(hours[0], hours[1]),
                n_events=int(n_events[halves["check"]]),
            )
        )
    return tuple(found)


def _hours(stream: Stream) -> float:
    return len(stream.samples()) / SAMPLE_RATE / 3600


def _recorded_hours(stream: Stream) -> float:
    return _hours(stream) if stream.kind == "made" else stream.recorded_hours()


def _spec(profile: str, onset_threshold: float) -> DecisionSpec:
    offset_threshold = round(OFFSET_RATIO * onset_threshold, 3)
    return msgspec.structs.replace(
        PROFILES[profile], onset_threshold=onset_threshold, offset_threshold=offset_threshold
    )


def _profile(labels: Sequence[str], label: str) -> str:
    for profile, group in WANTED.items():
        if label in group:
            return profile
    if _within(labels, label, _MUSICAL) or _within(labels, label, _SUNG):
        return "lasting"
    return "repeated"


def _absent_in(labels: Sequence[str], label: str) -> tuple[Kind, ...]:
    """Return the kinds of audio that can't hold a sound.

    Music holds no voices but sung ones, no barks and no alarms; its instruments may imitate them, and then it is the
    ear that is fooled. People who read prompts and act may sigh and laugh, so no human sound counts as absent there.
    """
    if _within(labels, label, _MUSICAL) or _within(labels, label, _SUNG) or label in _IN_MUSIC:
        return ("speech", "made")
    if _within(labels, label, _HUMAN):
        return ("music", "made")
    if label in _IN_CLICKS:
        return ("music", "speech")
    return ("music", "speech", "made")


def _within(labels: Sequence[str], label: str, run: tuple[str, str]) -> bool:
    return labels.index(run[0]) <= labels.index(label) <= labels.index(run[1])

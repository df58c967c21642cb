"""What became of every labelled sound and every event at the model's own thresholds: heard, missed, confused, false.

The same rule as in det.py: a sound is heard if an event of its label begins while it lasts, give or take the collar.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from streamd.manifest import Manifest
from training.expect.det import Zones
from training.expect.event_match import Scores, Sound, collar, score
from training.expect.play import Played

Kind = Literal["heard", "missed", "confused", "false alarm"]


@dataclass(frozen=True)
class Outcome:
    """One sound, one event, or one sound and the event it was taken for."""

    kind: Kind
    played: Played
    sound: Sound | None
    """None: a false alarm."""
    event: Sound | None
    """None: missed."""


def outcomes_of(one: Played, manifest: Manifest, labels: Sequence[str]) -> Iterator[Outcome]:
    """Yield what became of the sounds and the events of some labels in one stream.

    An event of another label that begins while a sound lasts is a confusion: what a missed sound was taken for, or what
    a sound was taken for besides, by another label too. Further events on a sound that was heard are no outcome if they
    are of its label. So a sound with two events may be in two outcomes.
    """
    zones = {label: Zones(one, manifest, label, manifest.decision_of(label).min_silence_seconds) for label in labels}
    heard: set[tuple[str, int]] = set()
    strangers: list[Sound] = []
    for event in one.events:
        if event.label not in zones:
            continue
        at = zones[event.label].sound_at(event.onset_seconds)
        if at is None:
            strangers.append(event)
        elif (event.label, at) not in heard:
            heard.add((event.label, at))
            yield Outcome("heard", one, zones[event.label].sounds[at], event)
    for event in strangers:
        under = [(label, at) for label, zone in zones.items() if (at := zone.sound_at(event.onset_seconds)) is not None]
        if under:
            # A sound that nobody has heard yet comes first.
            label, at = min(
                under,
                key=lambda one: (one in heard, abs(zones[one[0]].sounds[one[1]].onset_seconds - event.onset_seconds)),
            )
            heard.add((label, at))
            yield Outcome("confused", one, zones[label].sounds[at], event)
        else:
            yield Outcome("false alarm", one, None, event)
    for label, zone in zones.items():
        for at, sound in enumerate(zone.sounds):
            if (label, at) not in heard:
                yield Outcome("missed", one, sound, None)


def confusion(outcomes: Iterable[Outcome]) -> list[tuple[str | None, str | None, int]]:
    """Return how often (label of a sound, label of its event) was found, in order; None: no sound, no event."""
    counts = Counter(
        (one.sound.label if one.sound else None, one.event.label if one.event else None) for one in outcomes
    )
    return [(*pair, n) for pair, n in sorted(counts.items(), key=lambda item: [str(label or "~") for label in item[0]])]


def event_f1(played: Sequence[Played], hop_seconds: float, label: str) -> float | None:
    """Return the event-based F1 of a label, onset and offset within the collar; None without sounds and events.

    Sounds count as they are labelled: three beeps that one event covers are one match and two misses.
    """
    near = collar(hop_seconds)
    found = Scores()
    for one in played:
        sounds, events = ([each for each in both if each.label == label] for both in (one.stream.sounds, one.events))
        found += score(sounds, events, near).get(label, Scores())
    return found.f1

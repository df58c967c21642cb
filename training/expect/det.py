"""Recall against false alarms per hour, over thresholds: the detection error trade-off (DET) of one label.

Streams are played once (play.py); every threshold is then decided anew by the daemon's own code on the same
posteriors. A labelled sound is heard if an event begins while it lasts, give or take the collar. An event on a sound of
another label is a confusion: how many there are follows from how many sounds there are, not from how many hours. One
that begins outside all sounds is a false alarm. So one event that never ends hears one sound, not all of them.

Where an event begins is known to within the model's onset delay only: the delay is a median, so what is heard sooner is
placed too early. The event may have begun anywhere between there and the end of the hop that heard it first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from streamd.decision import DecisionSpec
from streamd.manifest import Manifest
from training.expect import intervals
from training.expect.event_match import Sound, collar
from training.expect.false_alarms import lowest_within, onsets
from training.expect.play import Played

THRESHOLDS = (*(round(0.05 * step, 2) for step in range(1, 20)), 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)
"""Onset thresholds to try: steps of 0.05, finer where a network that is sure of itself still differs."""


@dataclass(frozen=True)
class Point:
    """One label at one threshold on some streams."""

    threshold: float
    delays_seconds: tuple[float | None, ...]
    """For each labelled sound: from its onset to where the audio had been heard when its event was published; None
    where it was missed. Negative where the event lies before the onset, within the collar."""
    groups: tuple[str, ...]
    """The group of each labelled sound, in the same order."""
    n_false_alarms: int
    """Events where no labelled sound is."""
    hours: float
    """Of audio in which an event would have been a false alarm."""
    n_confused: int = 0
    """Events on sounds of other labels."""

    @property
    def n_gained(self) -> int:
        """Sounds heard, less confusions: an event that names the wrong sound undoes one that names the right one."""
        return sum(self.heard) - self.n_confused

    @property
    def heard(self) -> tuple[bool, ...]:
        """For each labelled sound, whether it was."""
        return tuple(delay is not None for delay in self.delays_seconds)

    @property
    def recall(self) -> float | None:
        """Part of the sounds that was heard; None without sounds."""
        return sum(self.heard) / len(self.heard) if self.heard else None

    def recall_interval(self, seed: int = 0) -> tuple[float, float]:
        """Return the 95 % interval of the recall, by group; ValueError if there are fewer than two groups."""
        return intervals.bootstrap_recall(self.heard, self.groups, seed)

    def delay_seconds(self, percent: float = 50) -> float | None:
        """Return a percentile of the detection delay over the sounds that were heard; None if none was."""
        found = [delay for delay in self.delays_seconds if delay is not None]
        return float(np.percentile(found, percent)) if found else None

    def alarms(self, promise: float | None = None) -> str:
        """Return what may be said of false alarms an hour: see intervals.alarms_per_hour."""
        return intervals.alarms_per_hour(self.n_false_alarms, self.hours, promise)


@dataclass(frozen=True)
class Chosen:
    """A threshold, chosen for a budget of false alarms on one half of the groups and tried on the other."""

    label: str
    chosen_on: Point
    reported_on: Point

    @property
    def threshold(self) -> float:
        """The onset threshold."""
        return self.chosen_on.threshold


def det(
    played: Sequence[Played], manifest: Manifest, label: str, thresholds: Sequence[float] = THRESHOLDS
) -> list[Point]:
    """Return recall and false alarms of one label at every threshold, lowest first.

    Args:
        played: streams that were played through the model.
        manifest: of that model: its decision for the label is used, but for the threshold; offset_threshold moves in
            proportion, as in the configuration.
        label: one of the model's labels.
        thresholds: onset thresholds, rising.
    """
    return outcomes(played, manifest, [(label, with_threshold(manifest.decision_of(label), at)) for at in thresholds])


def outcomes(
    played: Sequence[Played], manifest: Manifest, candidates: Sequence[tuple[str, DecisionSpec]]
) -> list[Point]:
    """Return what each of many decisions, of one label or several, would come to: all of them in one pass.

    Args:
        played: streams that were played through the model.
        manifest: of that model; its own decisions are not looked at.
        candidates: labels, and how they might be decided.

    Returns:
        A point for each candidate, in their order.
    """
    gaps = [(label, spec.min_silence_seconds) for label, spec in candidates]
    zones = {key: [Zones(one, manifest, *key) for one in played] for key in dict.fromkeys(gaps)}
    found: list[list[list[float | None]]] = [[[None] * len(zone.sounds) for zone in zones[key]] for key in gaps]
    n_false_alarms, n_confused = [0] * len(candidates), [0] * len(candidates)
    columns = np.array([manifest.labels.index(label) for label, _ in candidates], np.intp)
    specs = [spec for _, spec in candidates]
    for edge, hop in onsets([one.posteriors for one in played], specs, manifest.hop_seconds, columns):
        zone = zones[gaps[edge.label]][edge.row]
        place = float(zone.places[edge.hop])
        heard = zone.sound_at(place)
        if heard is None:
            counts = n_confused if zone.is_on_another(place) else n_false_alarms
            counts[edge.label] += 1
        elif found[edge.label][edge.row][heard] is None:
            end = float(played[edge.row].end_seconds[hop])
            found[edge.label][edge.row][heard] = end - zone.sounds[heard].onset_seconds
    return [
        Point(
            threshold=spec.onset_threshold,
            delays_seconds=tuple(delay for row in delays for delay in row),
            groups=tuple(one.group for one, zone in zip(played, zones[key], strict=True) for _ in zone.sounds),
            n_false_alarms=n_false,
            hours=sum(zone.absent_seconds for zone in zones[key]) / 3600,
            n_confused=n_other,
        )
        for spec, key, delays, n_false, n_other in zip(specs, gaps, found, n_false_alarms, n_confused, strict=True)
    ]


def with_threshold(spec: DecisionSpec, at: float) -> DecisionSpec:
    """Return a decision with another onset_threshold, offset_threshold in proportion: as the configuration does it."""
    offset_threshold = min(at, spec.offset_threshold * (at / spec.onset_threshold))
    return msgspec.structs.replace(spec, onset_threshold=at, offset_threshold=offset_threshold)


def choose(points: Sequence[Point], alarms_per_hour: float) -> Point | None:
    """Return the best point among those that keep a budget, as all above them do; None if none hears a sound.

    The best hears most, confusions taken off. Of points that are equally good it is the middle one: as far from missing
    as from alarming.
    """
    return choose_within(points, alarms_per_hour * points[0].hours)


def choose_within(points: Sequence[Point], most: float) -> Point | None:
    """Return the same for a budget that is a number: so many false alarms at most, in all the hours together."""
    allowed = points[lowest_within(np.array([one.n_false_alarms for one in points]), most) :]
    hearing = [one for one in allowed if any(one.heard)]
    most_gained = max((one.n_gained for one in hearing), default=0)
    best = [one for one in hearing if one.n_gained == most_gained]
    return best[len(best) // 2] if best else None


def choose_and_report(
    played: Sequence[Played], manifest: Manifest, label: str, alarms_per_hour: float
) -> Chosen | None:
    """Choose a threshold for a budget on one half of the groups, and report it on the other.

    Returns:
        The choice; None if no threshold that keeps the budget on the choosing half hears a sound there.

    Raises:
        ValueError: a half would be without a sound of the label, or without audio in which it is absent.
    """
    choosing, reporting = (det(half, manifest, label) for half in halves(played, label))
    if not choosing[0].hours or not reporting[0].hours:
        raise ValueError(f"one half has no audio without {label}: false alarms can't be counted there; add background")
    point = choose(choosing, alarms_per_hour)
    if point is None:
        return None
    return Chosen(label, point, reporting[choosing.index(point)])


def halves(played: Sequence[Played], label: str) -> tuple[list[Played], list[Played]]:
    """Split streams in two, no group cut, so that both have about as many sounds of a label and as much audio.

    Raises:
        ValueError: sounds of the label are in fewer than two groups.
    """
    groups: dict[str, list[Played]] = {}
    for one in played:
        groups.setdefault(one.group, []).append(one)

    def size(streams: Sequence[Played]) -> tuple[int, int]:
        n_sounds = sum(sound.label == label for one in streams for sound in one.stream.sounds)
        return n_sounds, sum(len(one.posteriors) for one in streams)

    with_sound = [name for name, streams in groups.items() if size(streams)[0]]
    if len(with_sound) < 2:
        raise ValueError(
            f"sounds of {label} are in {len(with_sound)} group(s); a threshold is chosen on some and reported on "
            "others: at least two are needed"
        )
    both: tuple[list[Played], list[Played]] = ([], [])
    for name in sorted(groups, key=lambda name: (size(groups[name]), name), reverse=True):
        n_sounds = size(groups[name])[0]
        half = min(both, key=lambda half: size(half) if n_sounds else size(half)[1:])
        half += groups[name]
    return both


class Zones:
    """Where events of one label are expected in one stream, and where none: a sound lasts, give or take the collar."""

    def __init__(self, one: Played, manifest: Manifest, label: str, gap_seconds: float) -> None:
        """Find them; sounds closer than the gap are one, as the decision makes one event of them."""
        self.sounds = joined([sound for sound in one.stream.sounds if sound.label == label], gap_seconds)
        margin = collar(manifest.hop_seconds)
        self._onsets = np.array([sound.onset_seconds for sound in self.sounds])
        self._begins = self._onsets - margin
        self._ends = np.array([sound.offset_seconds for sound in self.sounds]) + margin
        others = [sound for sound in one.stream.sounds if sound.label != label]
        self._other_begins = np.array([sound.onset_seconds for sound in others]) - margin
        self._other_ends = np.array([sound.offset_seconds for sound in others]) + margin
        self._delay = manifest.onset_delay / manifest.sample_rate
        # Of every hop, where an event lies whose first candidate is this hop; the detector says the same.
        self.places = np.maximum(one.end_seconds - self._delay, 0.0)
        self.absent_seconds = self._n_absent() * manifest.hop_seconds

    def sound_at(self, place: float) -> int | None:
        """Return the index of the sound that an event with this onset, in seconds, is taken for; None: for none.

        It is the sound whose onset is nearest to the time in which the event may have begun, and of several in that
        time the one nearest to where the event was placed.
        """
        until = place + self._delay
        around = np.nonzero((self._begins <= until) & (place <= self._ends))[0]

        def distance(i: int) -> tuple[float, float]:
            onset = float(self._onsets[i])
            return max(place - onset, onset - until, 0.0), abs(onset - place)

        return min(map(int, around), key=distance, default=None)

    def is_on_another(self, place: float) -> bool:
        """Tell whether an event with this onset, in seconds, may have begun while a sound of another label lasted."""
        return bool(np.any((self._other_begins <= place + self._delay) & (place <= self._other_ends)))

    def _n_absent(self) -> int:
        """Number of hops at which an event would be a false alarm."""
        present = np.zeros(len(self.places), np.bool_)
        begins = np.concatenate([self._begins, self._other_begins]) - self._delay
        for begin, end in zip(begins, np.concatenate([self._ends, self._other_ends]), strict=True):
            present[np.searchsorted(self.places, begin, "left") : np.searchsorted(self.places, end, "right")] = True
        return int((~present).sum())


def joined(sounds: Sequence[Sound], gap_seconds: float) -> list[Sound]:
    """Return sounds of one label with those joined that lie closer than a gap: the decision makes one event of them."""
    found: list[Sound] = []
    for sound in sorted(sounds, key=lambda sound: sound.onset_seconds):
        if found and sound.onset_seconds - found[-1].offset_seconds < gap_seconds:
            end = max(found[-1].offset_seconds, sound.offset_seconds)
            found[-1] = replace(found[-1], offset_seconds=end)
        else:
            found.append(sound)
    return found

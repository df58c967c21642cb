"""Which event is which labelled sound: one to one, within a collar; precision, recall, F1 and confusion.

Event-based evaluation as in Mesaros, Heittola and Virtanen, "Metrics for polyphonic sound event detection", Applied
Sciences 6(6), 2016. The pairing is the best there is: as many pairs as possible, and of those pairings the one with
the least distance between onsets in all; so no order of the events changes a count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

COLLAR_SECONDS = 0.2
"""The collar of the DCASE challenges: about how exactly two people label the same onset."""
COLLAR_HOPS = 1.5
"""Decisions come once a hop: a sound that begins between two of them is at best known to a hop, and the delays that
the manifest takes off are medians, so half a hop is given on top."""
OFFSET_SHARE = 0.2
"""The offset of a long sound may be wrong by this part of its length, as in the DCASE challenges: sounds fade."""
_EXACT = 1e-9
"""Times are quotients of sample counts: what lies on the collar's edge is inside, whatever floats make of it."""


@dataclass(frozen=True)
class Sound:
    """A labelled sound, or an event that should be one. Seconds count from the beginning of its stream."""

    label: str
    onset_seconds: float
    offset_seconds: float
    published_seconds: float | None = None
    """An event: up to where the audio had been heard when the onset was published. A labelled sound: None."""
    peak: float | None = field(default=None, compare=False)
    """An event: its highest score. A labelled sound: None."""
    clip: str | None = field(default=None, compare=False)
    """A labelled sound: the recording it is from, in words for people. An event: None."""


@dataclass(frozen=True)
class Scores:
    """Counts of one label or of many, and what they come to. A quotient of nothing is None, never 0 or 1."""

    n_sounds: int = 0
    n_events: int = 0
    n_matched: int = 0

    def __add__(self, other: Scores) -> Scores:
        return Scores(self.n_sounds + other.n_sounds, self.n_events + other.n_events, self.n_matched + other.n_matched)

    @property
    def precision(self) -> float | None:
        """Part of the events that are a labelled sound."""
        return self.n_matched / self.n_events if self.n_events else None

    @property
    def recall(self) -> float | None:
        """Part of the labelled sounds that are an event."""
        return self.n_matched / self.n_sounds if self.n_sounds else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of the two."""
        n = self.n_sounds + self.n_events
        return 2 * self.n_matched / n if n else None


def collar(hop_seconds: float) -> float:
    """Return the seconds by which an onset may be wrong, for a model that decides every hop_seconds."""
    return max(COLLAR_SECONDS, COLLAR_HOPS * hop_seconds)


def score(
    sounds: Sequence[Sound], events: Sequence[Sound], collar_seconds: float, offset_share: float | None = OFFSET_SHARE
) -> dict[str, Scores]:
    """Return the counts of each label in one stream, labels in order; those of several streams add up.

    Args:
        sounds: what is labelled.
        events: what was detected.
        collar_seconds: see `collar`.
        offset_share: an offset may be wrong by this part of the labelled length, or by the collar where that is
            more; None compares onsets alone.
    """
    counts = {}
    for label in sorted({one.label for one in (*sounds, *events)}):
        mine = [one for one in sounds if one.label == label]
        theirs = [one for one in events if one.label == label]
        counts[label] = Scores(len(mine), len(theirs), len(match(mine, theirs, collar_seconds, offset_share)))
    return counts


def total(scores: Iterable[Scores]) -> Scores:
    """Return the sum of several counts: F1 of it is the micro average, in which every sound weighs the same."""
    return reduce(Scores.__add__, scores, Scores())


def confusion(
    sounds: Sequence[Sound], events: Sequence[Sound], collar_seconds: float
) -> Counter[tuple[str | None, str | None]]:
    """Return how often (label of a sound, label of its event) was found in one stream, by onset alone.

    First every sound is paired with an event of its own label, then what is left with events of any label. A sound
    without an event counts as (label, None), an event without a sound as (None, label).
    """
    pairs: list[tuple[int, int]] = []
    for label in {one.label for one in sounds}:
        mine = [i for i, one in enumerate(sounds) if one.label == label]
        theirs = [j for j, one in enumerate(events) if one.label == label]
        pairs += _match_some(sounds, events, mine, theirs, collar_seconds)
    pairs += _match_some(
        sounds,
        events,
        sorted(set(range(len(sounds))) - {i for i, _ in pairs}),
        sorted(set(range(len(events))) - {j for _, j in pairs}),
        collar_seconds,
    )
    missed = Counter(one.label for one in sounds) - Counter(sounds[i].label for i, _ in pairs)
    surplus = Counter(one.label for one in events) - Counter(events[j].label for _, j in pairs)
    found: Counter[tuple[str | None, str | None]] = Counter((sounds[i].label, events[j].label) for i, j in pairs)
    found.update({(label, None): n for label, n in missed.items()})
    found.update({(None, label): n for label, n in surplus.items()})
    return found


def match(
    sounds: Sequence[Sound], events: Sequence[Sound], collar_seconds: float, offset_share: float | None = OFFSET_SHARE
) -> list[tuple[int, int]]:
    """Return the best pairs (index of a sound, index of an event), sorted; labels are not looked at.

    Args are those of `score`.
    """
    # In the order of time, so that of pairings equally good the same one is taken, however the lists are sorted.
    by_sound, by_event = _in_time(sounds), _in_time(events)
    pairs = _match([sounds[i] for i in by_sound], [events[j] for j in by_event], collar_seconds, offset_share)
    return sorted((by_sound[i], by_event[j]) for i, j in pairs)


def _in_time(sounds: Sequence[Sound]) -> list[int]:
    return sorted(
        range(len(sounds)), key=lambda i: (sounds[i].onset_seconds, sounds[i].offset_seconds, sounds[i].label)
    )


def _match(
    sounds: Sequence[Sound], events: Sequence[Sound], collar_seconds: float, offset_share: float | None
) -> list[tuple[int, int]]:
    fits = _fitting(sounds, events, collar_seconds, offset_share)
    if not fits:
        return []
    # Sounds far apart don't compete: each cluster is a small problem of its own, however long the stream.
    n, size = len(sounds), len(sounds) + len(events)
    rows, columns = np.array(list(fits)).T
    graph = coo_array((np.ones(len(rows)), (rows, n + columns)), shape=(size, size))
    cluster: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    by_cluster: dict[int, list[tuple[int, int]]] = {}
    for pair in fits:
        by_cluster.setdefault(int(cluster[pair[0]]), []).append(pair)
    return [pair for pairs in by_cluster.values() for pair in _assign({pair: fits[pair] for pair in pairs})]


def _fitting(
    sounds: Sequence[Sound], events: Sequence[Sound], collar_seconds: float, offset_share: float | None
) -> dict[tuple[int, int], float]:
    """Return the distance between the onsets of every pair that may be one; the events are in the order of time."""
    onsets = np.array([event.onset_seconds for event in events])
    fits = {}
    for i, sound in enumerate(sounds):
        begin = np.searchsorted(onsets, sound.onset_seconds - collar_seconds - _EXACT, "left")
        end = np.searchsorted(onsets, sound.onset_seconds + collar_seconds + _EXACT, "right")
        for j in range(int(begin), int(end)):
            event = events[j]
            if offset_share is not None:
                length = sound.offset_seconds - sound.onset_seconds
                late = abs(event.offset_seconds - sound.offset_seconds)
                if late > max(collar_seconds, offset_share * length) + _EXACT:
                    continue
            fits[i, j] = abs(event.onset_seconds - sound.onset_seconds)
    return fits


def _assign(fits: dict[tuple[int, int], float]) -> list[tuple[int, int]]:
    """Return as many pairs as possible, and the nearest of those."""
    rows, columns = sorted({i for i, _ in fits}), sorted({j for _, j in fits})
    # One more pair outweighs all distances together; what doesn't fit costs nothing and brings nothing.
    bonus = 1.0 + sum(fits.values())
    cost = np.zeros((len(rows), len(columns)))
    for (i, j), distance in fits.items():
        cost[rows.index(i), columns.index(j)] = distance - bonus
    chosen = ((rows[r], columns[c]) for r, c in zip(*linear_sum_assignment(cost), strict=True))
    return [pair for pair in chosen if pair in fits]


def _match_some(
    sounds: Sequence[Sound], events: Sequence[Sound], mine: Sequence[int], theirs: Sequence[int], collar_seconds: float
) -> list[tuple[int, int]]:
    """Pair some of the sounds with some of the events by onset; indices are those of the whole."""
    pairs = match([sounds[i] for i in mine], [events[j] for j in theirs], collar_seconds, None)
    return [(mine[i], theirs[j]) for i, j in pairs]

"""What bands and representations are compared on: sounds and pieces of background, all of one rate, with groups."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.prepare.clips import Clip
from training.prepare.measure import Measured
from training.prepare.simulation.sounds import backgrounds_of, sounds_of
from training.prepare.trim import Trim
from training.process.range_of_interest import RATES, cut_up

MOST_SOUNDS = 600
"""Are compared, labels and groups in turns; more change no figure by what can be seen, and take longer."""
MOST_SECONDS = 5.0
"""Of a sound."""
LEAST_SECONDS = 0.1
"""Of a piece of background: shorter sounds are compared with pieces that have at least some frames."""
MOST_PIECES = 300
"""Of background."""
N_BLOCKS = 5
"""A single recording of background is cut into so many groups: it can't be left out and learnt from at once otherwise.
Its blocks share a room, so what is told from them is told a little too well."""
NARROW_SHARE = 0.1
"""Of recordings may be of a lower rate than the one at which bands are compared; these are left out."""


@dataclass(frozen=True, eq=False)
class Example:
    """One sound, or a piece without it."""

    label: str | None
    """None: background."""
    group: str
    """Examples of one group are never on both sides of a split."""
    audio: NDArray[np.float32]
    """(n_samples,)"""


def true_rate(clips: Sequence[Clip], measured: Mapping[Path, Measured]) -> int:
    """Return the highest rate at which all but NARROW_SHARE of each kind's recordings hold true audio, in Hz.

    A file says its sample rate, and where its spectrum ends in a cliff below, that it was made at a lower one. Each
    label counts alone, and the background: what one kind has none of would tell it by the recorder.
    """
    paths: dict[str | None, set[Path]] = defaultdict(set)
    for clip in clips:
        paths[clip.label].add(clip.path)
    rates = [sorted(_true_rate(measured[path]) for path in found) for found in paths.values()]
    return round(min([float(RATES[-1]), *(own[int(NARROW_SHARE * len(own))] for own in rates)]))


def wide_enough(clips: Sequence[Clip], measured: Mapping[Path, Measured], sample_rate: int) -> list[Clip]:
    """Return the clips whose recordings hold true audio up to half the sample rate."""
    return [clip for clip in clips if round(_true_rate(measured[clip.path])) >= sample_rate]


def _true_rate(m: Measured) -> float:
    return float(m.sample_rate) if m.cutoff_hz is None else min(2 * m.cutoff_hz, m.sample_rate)


def examples_of(clips: Sequence[Clip], sample_rate: int, trim: Trim | None = None) -> list[Example]:
    """Return sounds and pieces of background as long as the median sound, at a sample rate.

    Clips have their groups as sources.

    Raises:
        RecordingError: a recording can't be read.
    """
    longest = round(MOST_SECONDS * sample_rate)
    chosen = _in_turns([clip for clip in clips if clip.label is not None])[:MOST_SOUNDS]
    sounds = [
        Example(sound.label, str(sound.clip.source), sound.audio[:longest])
        for sound in sounds_of(sorted(chosen, key=lambda clip: str(clip.path)), sample_rate, trim)
    ][: 2 * MOST_SOUNDS]
    length = int(np.median([len(one.audio) for one in sounds])) if sounds else 0
    length = max(length, round(LEAST_SECONDS * sample_rate))
    background = [clip for clip in clips if clip.label is None]
    n_recordings = len({clip.source for clip in background})
    pieces: list[Example] = []
    for clip in background:
        cut = [piece for whole in backgrounds_of([clip], sample_rate) for piece in cut_up(whole, length)]
        step = max(1, len(cut) * len(background) // MOST_PIECES)
        for i, piece in list(enumerate(cut))[::step]:
            block = f" {i * N_BLOCKS // len(cut)}" if n_recordings < N_BLOCKS else ""
            pieces.append(Example(None, f"background {clip.source}{block}", piece))
    return sounds + pieces


def _in_turns(clips: Sequence[Clip]) -> list[Clip]:
    """Return clips so that the first n of them have as many of each label, and of each of its groups, as there are."""
    of_label: dict[str | None, dict[str | None, list[Clip]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        of_label[clip.label][clip.source].append(clip)
    labels = [_turns(list(groups.values())) for groups in of_label.values()]
    return _turns(labels)


def _turns(lists: Sequence[Sequence[Clip]]) -> list[Clip]:
    return [clip for turn in zip_longest(*lists) for clip in turn if clip is not None]


def by_label(examples: Sequence[Example]) -> dict[str | None, list[NDArray[np.float32]]]:
    """Return the audio of each label, that of the background under None."""
    found: dict[str | None, list[NDArray[np.float32]]] = defaultdict(list)
    for one in examples:
        found[one.label].append(one.audio)
    return dict(found)


def n_groups_of_rarest(examples: Sequence[Example]) -> int:
    """Return of how many groups the label is that has the fewest; 0 if there is only one kind of example."""
    counts = Counter(label for label, _ in {(one.label, one.group) for one in examples})
    return min(counts.values()) if len(counts) > 1 else 0

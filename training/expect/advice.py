"""What would help most: the one thing that stands between a model and a promise, as far as the numbers tell.

The rules, in their order, each with its reason:

1. Something leaks: no other number can be believed before it is found.
2. A label of the shipped model does better: nothing has to be trained.
3. Recall is not known: the held-out groups are too few, and nothing but more groups changes that.
4. Recall is the obstacle: of more groups, a nearer microphone and other labels the one that is surely worth something,
   and the most of these. Where none is, that is said.
5. False alarms are the obstacle: hours of the place itself, which show them and teach against them.
6. Recall is good, but of few groups: more of them, to count on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.expect.intervals import wilson_interval
from training.expect.label_verdict import GOOD_RECALL, LabelVerdict
from training.expect.learning_curve import LearningCurve
from training.expect.report import Cell, Condition, LabelFacts
from training.expect.shuffled import Shuffled

ENOUGH_GROUPS = 16
"""Held out: if all their sounds are heard, the interval begins at 0.8, which is good."""


@dataclass(frozen=True)
class _Gain:
    """Something that might help."""

    recall: float
    """What it would add, as far as was measured."""
    sentence: str


def helps_most(
    verdicts: Mapping[str, LabelVerdict],
    conditions: Sequence[Condition],
    matrix: Sequence[Cell],
    shipped: Sequence[LabelFacts],
    curve: LearningCurve | None,
    control: Shuffled | None,
) -> str:
    """Return what would help most, in a sentence or two.

    Args:
        verdicts: of each label.
        conditions: those in which the verdicts were found.
        matrix: cells of the robustness matrix; may be empty.
        shipped: labels to which a label of the shipped model answers at least as well.
        curve: the learning curve; None: nobody measured it.
        control: shuffled labels; None: nobody tried.
    """
    if control is not None and control.leaks:
        return "Find the leak: until shuffled labels fall to chance, none of these numbers can be believed."
    if shipped and len(shipped) == len(verdicts):
        names = ", ".join(f'"{one.answered_by}"' for one in shipped)
        return f"Nothing has to be trained: the shipped model's {names} does at least as well; switch it on."
    unknown = [label for label, one in verdicts.items() if one.hearing == "unknown"]
    if unknown:
        n_groups = min(one.heard_in.n_groups if one.heard_in else 0 for one in map(verdicts.__getitem__, unknown))
        return (
            f"Recordings of more groups (machines, places, days) of {_listed(unknown)}: with {n_groups} held out, what"
            f" is heard of others is not known; some {ENOUGH_GROUPS} would tell. More clips of the same groups don't."
        )
    missing = max(one.hours_missing for one in verdicts.values())
    if any(one.hearing != "good" and not one.is_unsure for one in verdicts.values()):
        gains = [gain for gain in (_groups(curve), _nearer(matrix), _labels(conditions)) if gain]
        if gains:
            return max(gains, key=lambda gain: gain.recall).sentence
        if curve is None:
            return (
                "More of the sounds have to be heard, and this run didn't measure what would help: train with"
                " --thorough, which fits on parts of the groups and plays the whole matrix."
            )
        return (
            "More of the sounds have to be heard, but neither more groups, nor a nearer microphone, nor other labels"
            " surely helped here: listen to the worst errors first."
        )
    if any(one.alarms == "broken" for one in verdicts.values()):
        return (
            "Recordings of what was taken for the sound: listen to the false alarms among the worst errors, and put an"
            " hour of their kind into background/."
        )
    if missing > 0:
        return _hours(missing, verdicts)
    unsure = [label for label, one in verdicts.items() if one.is_unsure]
    if unsure:
        return (
            f"Recordings of more groups (machines, places, days) of {_listed(unsure)}: what was heard is good, and"
            f" {ENOUGH_GROUPS} held-out groups that are all heard would make it sure."
        )
    return "Nothing stands out: try it in the place, and keep what it gets wrong as clips for the next training."


def _hours(missing: float, verdicts: Mapping[str, LabelVerdict]) -> str:
    given = all(one.alarms_in is not None and one.alarms_in.background == "given" for one in verdicts.values())
    more = "more " if given else ""
    if math.isinf(missing):
        return "An hour of the place itself, without the sound, in background/: no false alarm could be counted so far."
    hours = math.ceil(missing) if missing >= 1 else 1
    unit = "hour" if hours == 1 else "hours"
    why = "" if given else "; generated or shipped background says nothing of your room, however long it is"
    return (
        f"{hours} {more}{unit} of the place itself, without the sound, in background/: so long without a false alarm"
        f" shows the budget to be kept{why}."
    )


def _groups(curve: LearningCurve | None) -> _Gain | None:
    """More groups, where the learning curve surely rises."""
    if curve is None or curve.worth is None or curve.worth_interval is None:
        return None
    low, high = curve.worth_interval
    n_groups = curve.points[-1].n_groups
    return _Gain(
        curve.worth,
        f"More groups: twice the {n_groups} that it learned from are worth about {100 * curve.worth:+.0f} % of the"
        f" sounds ({100 * low:+.0f} to {100 * high:+.0f} %).",
    )


def _nearer(matrix: Sequence[Cell]) -> _Gain | None:
    """A nearer microphone, where what was seen in training is surely heard better with less noise or less room.

    Half the distance raises the direct path by 6 dB over noise and reverberation. What training never saw doesn't
    count: there, more variance would help and not less distance.
    """
    familiar = [cell for cell in matrix if cell.familiarity != "extrapolated" and cell.recall_interval]
    best: _Gain | None = None
    for hard in familiar:
        for easy in familiar:
            noise = _snr(easy) >= _snr(hard) + 6 and (easy.noise == hard.noise or easy.snr_db is None)
            noise = noise and _place(easy) == _place(hard)
            near = (easy.distance_m or 99) < (hard.distance_m or 0) and _air(easy) == _air(hard)
            if not (noise or near) or easy.recall_interval is None or hard.recall_interval is None:
                continue
            gain = easy.recall - hard.recall
            if easy.recall_interval[0] > hard.recall_interval[1] and (best is None or gain > best.recall):
                of = (
                    f"at {_told_snr(easy)} against {_told_snr(hard)}"
                    if noise
                    else (f"at {easy.distance_m:g} m against {hard.distance_m:g} m")
                )
                best = _Gain(
                    gain,
                    f"A nearer microphone: {100 * easy.recall:.0f} % of the sounds are heard {of}"
                    f" {100 * hard.recall:.0f} %, and half the distance is worth 6 dB.",
                )
    return best


def _labels(conditions: Sequence[Condition]) -> _Gain | None:
    """Another label set, where two labels are surely taken for each other."""
    counts: dict[tuple[str, str], int] = {}
    n_sounds: dict[str, int] = {}
    for condition in conditions:
        for sound, event, n in condition.confusion:
            if sound is not None:
                n_sounds[sound] = n_sounds.get(sound, 0) + n
            if sound is not None and event is not None and sound != event:
                first, second = sorted((sound, event))
                counts[first, second] = counts.get((first, second), 0) + n
    if not counts:
        return None
    (one, other), n_confused = max(counts.items(), key=lambda item: item[1])
    both = n_sounds.get(one, 0) + n_sounds.get(other, 0)
    low, _ = wilson_interval(n_confused, both)
    if low < (1 - GOOD_RECALL) / 2:
        return None  # under a tenth of them: joining the two gives up more than it brings
    return _Gain(
        n_confused / sum(n_sounds.values()),
        f"Other labels: {n_confused} of {both} sounds of {one} and {other} are taken for the other one. If you can do"
        " without the difference, join them in the recipe; else look for clips with the wrong label.",
    )


def _snr(cell: Cell) -> float:
    return math.inf if cell.snr_db is None else cell.snr_db


def _told_snr(cell: Cell) -> str:
    return "no noise" if cell.snr_db is None else f"{cell.snr_db:g} dB over {cell.noise} noise"


def _place(cell: Cell) -> tuple[float, str, float | None]:
    return cell.rt60_seconds, cell.microphone, cell.distance_m


def _air(cell: Cell) -> tuple[str, float | None, float, str]:
    return cell.noise, cell.snr_db, cell.rt60_seconds, cell.microphone


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:3])} and {len(names) - 3} more"

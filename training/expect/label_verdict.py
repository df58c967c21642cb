"""What may be said of one label: is it heard, and does it alarm too often? Each answer may be that nobody knows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from training.expect.intervals import poisson_bound, poisson_interval
from training.expect.report import Condition, ExpectChapter, LabelResult

GOOD_RECALL = 0.8
"""Four of five: a fault that shows itself more than once is then hardly ever missed for good."""
POOR_RECALL = 0.5
"""More are missed than heard."""

_BEST_BACKGROUND = ("given", "shipped", "generated")

Hearing = Literal["good", "fair", "poor", "by chance", "unknown"]
Alarms = Literal["kept", "open", "broken"]


@dataclass(frozen=True)
class LabelVerdict:
    """One label."""

    heard_in: LabelResult | None
    """Where most is at stake: real recordings before simulated ones, then the lowest recall."""
    condition: Condition | None
    """The condition of `heard_in`."""
    hearing: Hearing
    alarms: Alarms
    """Of the budget: shown to be kept, shown to be broken, or neither."""
    alarms_in: Condition | None
    """Where they were counted: the place's own background first, then the most hours."""
    hours_missing: float
    """Of audio without one false alarm that would show the budget to be kept; 0 where it is shown or broken."""

    @property
    def is_unsure(self) -> bool:
        """Whether what was heard is good, but of too few groups to count on it."""
        recall = self.heard_in.recall if self.heard_in else None
        return self.hearing == "fair" and recall is not None and recall >= GOOD_RECALL


def label_verdict(expect: ExpectChapter, label: str, sound_seconds: float | None = None) -> LabelVerdict:
    """Return what may be said of a label.

    Args:
        expect: conditions and budget.
        label: one that some condition has.
        sound_seconds: how long it lasts, for what events at random would hear; None: that isn't looked at.
    """
    found = [(condition, one) for condition in expect.conditions for one in condition.labels if one.label == label]
    with_sounds = [pair for pair in found if pair[1].recall is not None]
    with_sounds.sort(key=lambda pair: (pair[0].kind != "real", pair[1].recall))
    condition, heard_in = with_sounds[0] if with_sounds else (None, None)
    counted = sorted(found, key=lambda pair: (_BEST_BACKGROUND.index(pair[0].background), -pair[1].hours))
    counted = [pair for pair in counted if pair[1].hours > 0]
    alarms, missing = _alarms(counted[0][1], expect.alarms_per_hour) if counted else ("open", math.inf)
    hearing: Hearing = "unknown"
    if condition and heard_in:
        hearing = _hearing(heard_in, by_chance(heard_in, condition, sound_seconds))
    return LabelVerdict(heard_in, condition, hearing, alarms, counted[0][0] if counted else None, missing)


def by_chance(result: LabelResult, condition: Condition, sound_seconds: float | None) -> float:
    """Return the recall of events that come at random, as often as the false alarms may come at most (95 %).

    A sound is heard if an event begins while it lasts, give or take the collar; of a Poisson process at least one does
    with 1 - exp(-rate · duration).
    """
    if sound_seconds is None or result.hours <= 0:
        return 0.0
    most = poisson_interval(result.n_false_alarms, result.hours)[1]
    return 1 - math.exp(-most / 3600 * (sound_seconds + 2 * condition.collar_seconds))


def heard_sentence(verdict: LabelVerdict) -> str:
    """Return how much of a label was heard, and where."""
    one, condition = verdict.heard_in, verdict.condition
    if one is None or condition is None:
        return "No sound of it was played, so nothing can be said of what is heard."
    where = f"in {condition.name} ({condition.kind})"
    counts = f"{one.n_heard} of {one.n_sounds} sounds heard {where}"
    if one.recall_interval is None:
        return f"{counts}; all of one group, so nothing can be said of another."
    low, high = one.recall_interval
    said = {
        "good": "",
        "fair": "",
        "poor": ": more are missed than heard",
        "by chance": ": no more than events at random would hear",
        "unknown": f": {one.n_groups} groups can't tell good from bad",
    }[verdict.hearing]
    return f"{counts}, 95 % interval {100 * low:.0f} to {100 * high:.0f} % over {one.n_groups} groups{said}."


def worst_first(verdicts: Sequence[tuple[str, LabelVerdict]]) -> list[tuple[str, LabelVerdict]]:
    """Return labels with their verdicts, those that are heard worst first."""

    def recall(pair: tuple[str, LabelVerdict]) -> float:
        heard_in = pair[1].heard_in
        return -1.0 if heard_in is None or heard_in.recall is None else heard_in.recall

    return sorted(verdicts, key=recall)


def _hearing(result: LabelResult, chance: float) -> Hearing:
    if result.recall_interval is None:
        return "unknown"
    low, high = result.recall_interval
    if high < POOR_RECALL:
        return "poor" if low > chance else "by chance"
    if low >= GOOD_RECALL:
        return "good"
    return "unknown" if low < POOR_RECALL and high > GOOD_RECALL else "fair"


def _alarms(result: LabelResult, budget: float) -> tuple[Alarms, float]:
    if poisson_bound(result.n_false_alarms, result.hours) <= budget:
        return "kept", 0.0
    if poisson_interval(result.n_false_alarms, result.hours)[0] > budget:
        return "broken", 0.0
    return "open", poisson_bound(result.n_false_alarms, 1.0) / budget - result.hours

"""From numbers to words: is it feasible, at which level, why, and what would help most.

Never more certain than the intervals allow: what they leave open is called unknown, or feasible in part. "yes" takes a
recall whose lower end is good, and a budget of false alarms that is shown to be kept in recordings, for every label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from training.expect.advice import helps_most
from training.expect.intervals import wilson_interval
from training.expect.label_verdict import LabelVerdict, heard_sentence, label_verdict, worst_first
from training.expect.learning_curve import LearningCurve
from training.expect.report import Cell, Condition, ExpectChapter, LabelFacts, PrepareChapter
from training.expect.shuffled import Shuffled
from training.expect.similar_tasks import similar_tasks

Feasible = Literal["yes", "partly", "no", "unknown"]

NOT_TOLD_APART = (
    "Nothing tells which clips are of one recording. If they all are, each figure below is of that recording alone and"
    " says nothing of another: name their sources in labels.csv (path, source) and train again."
)
MOST_LABELS = 5
"""Told one by one, the worst first; the table has all."""


def judged(
    expect: ExpectChapter,
    prepare: PrepareChapter | None = None,
    curve: LearningCurve | None = None,
    control: Shuffled | None = None,
) -> ExpectChapter:
    """Return a chapter with its verdict filled in, and with the learning curve and the control where they are given.

    Args:
        expect: what was measured.
        prepare: what is known of the data; None where only a model is there.
        curve: what more groups are worth.
        control: what was left after training on shuffled labels.
    """
    facts = {one.label: one for one in prepare.labels} if prepare else {}
    names = list(dict.fromkeys(one.label for condition in expect.conditions for one in condition.labels))
    verdicts = {name: label_verdict(expect, name, _seconds(facts, name)) for name in names}
    conditions = [one for one in expect.conditions if any(one is found.condition for found in verdicts.values())]
    shipped = [facts[name] for name, one in verdicts.items() if name in facts and _shipped_is_better(facts[name], one)]
    told_apart = prepare is None or not _stand_alone(prepare)
    feasible, headline = _feasible(verdicts, shipped, control, told_apart=told_apart)
    return msgspec.structs.replace(
        expect,
        feasible=feasible,
        level=level(conditions, verdicts),
        verdict=[
            headline,
            *([] if told_apart else [NOT_TOLD_APART]),
            *_reasons(expect, verdicts, facts, shipped, curve, control),
        ],
        helps_most=helps_most(verdicts, conditions, expect.matrix, shipped, curve, control),
        learning_curve=curve.as_reported() if curve else expect.learning_curve,
        shuffled=control.as_reported() if control else expect.shuffled,
    )


def level(conditions: Sequence[Condition], verdicts: Mapping[str, LabelVerdict]) -> str:
    """Return at which level the model answers: that it sounds, which one it is; never what it means.

    That it sounds: an event of any label. Which one: of the sounds that gave an event, the part with the right label
    must surely be above what always naming the commonest would give. Sounds of a group are alike, so no more than the
    groups count for the interval.
    """
    pairs = [(sound, event, n) for one in conditions for sound, event, n in one.confusion if sound is not None]
    n_sounds = sum(n for _, _, n in pairs)
    detected = [(sound, event, n) for sound, event, n in pairs if event is not None]
    n_detected = sum(n for _, _, n in detected)
    if not n_sounds:
        return "At none that is known: no sound was played."
    if all(one.hearing in ("poor", "by chance") for one in verdicts.values()):
        return "Not even that it sounds: more is missed than heard."
    meaning = "What it means is for people to say."
    if len(verdicts) == 1:
        return f"That it sounds: one label says no more. {meaning}"
    if not n_detected:
        return f"Not even that it sounds: none of {n_sounds} sounds gave an event."
    n_right = sum(n for sound, event, n in detected if sound == event)
    commonest = max(sum(n for sound, _, n in detected if sound == name) for name in verdicts) / n_detected
    n_groups = sum(max((one.n_groups for one in condition.labels), default=0) for condition in conditions)
    right = n_right / n_detected
    counted = min(n_detected, max(1, n_groups))
    low, high = wilson_interval(round(right * counted), counted)
    found = (
        f"of {n_detected} sounds that gave an event, {100 * right:.0f} % gave the right one (95 % interval"
        f" {100 * low:.0f} to {100 * high:.0f} %; always naming the commonest gives {100 * commonest:.0f} %)"
    )
    if low > commonest:
        return f"Which one it is: {found}. {meaning}"
    return f"That it sounds, not which one: {found}. {meaning}"


def _stand_alone(prepare: PrepareChapter) -> bool:
    """Tell whether most groups are a clip of which nothing is known: all of them may be of one recording."""
    return prepare.evidence.get("alone", 0) > sum(prepare.evidence.values()) / 2


def _feasible(
    verdicts: Mapping[str, LabelVerdict],
    shipped: Sequence[LabelFacts],
    control: Shuffled | None,
    *,
    told_apart: bool,
) -> tuple[Feasible, str]:
    """Return the verdict and its first sentence; told_apart: it is known which clips are of one recording."""
    found = list(verdicts.values())
    if control is not None and control.leaks:
        return "unknown", "Not known: the model tells labels that it can't have learned, so something leaks."
    if not found or all(one.hearing == "unknown" for one in found):
        return "unknown", "Not known: the held-out recordings are too few to tell good from bad."
    if not any(one.hearing in ("good", "fair") for one in found):
        if any(one.hearing == "unknown" for one in found):
            return "unknown", "Not known: some sounds are missed, and of others too few were held out to tell."
        return "no", "Not with these clips: more of the sounds are missed than heard."
    if all(one.alarms == "broken" for one in found):
        return "no", "Not with these clips: false alarms come more often than the budget allows, surely."
    if shipped and len(shipped) == len(found):
        return "partly", "It can be done, but not better than with the shipped model, which needs no training."
    recorded = all(one.alarms_in is not None and one.alarms_in.background != "generated" for one in found)
    heard, kept = all(one.hearing == "good" for one in found), all(one.alarms == "kept" for one in found)
    if heard and kept and recorded and told_apart:
        return "yes", "Feasible: the sounds are heard, and the budget of false alarms is kept, both surely."
    parts = {
        "nothing tells which clips are of one recording": not told_apart,
        "too many sounds are still missed": any(
            one.hearing in ("fair", "poor", "by chance") and not one.is_unsure for one in found
        ),
        "what is heard is good, but of too few groups to count on it": any(one.is_unsure for one in found),
        "of some labels it is not known what is heard": any(one.hearing == "unknown" for one in found),
        "false alarms are above the budget": any(one.alarms == "broken" for one in found),
        "false alarms can't be promised yet": any(one.alarms == "open" for one in found),
        "false alarms were counted in generated background only": not recorded,
    }
    return "partly", f"Feasible in part: {'; '.join(part for part, is_so in parts.items() if is_so)}."


def _reasons(
    expect: ExpectChapter,
    verdicts: Mapping[str, LabelVerdict],
    facts: Mapping[str, LabelFacts],
    shipped: Sequence[LabelFacts],
    curve: LearningCurve | None,
    control: Shuffled | None,
) -> list[str]:
    """Return a line for each thing that the verdict rests on."""
    lines = []
    told = worst_first(list(verdicts.items()))
    for name, one in told[:MOST_LABELS]:
        lines.append(f"{name}: {heard_sentence(one)}{_alarms_sentence(one, name)}")
    if len(told) > MOST_LABELS:
        lines.append(f"The other {len(told) - MOST_LABELS} labels are heard better; the table has them.")
    if not any(one.kind == "real" for one in expect.conditions):
        lines.append("All of it is simulated: no real recording was held out, so the place may still surprise.")
    for name in verdicts:
        line = _shipped_line(facts.get(name), is_better=any(one.label == name for one in shipped))
        lines += [line] if line else []
    lines += [control.sentence] if control else []
    lines += [curve.sentence] if curve else []
    lines += _matrix_lines(expect.matrix)
    solved = "; ".join(one.sentence for one in similar_tasks(len(verdicts)))
    return [*lines, f"For scale, solved elsewhere on other data and by other measures: {solved}."]


def _alarms_sentence(one: LabelVerdict, name: str) -> str:
    if one.alarms_in is None:
        return " False alarms were not counted."
    counted = next(found for found in one.alarms_in.labels if found.label == name)
    return f" {counted.alarms}"


def _seconds(facts: Mapping[str, LabelFacts], name: str) -> float | None:
    return facts[name].median_seconds if name in facts else None


def _shipped_is_better(facts: LabelFacts, verdict: LabelVerdict) -> bool:
    """Whether a label of the shipped model surely answers to more of the clips than is heard at best.

    It is asked in the bare clips, and ours in its conditions, so only a clear difference counts.
    """
    if facts.answered_by is None or not facts.n_answered or verdict.heard_in is None:
        return False
    if verdict.heard_in.recall_interval is None or verdict.hearing == "unknown":
        return False
    # Clips of a group are alike: each group counts once.
    low, _ = wilson_interval(round(facts.n_answered / facts.n_clips * facts.n_groups), facts.n_groups)
    return low > verdict.heard_in.recall_interval[1]


def _shipped_line(facts: LabelFacts | None, is_better: bool) -> str:
    if facts is None or facts.answered_by is None or not facts.n_answered:
        return ""
    said = (
        f'{facts.label}: in the bare clips the shipped model\'s "{facts.answered_by}" answers to {facts.n_answered} of'
        f" {facts.n_clips}"
    )
    return f"{said}, surely more than is heard here." if is_better else f"{said}."


def _matrix_lines(matrix: Sequence[Cell]) -> list[str]:
    """Return what recall is inside of what training drew, and where it is worst outside of it."""
    inside = [cell for cell in matrix if cell.familiarity != "extrapolated"]
    outside = [cell for cell in matrix if cell.familiarity == "extrapolated"]
    lines = []
    if inside:
        least, most = (choose(inside, key=lambda cell: cell.recall) for choose in (min, max))
        between = f"{100 * least.recall:.0f} to {100 * most.recall:.0f} % are heard, fewest with {_told(least)}"
        same = f"{_heard(most.recall)} {'everywhere' if most.recall else 'anywhere'}"
        same = _heard_with(most) if len(inside) == 1 else same
        lines.append(f"Inside of what training drew, {between if least.recall < most.recall else same}.")
    if outside:
        least = min(outside, key=lambda cell: cell.recall)
        lines.append(f"Outside of it, where nothing is promised, {_heard_with(least)}.")
    return lines


def _heard_with(cell: Cell) -> str:
    return f"{_heard(cell.recall)} with {_told(cell)}"


def _heard(recall: float) -> str:
    return f"{100 * recall:.0f} % are heard" if recall else "none is heard"


def _told(cell: Cell) -> str:
    noise = "no noise" if cell.snr_db is None else f"{cell.noise} noise at {cell.snr_db:g} dB"
    room = f"RT60 {cell.rt60_seconds:g} s" if cell.rt60_seconds else "no room"
    distance = f", {cell.distance_m:g} m" if cell.distance_m is not None and cell.rt60_seconds else ""
    return f"{noise}, {room}{distance}, microphone {cell.microphone}"

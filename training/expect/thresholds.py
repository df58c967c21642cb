"""Thresholds for a budget of false alarms: chosen on some groups, to be reported on others, written into the model.

Besides the onset threshold it is chosen how long a score is smoothed, how many hops must confirm a sound and how much
silence ends it: from a few values, by the daemon's own decision, and the simplest one unless another really pays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil
from pathlib import Path

import msgspec
import numpy as np

from streamd.decision import DecisionSpec
from streamd.manifest import Manifest
from training.expect.budget import ALARMS_PER_HOUR
from training.expect.delays import Delays
from training.expect.det import THRESHOLDS, Point, choose_within, outcomes, with_threshold
from training.expect.false_alarms import lowest_within
from training.expect.intervals import poisson_bound
from training.expect.outcomes import event_f1
from training.expect.play import Played, decide
from training.expect.rewrite import with_decisions
from training.expect.stream_delays import believable_delays, rough_onset_delay

CONFIRMING_HOPS = (1, 2, 3)
"""To choose n_confirm from. Earshot, a wake-word engine, went from 2.23 to no false alarms an hour with three, and lost
no recall; more would come too late for whoever waits."""
SMOOTHED_HOPS = (1, 3)
"""To choose smoothing from: a mean of three is what forgives a single low hop, which confirmation does not."""
MIN_SILENCE_SECONDS = (0.25, 0.5, 1.0, 2.0)
"""To choose from: pauses between words, steps, the beeps of one alarm, the barks of one dog."""
PAYS_SHARE = 0.02
PAYS_SOUNDS = 2
"""A decision that is less simple must hear so many sounds more, confusions taken off, and that part of all: one sound
is luck."""
F1_PAYS = 0.02
"""The same for another min_silence."""
USABLE_SHARE = 0.5
"""Where no threshold keeps the budget, one is chosen that hears at least this share of what the best hears: the one
that alarms least of all is nearly always deaf, and helps nobody to find out what it would take."""
LEAST_UNHEARD = 0.5
"""Where a label has no sound to choose by, its threshold is at least this: the lowest that is quiet on these negatives
would likely alarm on others."""


@dataclass(frozen=True)
class Choice:
    """How one label is decided."""

    label: str
    decision: DecisionSpec
    chosen_on: Point | None
    """What the decision came to where it was chosen; None where no threshold hears any sound, or there was none."""
    keeps_budget: bool
    """False where every threshold that hears something makes more false alarms than the budget allows."""
    without_sounds: Point | None = None
    """What the decision came to where there was no sound of the label, only audio without it; None where there was."""


@dataclass(frozen=True)
class Tuned:
    """What was chosen and measured on the tuning streams."""

    manifest: Manifest
    choices: tuple[Choice, ...]
    delays: Delays | None
    """None where nothing was heard: the manifest keeps its delays."""
    hours: float
    """Of audio that was played to choose."""

    def sentence(self, alarms_per_hour: float, chosen_on: str, reported_on: str) -> str:
        """Return on what thresholds were chosen and on what they are reported, and what keeps no budget."""
        said = (
            f"Chosen for at most {alarms_per_hour:g} false alarms an hour and label on {chosen_on}"
            f" ({self.hours:.2g} h), reported on {reported_on}."
        )
        provable = hours_to_prove(alarms_per_hour)
        absent = [choice.chosen_on.hours for choice in self.choices if choice.chosen_on is not None]
        if min(absent, default=provable) < provable:
            said += (
                f" To show that {alarms_per_hour:g} an hour is kept takes {provable:.2g} h without the sound and"
                " without an alarm; there were fewer, so the thresholds are those that gave no false alarm at all."
            )
        over = [choice.label for choice in self.choices if choice.chosen_on is not None and not choice.keeps_budget]
        unheard = [choice for choice in self.choices if choice.without_sounds is not None]
        quiet = [choice.label for choice in unheard if choice.keeps_budget]
        loud = [choice.label for choice in unheard if not choice.keeps_budget]
        deaf = [choice.label for choice in self.choices if choice.chosen_on is None and choice.without_sounds is None]
        if over:
            said += (
                f" No threshold keeps that for {', '.join(over)}: taken was what alarmed least of those that hear half"
                " of what can be heard."
            )
        if quiet:
            said += (
                f" There was no sound of {', '.join(quiet)}: the lowest threshold from {LEAST_UNHEARD:g} on that gave"
                " no false alarm was taken; what it hears is not known."
            )
        if loud:
            said += (
                f" There was no sound of {', '.join(loud)}, and every threshold gave a false alarm: the highest was"
                " taken; what it hears is not known."
            )
        if deaf:
            said += f" Not chosen for {', '.join(deaf)}: none of its sounds was heard there."
        return said


def hours_to_prove(alarms_per_hour: float) -> float:
    """Return the hours without a false alarm that bound the rate by a budget: 6 for 0.5 an hour."""
    return poisson_bound(0, 1.0) / alarms_per_hour


def most_alarms(hours: float, alarms_per_hour: float) -> int:
    """Return how many false alarms may be counted in some hours, so that their 95 % bound still keeps a budget.

    0 where the hours are too few to show it: there is then nothing better than no false alarm at all.
    """
    n = 0
    while hours > 0 and poisson_bound(n + 1, hours) <= alarms_per_hour:
        n += 1
    return n


def tune(file: Path, played: Sequence[Played], manifest: Manifest, alarms_per_hour: float = ALARMS_PER_HOUR) -> Tuned:
    """Choose decisions and measure delays on streams that were played, and write both into the model file.

    Args:
        file: the model; it is rewritten and verified.
        played: tuning streams, by this model, or by models of the same training that never heard them.
        manifest: of the model.
        alarms_per_hour: the budget of each label.
    """
    tuned = choose_decisions(played, manifest, alarms_per_hour)
    decisions = {choice.label: choice.decision for choice in tuned.choices}
    return replace(tuned, manifest=with_decisions(file, decisions, tuned.delays))


def in_halves(played: Sequence[Played]) -> tuple[list[Played], list[Played]]:
    """Return streams in two halves, to choose on one and to report on the other: no group cut, labels shared evenly.

    For streams of groups that were left out one after the other, and tested with what was learned from the rest. A
    label of one group is in one half only: there it can be chosen for or reported on, not both. Streams without sounds
    are shared out one by one, unless their group has sounds elsewhere: pieces of one background recording have one
    group, but were cut apart with a pause between them.
    """
    sounding = {one.group for one in played if one.stream.sounds}
    groups: dict[tuple[str, int], list[Played]] = {}
    for i, one in enumerate(played):
        groups.setdefault((one.group, 0 if one.group in sounding else i), []).append(one)
    n_sounds = {
        name: Counter(sound.label for one in own for sound in one.stream.sounds) for name, own in groups.items()
    }
    n_hops = {name: sum(len(one.posteriors) for one in own) for name, own in groups.items()}
    of_all = sum(n_sounds.values(), Counter[str]())
    in_half: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    hops_in_half = [0, 0]
    both: tuple[list[Played], list[Played]] = ([], [])
    for name in sorted(groups, key=lambda name: (-n_sounds[name].total(), -n_hops[name], name)):
        own = n_sounds[name]

        def fullness(half: int, own: Counter[str] = own) -> tuple[float, int]:
            return sum((in_half[half][label] + n) / of_all[label] for label, n in own.items()), hops_in_half[half]

        half = min((0, 1), key=fullness)
        both[half].extend(groups[name])
        in_half[half].update(own)
        hops_in_half[half] += n_hops[name]
    return both


def choose_decisions(
    played: Sequence[Played],
    manifest: Manifest,
    alarms_per_hour: float = ALARMS_PER_HOUR,
    labels: Sequence[str] | None = None,
) -> Tuned:
    """Choose how labels are decided, and measure the delays of that; no file is touched.

    Args:
        played: tuning streams, with whatever decisions.
        manifest: of the model that played them; where nothing can be chosen its decisions stay.
        alarms_per_hour: the budget of each label.
        labels: those to choose for; None: all.
    """
    labels = manifest.labels if labels is None else labels
    facts = msgspec.structs.replace(manifest, onset_delay=rough_onset_delay(played, manifest), offset_delay=0)
    plain = {
        label: msgspec.structs.replace(facts.decision_of(label), smoothing_seconds=0.0, n_confirm=1) for label in labels
    }
    first = _chosen(played, facts, [(label, [spec]) for label, spec in plain.items()], alarms_per_hour)
    facts = _decided(facts, first)
    facts = _with_delays(facts, believable_delays(played, facts))
    silences = _min_silences(played, facts, labels)
    candidates = [
        (label, _ways(msgspec.structs.replace(spec, min_silence_seconds=silences[label]), facts.hop_seconds))
        for label, spec in plain.items()
    ]
    choices = _chosen(played, facts, candidates, alarms_per_hour)
    facts = _decided(facts, choices)
    delays = believable_delays(played, facts)
    hours = sum(len(one.posteriors) for one in played) * facts.hop_seconds / 3600
    if delays is None:
        facts = msgspec.structs.replace(facts, onset_delay=manifest.onset_delay, offset_delay=manifest.offset_delay)
    return Tuned(_with_delays(facts, delays), tuple(choices), delays, hours)


def _ways(spec: DecisionSpec, hop_seconds: float) -> list[DecisionSpec]:
    """Return a decision with the values that are tried for it, the simplest first."""
    ways = [msgspec.structs.replace(spec, n_confirm=n) for n in CONFIRMING_HOPS]
    smoothed = [n * hop_seconds for n in SMOOTHED_HOPS if n > 1]
    return ways + [msgspec.structs.replace(spec, smoothing_seconds=round(seconds, 6)) for seconds in smoothed]


def _chosen(
    played: Sequence[Played],
    facts: Manifest,
    candidates: Sequence[tuple[str, Sequence[DecisionSpec]]],
    alarms_per_hour: float,
) -> list[Choice]:
    """Return the best of some decisions for each label, at the best threshold of each."""
    tried = [(label, i, spec) for label, specs in candidates for i, spec in enumerate(specs)]
    all_of = [(label, with_threshold(spec, at)) for label, _, spec in tried for at in THRESHOLDS]
    points = outcomes(played, facts, all_of)
    rows = [points[i * len(THRESHOLDS) : (i + 1) * len(THRESHOLDS)] for i in range(len(tried))]
    choices = []
    for label, group in groupby(zip(tried, rows, strict=True), key=lambda pair: pair[0][0]):
        best: Choice | None = None
        for (_, _, spec), row in group:
            found = _best(label, spec, row, alarms_per_hour)
            if best is None or _pays(found, best):
                best = found
        if best is not None:
            choices.append(best)
    return choices


def _best(label: str, spec: DecisionSpec, row: Sequence[Point], alarms_per_hour: float) -> Choice:
    if row[0].recall is None and row[0].hours:
        high = [one for one in row if one.threshold >= LEAST_UNHEARD]
        lowest = lowest_within(np.array([one.n_false_alarms for one in high]), 0)
        silent = high[min(lowest, len(high) - 1)]
        decision = with_threshold(spec, silent.threshold)
        return Choice(label, decision, None, keeps_budget=not silent.n_false_alarms, without_sounds=silent)
    point = choose_within(row, most_alarms(row[0].hours, alarms_per_hour))
    if point is not None:
        return Choice(label, with_threshold(spec, point.threshold), point, keeps_budget=True)
    hearing = [one for one in row if any(one.heard)]
    if not hearing:
        return Choice(label, spec, None, keeps_budget=False)
    most = max(sum(one.heard) for one in hearing)
    usable = [one for one in hearing if sum(one.heard) >= USABLE_SHARE * most]
    least = min(usable, key=lambda one: (one.n_false_alarms, -one.n_gained))
    return Choice(label, with_threshold(spec, least.threshold), least, keeps_budget=False)


def _pays(one: Choice, simpler: Choice) -> bool:
    """Tell whether a decision is so much better that it is worth its delay."""
    if one.chosen_on is None or simpler.chosen_on is None:
        return one.chosen_on is not None
    if one.keeps_budget != simpler.keeps_budget:
        return one.keeps_budget
    if not one.keeps_budget:
        return one.chosen_on.n_false_alarms < simpler.chosen_on.n_false_alarms / 2
    more = one.chosen_on.n_gained - simpler.chosen_on.n_gained
    return more >= max(PAYS_SOUNDS, ceil(PAYS_SHARE * len(one.chosen_on.heard)))


def _min_silences(played: Sequence[Played], facts: Manifest, labels: Sequence[str]) -> dict[str, float]:
    """Return after how much silence a sound of each label is over: its own value, unless another gives a better F1."""
    sounding = [one for one in played if one.stream.sounds]
    own = decide(sounding, facts)
    best = {
        label: (event_f1(own, facts.hop_seconds, label) or 0.0, facts.decision_of(label).min_silence_seconds)
        for label in labels
    }
    for seconds in MIN_SILENCE_SECONDS:
        tried = {
            label: msgspec.structs.replace(facts.decision_of(label), min_silence_seconds=seconds) for label in labels
        }
        other = _with_all(facts, tried)
        # Of a longer silence the offset is known later, but lies where it lay: the delays stay.
        again = decide(sounding, other)
        for label in labels:
            f1 = event_f1(again, other.hop_seconds, label) or 0.0
            if f1 > best[label][0] + F1_PAYS:
                best[label] = f1, seconds
    return {label: seconds for label, (_, seconds) in best.items()}


def _decided(facts: Manifest, choices: Sequence[Choice]) -> Manifest:
    return _with_all(facts, {choice.label: choice.decision for choice in choices})


def _with_all(facts: Manifest, decisions: Mapping[str, DecisionSpec]) -> Manifest:
    return msgspec.structs.replace(facts, label_decisions={**facts.label_decisions, **decisions})


def _with_delays(facts: Manifest, delays: Delays | None) -> Manifest:
    if delays is None:
        return facts
    return msgspec.structs.replace(facts, onset_delay=delays.onset, offset_delay=delays.offset)

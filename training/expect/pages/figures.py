"""The pictures of a report, as <svg> elements; whatever they show stands in a table beside them, too."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from training.expect import intervals
from training.expect.pages.words import number
from training.expect.report import (
    Condition,
    DesignChapter,
    DetPoint,
    ExpectChapter,
    LabelResult,
    PrepareChapter,
    Report,
)
from training.process.plot_style import GRID, INK, MARK, SERIES, figure, style, svg

MOST_LINES = len(SERIES)
"""Of one picture; where there are more labels, those that are heard least are drawn."""

_LONGEST_NAME = 22
"""Letters of a label in a picture; its table has all of them."""


def figures(report: Report) -> dict[str, str]:
    """Return the pictures of a report by name; what was not measured has none.

    Names: "separability", "field", "losses", "learning", "stages", and with the number of the condition behind them
    "det-0", "operating-0", "delay-0", "calibration-0".
    """
    expect, made = report.expect, {}

    def add(name: str, title: str, drawn: Figure | None) -> None:
        if drawn is not None:
            made[name] = svg(drawn, name, title)

    with style():
        add("separability", "How well each band tells sounds apart, over frequency", _separability(report))
        if report.design is not None:
            add("field", "Receptive field beside event lengths", _field(report.design, report.prepare))
            add("losses", "Training loss, recall and false alarms over steps", _losses(report.design))
        for i, condition in enumerate(expect.conditions):
            where = f" ({condition.name})"
            add(f"det-{i}", f"Recall against false alarms an hour{where}", _det(condition, expect.alarms_per_hour))
            add(f"operating-{i}", f"Recall and false alarms of each label{where}", _operating(condition, expect))
            add(f"delay-{i}", f"Detection delay of each label{where}", _delay(condition))
            add(f"calibration-{i}", f"Posterior against how often the sound was there{where}", _calibration(condition))
        add("learning", "Recall over the number of groups trained on", _learning(expect))
        add("stages", "Recall lost without each stage of the simulator", _stages(expect))
    return made


def _det(condition: Condition, budget: float) -> Figure | None:
    results = [one for one in condition.labels if any(_can_be_drawn(point) for point in one.det)]
    if not results:
        return None
    drawn = figure(4.5, 3.6)
    axes = drawn.add_subplot()
    hours = max(point.hours for one in results for point in one.det)
    none_counted = 0.45 / hours
    shown = sorted(results, key=_missed_most)[:MOST_LINES]
    for one, series in zip([one for one in results if one in shown], SERIES, strict=False):
        points = [point for point in one.det if _can_be_drawn(point)]
        rates = [point.n_false_alarms / point.hours or none_counted for point in points]
        recalls = [point.recall or 0.0 for point in points]
        axes.plot(rates, recalls, **series.line, markersize=2.5, label=_short(one.label))
        if one.recall is not None and one.hours:
            at = one.n_false_alarms / one.hours or none_counted
            _interval(axes, at, one.recall, one, series.colour)
            axes.plot([at], [one.recall], color=series.colour, marker=series.marker, markersize=9, markeredgecolor=INK)
    axes.axvline(budget, color=MARK, linestyle=(0, (4, 2)), linewidth=1.4)
    axes.annotate(
        f"budget {number(budget)}/h",
        (budget, 0.02),
        xytext=(3, 0),
        textcoords="offset points",
        color=MARK,
        fontsize=9,
        rotation=90,
    )
    least = min(none_counted, budget) / 1.5
    axes.axvspan(least, 1 / hours, color=GRID, alpha=0.45, linewidth=0)
    _log_axis(axes)
    axes.set_xlim(left=least)
    axes.set(xlabel="false alarms an hour (grey: none counted)", ylabel="recall", ylim=(-0.03, 1.03))
    if len(shown) > 1:
        drawn.legend(loc="outside lower center", ncols=2)
    return drawn


def _interval(axes: Axes, at: float, recall: float, one: LabelResult, colour: str) -> None:
    """Draw the intervals around an operating point."""
    low, high = intervals.poisson_interval(one.n_false_alarms, one.hours)
    axes.plot([low or at, high], [recall, recall], color=colour, alpha=0.6)
    if one.recall_interval is not None:
        axes.plot([at, at], one.recall_interval, color=colour, alpha=0.6)


def _operating(condition: Condition, expect: ExpectChapter) -> Figure | None:
    results = condition.labels
    if not results:
        return None
    drawn = figure(4.5, 1.1 + 0.28 * len(results))
    left, right = drawn.subplots(1, 2, sharey=True)
    for row, one in enumerate(results):
        if one.recall is not None:
            if one.recall_interval is not None:
                left.plot(one.recall_interval, [row, row], color=SERIES[0].colour, linewidth=2.5, alpha=0.6)
            left.plot([one.recall], [row], **SERIES[0].line)
        if one.hours:
            low, high = intervals.poisson_interval(one.n_false_alarms, one.hours)
            if one.n_false_alarms:
                right.plot([low, high], [row, row], color=SERIES[1].colour, linewidth=2.5, alpha=0.6)
                right.plot([one.n_false_alarms / one.hours], [row], **SERIES[1].line)
            else:
                bound = intervals.poisson_bound(0, one.hours)
                right.plot([bound], [row], color=SERIES[1].colour, marker="<", markerfacecolor="none")
    right.axvline(expect.alarms_per_hour, color=MARK, linestyle=(0, (4, 2)), linewidth=1.4)
    _log_axis(right, room=15.0)
    left.set(xlabel="recall", xlim=(-0.03, 1.03))
    right.set(xlabel="false alarms an hour")
    _label_rows(left, [one.label for one in results])
    return drawn


def _delay(condition: Condition) -> Figure | None:
    results = [(one.label, one.delay_seconds) for one in condition.labels if one.delay_seconds is not None]
    if not results:
        return None
    drawn = figure(4.5, 0.9 + 0.28 * len(results))
    axes = drawn.add_subplot()
    for row, (_, (median, late)) in enumerate(results):
        axes.plot([median, late], [row, row], color=SERIES[0].colour, linewidth=2.5, alpha=0.6)
        axes.plot([median], [row], **SERIES[0].line)
        axes.plot([late], [row], color=SERIES[0].colour, marker="|", markersize=9)
    axes.set(xlabel="seconds from the onset to the event")
    axes.set_xlim(left=min(0.0, *(median for _, (median, _) in results)))
    _label_rows(axes, [label for label, _ in results])
    return drawn


def _calibration(condition: Condition) -> Figure | None:
    if not condition.calibration:
        return None
    drawn = figure(4.5, 3.6)
    axes = drawn.add_subplot()
    axes.plot([0, 1], [0, 1], color=GRID, linewidth=1.5)
    posteriors, shares, _ = zip(*condition.calibration, strict=True)
    axes.plot(posteriors, shares, **SERIES[0].line)
    axes.set(xlabel="posterior", ylabel="share of hops with the sound", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    return drawn


def _separability(report: Report) -> Figure | None:
    process = report.process
    if process is None or not process.separability:
        return None
    drawn = figure()
    axes = drawn.add_subplot()
    axes.plot(process.band_hz, process.separability, **SERIES[0].line)
    axes.axhline(0.5, color=GRID, linewidth=1.5)
    for name in ("fmin", "fmax"):
        if (at := process.log_mel.get(name)) is not None:
            axes.axvline(at, color=MARK, linestyle=(0, (4, 2)), linewidth=1.4)
            axes.annotate(
                f"{name} {number(at)} Hz",
                (at, 0.98),
                xycoords=("data", "axes fraction"),
                xytext=(3, 0) if name == "fmin" else (-11, 0),
                textcoords="offset points",
                rotation=90,
                va="top",
                color=MARK,
                fontsize=9,
            )
    _log_axis(axes)
    axes.set(xlabel="band, Hz", ylabel="AUC of its level alone", ylim=(0.45, 1.02))
    return drawn


def _field(design: DesignChapter, prepare: PrepareChapter | None) -> Figure:
    bars = [("receptive field", design.receptive_field_seconds), ("events, 90th percentile", design.event_seconds)]
    bars += [(f"median of {_short(one.label)}", one.median_seconds) for one in (prepare.labels if prepare else [])]
    drawn = figure(4.5, 0.8 + 0.28 * len(bars))
    axes = drawn.add_subplot()
    names, seconds = zip(*bars, strict=True)
    painted = axes.barh(range(len(bars)), seconds, height=0.6, color=SERIES[5].colour, alpha=0.75)
    painted[0].set(facecolor=SERIES[0].colour, alpha=1)
    axes.bar_label(painted, [f" {number(one)} s" for one in seconds], fontsize=9)
    axes.set(xlabel="seconds", xlim=(0, 1.18 * max(*seconds, 0.01)))
    _name_rows(axes, names)
    return drawn


def _losses(design: DesignChapter) -> Figure | None:
    checkpoints = [one for one in design.checkpoints if {"step", "recall", "alarms_per_hour"} <= one.keys()]
    if not design.losses and not checkpoints:
        return None
    drawn = figure(4.5, 2.4 if not (design.losses and checkpoints) else 4.2)
    parts: list[Callable[[Axes], None]] = []
    if design.losses:
        parts.append(lambda axes: _loss(axes, design))
    if checkpoints:
        parts.append(lambda axes: _checkpoints(axes, checkpoints))
    panels = drawn.subplots(len(parts), 1, sharex=True, squeeze=False)[:, 0]
    for axes, draw in zip(panels, parts, strict=True):
        draw(axes)
        axes.axvline(design.chosen_step, color=MARK, linestyle=(0, (4, 2)), linewidth=1.4)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
    panels[-1].set_xlabel("step (broken line: the one that was taken)")
    return drawn


def _loss(axes: Axes, design: DesignChapter) -> None:
    steps, losses = zip(*design.losses, strict=True)
    axes.plot(steps, losses, color=SERIES[0].colour)
    axes.set(ylabel="loss")
    axes.set_ylim(bottom=min(0.0, *losses))


def _checkpoints(axes: Axes, checkpoints: Sequence[dict[str, float]]) -> None:
    steps = [one["step"] for one in checkpoints]
    axes.plot(steps, [one["recall"] for one in checkpoints], **SERIES[0].line)
    axes.set_ylabel("● recall", color=SERIES[0].colour)
    axes.set_ylim(-0.03, 1.03)
    other = axes.twinx()
    other.plot(steps, [one["alarms_per_hour"] for one in checkpoints], **SERIES[1].line)
    other.set_ylabel("■ alarms an hour", color=SERIES[1].colour)
    other.set_ylim(bottom=0)
    other.grid(visible=False)


def _learning(expect: ExpectChapter) -> Figure | None:
    if not expect.learning_curve:
        return None
    drawn = figure()
    axes = drawn.add_subplot()
    groups, recalls, _ = zip(*expect.learning_curve, strict=True)
    for n, _recall, interval in expect.learning_curve:
        if interval is not None:
            axes.plot([n, n], interval, color=SERIES[0].colour, alpha=0.6, linewidth=2.5)
    axes.plot(groups, recalls, **SERIES[0].line)
    axes.set(xlabel="groups trained on", ylabel="recall", ylim=(-0.03, 1.03), xticks=sorted(set(groups)))
    return drawn


def _stages(expect: ExpectChapter) -> Figure | None:
    if not expect.stages:
        return None
    drawn = figure(4.5, 0.9 + 0.28 * len(expect.stages))
    axes = drawn.add_subplot()
    axes.axvline(0, color=INK, linewidth=0.8)
    for row, (_, lost, interval) in enumerate(expect.stages):
        if interval is not None:
            axes.plot(interval, [row, row], color=SERIES[0].colour, linewidth=2.5, alpha=0.6)
        axes.plot([lost], [row], **SERIES[0].line)
    axes.set(xlabel="recall lost without it")
    _label_rows(axes, [name for name, _, _ in expect.stages])
    return drawn


def _log_axis(axes: Axes, room: float = 300.0) -> None:
    """Make the x axis logarithmic, numbers as people write them: all of 1, 2, 5 if it spans less than its room."""
    axes.set_xscale("log")
    axes.margins(x=0.08)
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < room * low else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _label_rows(axes: Axes, names: Sequence[str]) -> None:
    _name_rows(axes, [_short(name) for name in names])


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


def _short(name: str) -> str:
    line = " ".join(name.split())
    return line if len(line) <= _LONGEST_NAME else line[: _LONGEST_NAME - 1] + "…"


def _missed_most(one: LabelResult) -> float:
    return math.inf if one.recall is None else one.recall


def _can_be_drawn(point: DetPoint) -> bool:
    return point.recall is not None and point.hours > 0

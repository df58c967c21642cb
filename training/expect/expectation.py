"""Fills the chapter `expect` of a report from streams that were played: what the model will do, as far as is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from streamd.manifest import Manifest
from streamd.model import Model
from training.expect import report
from training.expect.calibration import calibration, hops_of
from training.expect.det import THRESHOLDS, Point, det
from training.expect.errors import worst
from training.expect.event_match import collar
from training.expect.outcomes import Outcome, confusion, event_f1, outcomes_of
from training.expect.play import LabelledStream, Played, play

Background = Literal["given", "shipped", "generated"]

GENERATED = "Generated background only: not a promise for your room. "
"""Heads what is said of false alarms where nobody recorded the place."""


@dataclass(frozen=True)
class Setting:
    """Streams of one kind, still to be played."""

    name: str
    kind: Literal["real", "simulated"]
    background: Background
    streams: Sequence[LabelledStream]


@dataclass(frozen=True)
class PlayedSetting:
    """The same, played or decided anew with the model's own decisions."""

    name: str
    kind: Literal["real", "simulated"]
    background: Background
    played: Sequence[Played]


def play_setting(model: Model, setting: Setting) -> PlayedSetting:
    """Play the streams of a setting."""
    return PlayedSetting(setting.name, setting.kind, setting.background, play(model, setting.streams))


def expect(
    model: Model,
    settings: Sequence[Setting],
    *,
    alarms_per_hour: float,
    thresholds: str,
    disjoint: str,
    labels: Sequence[str] | None = None,
) -> report.ExpectChapter:
    """Play settings through a model and return what `chapter` makes of them."""
    heard = [play_setting(model, setting) for setting in settings if setting.streams]
    return chapter(
        heard, model.manifest, alarms_per_hour=alarms_per_hour, thresholds=thresholds, disjoint=disjoint, labels=labels
    )


def chapter(
    heard: Sequence[PlayedSetting],
    manifest: Manifest,
    *,
    alarms_per_hour: float,
    thresholds: str,
    disjoint: str,
    labels: Sequence[str] | None = None,
) -> report.ExpectChapter:
    """Return what is known of a model from streams that were played.

    Matrix, learning curve, controls and verdict are empty: whoever measures them puts them in.

    Args:
        heard: test streams, played (or decided anew) with the decisions and delays of the manifest.
        manifest: of the model.
        alarms_per_hour: the budget of false alarms.
        thresholds: on what thresholds were chosen and on what they are reported, in a sentence.
        disjoint: what was compared by content, and that nothing is shared.
        labels: those that the streams are labelled with; None: all of the model. Of other labels nothing is known.
    """
    labels = manifest.labels if labels is None else labels
    in_order = sorted(heard, key=lambda one: one.kind != "real")
    outcomes = [_outcomes(one.played, manifest, labels) for one in in_order]
    return report.ExpectChapter(
        alarms_per_hour=alarms_per_hour,
        thresholds=thresholds,
        conditions=[
            _condition(one, found, manifest, labels, alarms_per_hour)
            for one, found in zip(in_order, outcomes, strict=True)
        ],
        onset_delay_seconds=round(manifest.onset_delay / manifest.sample_rate, 4),
        offset_delay_seconds=round(manifest.offset_delay / manifest.sample_rate, 4),
        disjoint=disjoint,
        errors=worst([outcome for found in outcomes for outcome in found], manifest),
        feasible="unknown",
        level="",
        verdict=[],
        helps_most="",
    )


def condition(
    heard: PlayedSetting, manifest: Manifest, alarms_per_hour: float, labels: Sequence[str] | None = None
) -> report.Condition:
    """Return the results of streams of one kind; args are those of `chapter`."""
    labels = manifest.labels if labels is None else labels
    return _condition(heard, _outcomes(heard.played, manifest, labels), manifest, labels, alarms_per_hour)


def _outcomes(played: Sequence[Played], manifest: Manifest, labels: Sequence[str]) -> list[Outcome]:
    return [outcome for one in played for outcome in outcomes_of(one, manifest, labels)]


def _condition(
    heard: PlayedSetting, outcomes: Sequence[Outcome], manifest: Manifest, labels: Sequence[str], alarms_per_hour: float
) -> report.Condition:
    return report.Condition(
        name=heard.name,
        kind=heard.kind,
        background=heard.background,
        hours=sum(len(one.stream.samples) for one in heard.played) / manifest.sample_rate / 3600,
        n_streams=len(heard.played),
        collar_seconds=collar(manifest.hop_seconds),
        labels=[_result(heard, manifest, label, alarms_per_hour) for label in labels],
        confusion=confusion(outcomes),
        calibration=_calibration(heard.played, manifest, labels),
    )


def _result(heard: PlayedSetting, manifest: Manifest, label: str, alarms_per_hour: float) -> report.LabelResult:
    threshold = manifest.decision_of(label).onset_threshold
    points = det(heard.played, manifest, label, sorted({*THRESHOLDS, threshold}))
    own = next(point for point in points if point.threshold == threshold)
    groups = set(own.groups)
    head = GENERATED if heard.background == "generated" else ""
    return report.LabelResult(
        label=label,
        threshold=threshold,
        n_sounds=len(own.heard),
        n_groups=len(groups),
        n_heard=sum(own.heard),
        recall=own.recall,
        recall_interval=own.recall_interval() if len(groups) > 1 else None,
        n_false_alarms=own.n_false_alarms,
        n_confused=own.n_confused,
        hours=own.hours,
        alarms=head + own.alarms(alarms_per_hour),
        f1=event_f1(heard.played, manifest.hop_seconds, label),
        delay_seconds=_delay(own),
        det=[
            report.DetPoint(
                threshold=point.threshold,
                recall=point.recall,
                n_false_alarms=point.n_false_alarms,
                hours=point.hours,
            )
            for point in points
        ],
    )


def _delay(point: Point) -> tuple[float, float] | None:
    middle, late = point.delay_seconds(50), point.delay_seconds(95)
    return None if middle is None or late is None else (round(middle, 4), round(late, 4))


def _calibration(played: Sequence[Played], manifest: Manifest, labels: Sequence[str]) -> list[tuple[float, float, int]]:
    """Return the reliability of all labels together, without empty bins."""
    both = [hops_of(played, manifest, label) for label in labels]
    posteriors = np.concatenate([one for one, _ in both]) if both else np.zeros(0)
    if not len(posteriors):
        return []
    found = calibration(posteriors.clip(0, 1), np.concatenate([present for _, present in both]))
    return [
        (one.mean_posterior, one.share_present, one.n_hops)
        for one in found.bins
        if one.mean_posterior is not None and one.share_present is not None
    ]

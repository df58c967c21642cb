"""What was found out, as the chapters of a report have it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from training.design.choose import Chosen
from training.design.cost import macs_per_second
from training.expect import report
from training.lesson import Lesson, School
from training.prepare.audit import BACKGROUND
from training.prepare.command import Known
from training.prepare.split import Split
from training.process.command import Processed

MOST_LOSSES = 200
"""Points of a curve that a page can show."""


def prepare_chapter(known: Known, splits: Sequence[Split], notes: Sequence[str]) -> report.PrepareChapter:
    """Return what is known of the data, and how they were split.

    notes: what was made of the recipe because of the data.
    """
    labels = []
    for row in known.audit.rows:
        if row.label == BACKGROUND:
            continue
        answer = known.answer_to(row.label)
        labels.append(
            report.LabelFacts(
                label=row.label,
                n_clips=row.n_clips,
                n_recordings=row.n_recordings,
                n_groups=row.n_groups,
                minutes=row.seconds / 60,
                median_seconds=row.median_seconds,
                median_snr_db=row.median_snr_db,
                median_decay_seconds=row.median_decay_seconds,
                answered_by=answer.known if answer else None,
                n_answered=answer.n_answered if answer else None,
            )
        )
    return report.PrepareChapter(
        data=known.data.name,
        layout=known.found.layout,
        labels=labels,
        n_groups=len(known.groups),
        evidence=known.evidence,
        split=splits[0].reason,
        background_minutes=known.background_minutes,
        findings=[*known.found.notes, *(finding.text for finding in known.audit.findings), *notes],
        verdict=known.verdict.word,
        why=known.verdict.why,
    )


def process_chapter(processed: Processed) -> report.ProcessChapter:
    """Return what the network gets to see."""
    return report.ProcessChapter(
        log_mel=msgspec.structs.asdict(processed.spec),
        band_hz=[float(hz) for hz in processed.band_hz],
        separability=[float(one) for one in processed.separability],
        probe=processed.probe.sentence if processed.probe else None,
        suggestion=processed.suggestion,
    )


def design_chapter(school: School, lesson: Lesson, chosen: Chosen) -> report.DesignChapter:
    """Return the network, and how it was fitted."""
    fitted = lesson.fitted
    every = max(1, len(fitted.losses) // MOST_LOSSES)
    means = [fitted.losses[i : i + every] for i in range(0, len(fitted.losses), every)]
    return report.DesignChapter(
        network=chosen.name,
        why=chosen.why,
        n_parameters=sum(parameter.numel() for parameter in fitted.network.parameters()),
        macs_per_second=macs_per_second(fitted.network, school.spec, lesson.manifest.hop_frames),
        receptive_field_seconds=chosen.depth.receptive_field_seconds,
        event_seconds=chosen.depth.event_seconds,
        pooling=str(school.settings.pooling),
        warning=chosen.depth.warning,
        n_steps=fitted.n_steps,
        audio_hours=fitted.audio_seconds / 3600,
        fit_seconds=fitted.seconds,
        losses=[(some[-1][0], sum(loss for _, loss in some) / len(some)) for some in means],
        checkpoints=[
            {"step": float(step), "recall": score.recall, "alarms_per_hour": score.alarms_per_hour}
            for step, score in fitted.checkpoints
        ],
        chosen_step=fitted.chosen_step,
        gates=lesson.gates,
    )

"""`python -m training expect MODEL DATA`: what any model of the contract makes of anybody's recordings."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np

from streamd.errors import DataError
from streamd.events import slug
from streamd.manifest import Manifest
from streamd.model import Model
from streamd.shipped import find_model
from streamd.spelling import did_you_mean
from training.expect import report
from training.expect.budget import ALARMS_PER_HOUR, check_budget
from training.expect.det import choose_and_report
from training.expect.expectation import PlayedSetting, Setting, chapter, play_setting
from training.expect.intervals import alarms_per_hour as said_of_alarms
from training.expect.pages import write_pages
from training.expect.play import Played
from training.expect.streams import LEAD_SECONDS, negative_streams, real_streams, simulated_streams
from training.expect.verdict import judged
from training.prepare.clips import Clip
from training.prepare.data_set import read_data
from training.prepare.groups import find_groups
from training.prepare.labels import LabelRecipe
from training.prepare.licences import in_facts
from training.prepare.simulation.conditions import for_unseen
from training.prepare.simulation.sounds import backgrounds_of, sounds_of
from training.prepare.trim import Trim

SIMULATED_SECONDS = 600.0
"""Of scenes with sounds, and as much without: the two together are made and played in about a minute."""
PACKAGES = ("streamd", "numpy", "onnxruntime", "onnxruntime-gpu", "soxr", "scipy")
_MOST_NAMED = 5


def evaluate(
    model: str,
    data: Path,
    folder: Path,
    *,
    alarms_per_hour: float = ALARMS_PER_HOUR,
    layout: str | None = None,
    labels: LabelRecipe | None = None,
    trim: Trim | None = None,
    command: str = "",
    simulated_seconds: float = SIMULATED_SECONDS,
) -> Iterator[str]:
    """Evaluate a model on a data set, write the report's pages into a folder, and yield what is found, line by line.

    Raises:
        StreamdError: as of `report_on`.
    """
    yield f"playing {data} through {model}: first as it was recorded, then in scenes that are simulated"
    found = report_on(
        find_model(model),
        data,
        folder / "rooms",
        alarms_per_hour=alarms_per_hour,
        layout=layout,
        labels=labels,
        trim=trim,
        command=command,
        simulated_seconds=simulated_seconds,
    )
    yield from told(found)
    write_pages(found, folder)
    yield f"\n{folder / 'report.html'}, report.json and card.md beside it"


def report_on(
    file: Path,
    data: Path,
    cache: Path,
    *,
    alarms_per_hour: float = ALARMS_PER_HOUR,
    layout: str | None = None,
    labels: LabelRecipe | None = None,
    trim: Trim | None = None,
    command: str = "",
    simulated_seconds: float = SIMULATED_SECONDS,
) -> report.Report:
    """Return the report on a finished model, with all of a data set as test data; the model stays as it is.

    Args:
        file: a model of the contract.
        data: anybody's recordings, with labels of the model. A label may be written otherwise than in the model, as
            long as letters and digits are the same: smoke-alarm for "Smoke alarm".
        cache: folder for computed rooms.
        alarms_per_hour: the budget of false alarms of each label; thresholds that would keep it are told.
        layout: how the data lie there; None: as they look.
        labels: what to join, rename or drop first.
        trim: how sounds are found in clips that don't say where theirs lie; None: as usual.
        command: the command line, for the report.
        simulated_seconds: of scenes with sounds, and as much without; 0: none are simulated.

    Raises:
        UsageError: a budget that no hours could show.
        DataError: the data can't be read, or hold no sound of the model's labels.
        ModelError, RecordingError, DeviceError: the model or a recording is refused.
    """
    check_budget(alarms_per_hour)
    begin = time.monotonic()
    model = Model(file, "cpu")
    facts = model.manifest
    found = read_data(data, layout, labels, to_train=False)
    clips, notes = known_to(facts, found.clips, data)
    clips = [clip for group in find_groups(clips) for clip in group.clips]
    known = [label for label in facts.labels if any(clip.label == label for clip in clips)]
    has_background = any(clip.label is None for clip in clips)
    lead_seconds = LEAD_SECONDS + facts.first_score_samples / facts.sample_rate
    gap_seconds = max((facts.decision_of(label).min_silence_seconds for label in known), default=0.0)
    settings = [
        Setting(
            "recordings",
            "real",
            "given" if has_background else "generated",
            real_streams(clips, facts.sample_rate, lead_seconds, gap_seconds, trim=trim),
        )
    ]
    if simulated_seconds:
        settings.append(_simulated(clips, facts, cache, simulated_seconds, lead_seconds, gap_seconds, trim))
    played = [play_setting(model, setting) for setting in settings]
    return report.Report(
        model=facts.name,
        model_sha256=model.sha256,
        licence=facts.licence,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        seconds=round(time.monotonic() - begin, 1),
        versions=versions(),
        sources=[(one.source, one.licence, one.sha256) for one in in_facts(facts.training)],
        prepare=None,
        process=None,
        design=None,
        expect=judged(
            chapter(
                played,
                facts,
                alarms_per_hour=alarms_per_hour,
                thresholds=_thresholds(played[0], facts, known, alarms_per_hour),
                disjoint="Not compared: what the model was trained on is not at hand. None of DATA was used to choose"
                " anything in the model.",
                labels=known,
            )
        ),
        left_out=[*found.notes, *notes, "Matrix, learning curve and controls: they belong to `train`."],
    )


def known_to(facts: Manifest, clips: Sequence[Clip], data: Path) -> tuple[list[Clip], list[str]]:
    """Return clips with the model's own spelling of their labels, and a note on those whose label it doesn't have.

    Raises:
        DataError: it has none of them.
    """
    spelling = {slug(label): label for label in facts.labels}
    strangers = {clip.label for clip in clips if clip.label is not None and slug(clip.label) not in spelling}
    kept = [
        clip if clip.label is None else replace(clip, label=spelling[slug(clip.label)])
        for clip in clips
        if clip.label not in strangers
    ]
    if strangers and not any(clip.label for clip in kept):
        first = min(strangers)
        raise DataError(
            f"{data}: found the labels {_some(sorted(strangers))}; {facts.name} has {_some(facts.labels)}:"
            f" name the folders so{did_you_mean(first, list(facts.labels))}"
        )
    if not strangers:
        return kept, []
    n_clips = sum(clip.label in strangers for clip in clips)
    note = (
        f"{n_clips} clips of {_some(sorted(strangers))}: {facts.name} doesn't have these labels. If none of its labels"
        " is heard in them, move them to background/: they then count false alarms."
    )
    return kept, [note]


def told(found: report.Report) -> Iterator[str]:
    """Yield a report's results for a terminal, line by line."""
    yield from found.expect.verdict
    for condition in found.expect.conditions:
        streams = "1 stream" if condition.n_streams == 1 else f"{condition.n_streams} streams"
        yield f"\n{condition.name} ({condition.kind}): {condition.hours:.2g} h in {streams}"
        for one in condition.labels:
            interval = "" if one.recall_interval is None else " ({:.2f} to {:.2f})".format(*one.recall_interval)
            recall = "no sound of it" if one.recall is None else f"recall {one.recall:.2f}{interval} of {one.n_sounds}"
            f1 = "" if one.f1 is None else f", event F1 {one.f1:.2f}"
            late = (
                ""
                if one.delay_seconds is None
                else ", heard after {:.2f} s, 95 % after {:.2f} s".format(*one.delay_seconds)
            )
            confused = f", {one.n_confused} events on other sounds" if one.n_confused else ""
            yield f"  {one.label}, threshold {one.threshold:g}: {recall}{f1}{late}{confused}"
            yield f"    {one.alarms}"
    yield f"\n{found.expect.thresholds}"
    yield from (f"left out: {line}" for line in found.left_out)


def versions() -> dict[str, str]:
    """Return the versions of what a result depends on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _simulated(
    clips: Sequence[Clip],
    facts: Manifest,
    cache: Path,
    seconds: float,
    lead_seconds: float,
    gap_seconds: float,
    trim: Trim | None,
) -> Setting:
    """Return scenes made of all sounds and backgrounds of a data set."""
    rate = facts.sample_rate
    backgrounds = backgrounds_of(clips, rate)
    unseen = for_unseen(sounds_of(clips, rate, trim), backgrounds, np.zeros(0, np.float32), rate, cache)
    with_sounds = simulated_streams(unseen, seconds, lead_seconds, gap_seconds)
    streams = [*with_sounds, *negative_streams(unseen, seconds)]
    return Setting("simulated scenes", "simulated", "given" if backgrounds else "generated", streams)


def _thresholds(real: PlayedSetting, facts: Manifest, labels: Sequence[str], alarms_per_hour: float) -> str:
    """Return that the model's thresholds are reported, and which ones would do for the budget."""
    lines = [_would_do(real.played, facts, label, alarms_per_hour) for label in labels]
    return " ".join(["All results are at the thresholds that stand in the model.", *lines])


def _would_do(played: Sequence[Played], facts: Manifest, label: str, alarms_per_hour: float) -> str:
    try:
        found = choose_and_report(played, facts, label, alarms_per_hour)
    except ValueError as error:
        return f"{label}: no threshold could be chosen for {alarms_per_hour:g} false alarms an hour: {error}."
    if found is None:
        return f"{label}: no threshold that keeps {alarms_per_hour:g} false alarms an hour hears a sound."
    other = found.reported_on
    heard = f"heard {sum(other.heard)} of {len(other.heard)}"
    said = said_of_alarms(other.n_false_alarms, other.hours, alarms_per_hour)
    return f"{label}: {found.threshold:g}, chosen on one half of the recordings, {heard} in the other. {said}"


def _some(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"

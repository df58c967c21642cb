"""`python -m training train DATA -o OUT`: prepare, process, design, expect; from a folder of clips to a model.

The flow is `train`, top to bottom; which lessons there are and who tests them is `held_out`.
"""

from __future__ import annotations

import math
import shlex
import time
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from streamd.errors import DataError, UsageError
from streamd.events import slug
from streamd.model import Model
from training.chapters import design_chapter, prepare_chapter, process_chapter
from training.design import yamnet
from training.design.choose import ON_YAMNET, Chosen, choose_network, wanted
from training.design.progress import Progress
from training.expect import report
from training.expect.budget import check_budget
from training.expect.command import told, versions
from training.expect.expectation import chapter
from training.expect.familiarity import trained_on
from training.expect.grid import core_grid
from training.expect.pages import write_pages
from training.expect.play import decide
from training.expect.rewrite import with_decisions
from training.expect.robustness import cells
from training.expect.thresholds import tune
from training.expect.verdict import judged
from training.held_out import each_group_left_out, one_lesson
from training.kept import keep
from training.lesson import HowLong, Lesson, School
from training.prepare.clips import Clip
from training.prepare.command import Known, prepare
from training.prepare.groups import Group
from training.prepare.licences import TABLE, Licensed, as_facts, licensed, licensed_files
from training.prepare.simulation.recipe import Recipe
from training.prepare.simulation.reduced import reduced
from training.prepare.simulation.rooms import response_files
from training.prepare.simulation.sounds import left_out_of_background, sounds_of
from training.prepare.simulation.workers import Workers
from training.prepare.split import Split, split
from training.process.command import process
from training.recipe import TrainingRecipe
from training.thorough import Examination, Thorough

FIT_SHARE = 0.5
"""Of the minutes: the report takes longer than people think, and a model without one is not to be believed. The same
whatever else took, so that a run that was killed is the same run when it is started again."""
NO_MATRIX = "The robustness matrix: with under five groups no clip is kept from the model that is shipped."
STREAM_SHARE = 1.0
"""Seconds of simulated scenes, and as much of background, to each second that the whole may take: they are made and
played hundreds of times faster than they last, four times over."""
MOST_STREAM_SECONDS = 900.0
"""Twenty groups are each heard for most of a minute then; a longer test takes more groups, not more scenes."""


@dataclass(frozen=True)
class Request:
    """What is to be trained."""

    data: Path
    out: Path
    layout: str | None = None
    recipe: TrainingRecipe = field(default_factory=TrainingRecipe)
    recipe_file: Path | None = None
    """Where the recipe was read."""
    minutes: float = 10.0
    thorough: bool = False
    alarms_per_hour: float = 0.5
    cache: Path = Path.home() / ".cache" / "streamd" / "rooms"
    n_workers: int = 2

    @property
    def name(self) -> str:
        """Of the model: that of the folder it is written to."""
        return slug(self.out.resolve().name) or "model"

    @property
    def command(self) -> str:
        """The command line that asks for it."""
        words = ["python", "-m", "training", "train", str(self.data), "-o", str(self.out)]
        words += ["--layout", self.layout] if self.layout else []
        words += ["--recipe", str(self.recipe_file)] if self.recipe_file else []
        words += ["--minutes", f"{self.minutes:g}", "--alarms-per-hour", f"{self.alarms_per_hour:g}"]
        return shlex.join([*words, "--thorough"] if self.thorough else words)


class Clock:
    """How much of the minutes is left."""

    def __init__(self, minutes: float) -> None:
        self._begun = time.monotonic()
        self._seconds = 60 * minutes

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._begun

    @property
    def left(self) -> float:
        """Seconds; negative when the time is up."""
        return self._seconds - self.seconds


def train(request: Request, progress: Progress | None = None) -> Generator[str, None, report.Report]:
    """Yield what is found out, line by line as it is; write the model and its report; return the report.

    Raises:
        UsageError: minutes or a budget of alarms that can't be.
        DataError, RecordingError: the data are not good enough to begin with.
        ModelError: the network doesn't pass a gate; there is no model then.
    """
    check_budget(request.alarms_per_hour)
    if not 0 < request.minutes < math.inf:
        raise UsageError(f"--minutes {request.minutes:g}; expected a positive number, such as 10")
    clock = Clock(request.minutes)
    recipe = request.recipe
    known = yield from prepare(request.data, request.layout, recipe.labels, recipe.trim)
    splits = split(known.groups)
    yield f"\n{splits[0].reason}"
    want = wanted(fewest_clips(known), recipe.log_mel, recipe.network.name, recipe.network.blocks)
    spec = want.spec
    processed = yield from process(known, spec, trim=recipe.trim)
    simulation, notes = reduced(recipe.simulation, known.audit)
    notes = [*notes, *left_out_of_background(splits[0].training), *_of_rooms(simulation)]
    yield from notes
    clips = [clip for group in known.groups for clip in group.clips]
    labels = known_labels(known)
    sounds = sounds_of(clips, spec.sample_rate, recipe.trim)
    silent = sorted(set(labels) - {sound.label for sound in sounds})
    if silent:
        raise DataError(f"{request.data}: all clips of {silent[0]!r} are silent; expected recordings with the sound")
    learned_from = _learned_from(known.groups, splits, simulation, request.data / TABLE)
    request.out.mkdir(parents=True, exist_ok=True)
    lengths = [len(sound.audio) / spec.sample_rate for sound in sounds]

    def network() -> Chosen:
        return choose_network(lengths, spec, len(labels), want.name, want.n_blocks, want.reason)

    chosen = network()
    yield from chosen.why
    learned_from += [yamnet.published()] if chosen.name in ON_YAMNET else []
    with Workers(request.n_workers) as workers:
        school = School(
            request.name,
            recipe.licence,
            as_facts(learned_from),
            labels,
            spec,
            simulation,
            recipe.trim,
            recipe.fit,
            lambda: network().network,
            workers,
            request.cache,
            request.alarms_per_hour,
            chosen.depth.event_seconds,
            min(MOST_STREAM_SECONDS, 60 * STREAM_SHARE * request.minutes),
            progress,
        )
        run = request.out / f"{request.name}-run"
        run.mkdir(exist_ok=True)
        file = run / f"{request.name}.onnx"
        n_lessons = 1 if len(splits) == 1 else len(splits) + 1
        how_long = _how_long(recipe, request.minutes, n_lessons)
        yield f"\nfitting: {how_long}" if n_lessons == 1 else f"\nfitting {n_lessons} times: {how_long} each"
        if len(splits) == 1:
            lesson, heard = one_lesson(school, splits[0], file, how_long)
        else:
            lesson, heard = each_group_left_out(school, splits, clips, file, how_long)
        fitted = lesson.fitted
        yield f"fitted in {fitted.seconds / 60:.1f} minutes on {fitted.audio_seconds / 3600:.1f} h of scenes"
        tuned = tune(file, heard.choosing, lesson.manifest, request.alarms_per_hour)
        settings = [replace(one, played=decide(one.played, tuned.manifest)) for one in heard.settings]
        expected = chapter(
            settings,
            tuned.manifest,
            alarms_per_hour=request.alarms_per_hour,
            thresholds=tuned.sentence(request.alarms_per_hour, heard.chosen_on, heard.reported_on),
            disjoint=heard.disjoint,
        )
        # With each group left out in turn, the model that is kept has heard them all: nothing is left to play to it.
        matrix, left_out = _matrix(school, lesson, splits[0].test, clock) if n_lessons == 1 else ([], [NO_MATRIX])
        thorough = Thorough(matrix=matrix)
        if request.thorough and len(splits) == 1:
            yield from Examination(school, splits[0], lesson, heard.tuning).examine(thorough)
            left_out = []  # the whole matrix is there
        left_out += _left_out(request, splits, thorough)
    found = report.Report(
        model=request.name,
        model_sha256="",
        licence=tuned.manifest.licence,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        command=request.command,
        seconds=round(clock.seconds, 1),
        versions=versions(),
        sources=[(one.source, one.licence, one.sha256) for one in learned_from],
        prepare=prepare_chapter(known, splits, notes),
        process=process_chapter(processed),
        design=design_chapter(school, lesson, chosen),
        expect=judged(
            msgspec.structs.replace(expected, matrix=thorough.matrix, stages=thorough.stages, seeds=thorough.seeds),
            prepare_chapter(known, splits, notes),
            thorough.curve,
            thorough.control,
        ),
        left_out=left_out,
    )
    keep(run, chosen, lesson, with_decisions(file, expected=_in_short(found)))
    # Only what is tuned and judged gets the model's name.
    file = file.replace(request.out / file.name)
    found = msgspec.structs.replace(found, model_sha256=Model(file, "cpu").sha256)
    yield from told(found)
    write_pages(found, request.out)
    yield f"\n{file}, with report.html, report.json and card.md beside it, in {clock.seconds / 60:.1f} minutes"
    return found


def _how_long(recipe: TrainingRecipe, minutes: float, n_lessons: int) -> HowLong:
    """Return how long each lesson may take: what the recipe says, or its share of the minutes."""
    if recipe.says_how_long:
        return HowLong(recipe.fit.minutes, recipe.fit.n_steps)
    return HowLong(minutes=FIT_SHARE * minutes / n_lessons)


def _of_rooms(simulation: Recipe) -> list[str]:
    """Return a line on recorded rooms, if there are any."""
    if simulation.room is None or simulation.room.recorded is None:
        return []
    folder = Path(simulation.room.recorded)
    return [f"rooms are computed, and recorded as often: impulse responses in {folder} ({len(response_files(folder))})"]


def _learned_from(groups: Sequence[Group], splits: Sequence[Split], simulation: Recipe, table: Path) -> list[Licensed]:
    """Return what a model learns from, thresholds and checkpoints included; what only tests it is left out."""
    if len(splits) == 1:
        names = {clip.source for clip in [*splits[0].training, *splits[0].tuning]}
        groups = [group for group in groups if group.name in names]
    found = licensed(groups, table)
    if simulation.room and simulation.room.recorded is not None:
        folder = Path(simulation.room.recorded)
        found.append(licensed_files(folder.name, response_files(folder), table))
    return found


def known_labels(known: Known) -> tuple[str, ...]:
    """Return the labels of a data set, sorted."""
    return tuple(sorted({clip.label for group in known.groups for clip in group.clips if clip.label is not None}))


def fewest_clips(known: Known) -> int:
    """Return how many clips the label has that has fewest."""
    return min(Counter(clip.label for group in known.groups for clip in group.clips if clip.label).values(), default=0)


def _matrix(school: School, lesson: Lesson, test: Sequence[Clip], clock: Clock) -> tuple[list[report.Cell], list[str]]:
    """Return the core of the robustness matrix as far as the time goes, and what was left out."""
    drawn = lesson.drawn_from
    trained = trained_on(drawn.recipe, drawn.material)
    material = school.never_drawn(test).material
    conditions = core_grid(trained, material)
    found: list[report.Cell] = []
    for cell in cells(lesson.model(), conditions, trained, material, school.recipe, school.cache):
        found.append(cell)
        if clock.left < 0:
            break
    left_out = [] if len(found) == len(conditions) else [f"{len(conditions) - len(found)} of {len(conditions)} cells"]
    return found, left_out


def _in_short(found: report.Report) -> dict[str, Any]:
    """Return what the manifest says of a report: all of it is in report.json, which may be lost."""
    return {
        "feasible": found.expect.feasible,
        "level": found.expect.level,
        "thresholds": found.expect.thresholds,
        "conditions": [
            {
                "name": condition.name,
                "kind": condition.kind,
                "background": condition.background,
                "hours": round(condition.hours, 3),
                "labels": {
                    one.label: {
                        "recall": one.recall,
                        "recall_interval_95": one.recall_interval,
                        "n_sounds": one.n_sounds,
                        "n_false_alarms": one.n_false_alarms,
                        "alarms": one.alarms,
                    }
                    for one in condition.labels
                },
            }
            for condition in found.expect.conditions
        ],
    }


def _left_out(request: Request, splits: Sequence[Split], thorough: Thorough) -> list[str]:
    """Return what the report does not answer, and how to ask for it."""
    if not request.thorough:
        return ["Seeds, shuffled labels, learning curve, stages and the whole matrix: --thorough measures them."]
    if len(splits) > 1:
        return ["What --thorough adds: it needs five groups of every label, to keep some for tuning and for the test."]
    return thorough.not_asked

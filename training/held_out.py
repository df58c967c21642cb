"""Lessons, and what they never heard played to them.

With five groups of every label there is one lesson, and other groups tune and test it. With fewer, each group is left
out once: the lessons on the others are what is judged, and the model that is kept has learned from all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from streamd.model import Model
from training.expect.disjoint import contents_of_clips, contents_of_material, disjoint
from training.expect.expectation import Background, PlayedSetting
from training.expect.play import LabelledStream, Played, play
from training.expect.streams import negative_streams, real_streams, simulated_streams
from training.expect.thresholds import in_halves
from training.lesson import HowLong, Lesson, School, learn
from training.prepare.clips import Clip
from training.prepare.split import Split


@dataclass(frozen=True)
class Judged:
    """Streams that were played by what had never heard them: those that choose and those that report."""

    choosing: list[Played]
    tuning: Sequence[LabelledStream]
    """Streams that chose among checkpoints; none where each group was left out once."""
    settings: list[PlayedSetting]
    chosen_on: str
    reported_on: str
    disjoint: str


def one_lesson(school: School, parts: Split, file: Path, how_long: HowLong) -> tuple[Lesson, Judged]:
    """Learn from some groups, choose on others and test on yet others."""
    shares_nothing = _nothing_shared(school, [*parts.training, *parts.tuning], parts.test)
    tuning = school.tuning_streams(parts.tuning)
    lesson = learn(school, parts.training, file, how_long=how_long, tuning=tuning)
    settings = _tested(school, lesson.model(), parts.test)
    played = play(lesson.model(), tuning)
    return lesson, Judged(played, tuning, settings, "the tuning groups", "the test groups", shares_nothing)


def each_group_left_out(
    school: School, splits: Sequence[Split], clips: Sequence[Clip], file: Path, how_long: HowLong
) -> tuple[Lesson, Judged]:
    """Test each group with what was learned from the others, then learn from all of them."""
    said = [_nothing_shared(school, parts.training, parts.test) for parts in splits]
    settings: list[PlayedSetting] = []
    for i, parts in enumerate(splits):
        other = learn(school, parts.training, file.with_name(f"without-{i + 1}.onnx"), how_long=how_long)
        # Another seed each: the same noise heard by every one of them would be counted as so many hours.
        found = _tested(school, other.model(), parts.test, seed=i)
        other.file.unlink()
        settings = [
            replace(one, played=[*before.played, *one.played])
            for before, one in zip(settings or [replace(one, played=[]) for one in found], found, strict=True)
        ]
    lesson = learn(school, clips, file, how_long=how_long)
    both = in_halves([one for setting in settings for one in setting.played])
    choosing = {id(one) for one in both[0]}
    reporting = [replace(one, played=[p for p in one.played if id(p) not in choosing]) for one in settings]
    halves = "one half of the groups, each left out of what was learned", "the other half"
    return lesson, Judged(both[0], [], reporting, *halves, f"For each group that was left out: {said[0]}")


def _nothing_shared(school: School, learned: Sequence[Clip], test: Sequence[Clip]) -> str:
    """Return that nothing which is tested was learned from, by content; before anything long begins."""
    both = [
        [*contents_of_clips(clips), *contents_of_material(replace(drawn.material, backgrounds=()))]
        for clips, drawn in ((learned, school.heard_in_training(learned)), (test, school.never_drawn(test)))
    ]
    return disjoint(*both)


def _tested(school: School, model: Model, test: Sequence[Clip], seed: int = 0) -> list[PlayedSetting]:
    """Play held-out clips, as they are and in places that were never drawn."""
    unseen = school.never_drawn(test)
    background: Background = "given" if unseen.material.backgrounds else "generated"
    seconds, lead, workers = school.stream_seconds, school.lead_seconds, school.workers
    simulated = [
        *simulated_streams(unseen, seconds, lead, seed=seed, workers=workers),
        *negative_streams(unseen, seconds, seed=seed, workers=workers),
    ]
    real = real_streams(test, school.spec.sample_rate, lead, trim=school.trim)
    return [
        PlayedSetting("recordings", "real", background, play(model, real)),
        PlayedSetting("simulated scenes", "simulated", background, play(model, simulated)),
    ]

"""What the shipped model answers to the clips: a sound that it knows already needs no training.

Clips are played through the daemon's own detector with all labels of the model on, each decided as its manifest has
it, so that an answer here is an event there.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.stats import binomtest, rankdata

from streamd.detector import MAX_BATCH, Detector
from streamd.model import Model
from streamd.shipped import model_file
from training.prepare.audio import read_audio
from training.prepare.clips import Clip
from training.prepare.trim import find_sound

MODEL = "yamnet"

FIRST_NO_SOUND = "Silence"
"""From here on, AudioSet's list has silence, test tones, places, noise and ways of reproduction: true of many clips,
and nothing that anybody waits for."""

PAD_SECONDS = 1.0
"""Before and after each clip: the model's first score comes after 1.2 s, and an event takes hops to be confirmed."""
MOST_SECONDS = 10.0
"""Of a clip, or of a piece of background, are played."""
MOST_CLIPS = 600
"""Are played, the same number of every label as far as it goes: about 10 s on one core where clips last a second."""
MOST_PIECES = 180
"""Of the background: half an hour, from all its recordings alike."""

ENOUGH_HEARD = 0.9
"""Of the clips must a known label answer to for it to do without training; the trained model has to be better."""
LEAST_HEARD = 0.8
"""The lower end of that share's 95 % interval (Wilson 1927): 15 of 15 clips will do, 14 of 15 will not."""
MOST_OTHERS = 0.05
"""Of the clips of other labels may it answer to."""
QUIET_SECONDS = 600.0
"""Of background for each false alarm that is let pass; with less background there may be none."""


@dataclass(frozen=True)
class Answer:
    """How one label of the model answers to the clips of one label of the data."""

    known: str
    """The model's label."""
    onset_threshold: float
    n_clips: int
    n_answered: int
    """Clips in which an event of `known` began, at the model's own decision."""
    median_posterior: float
    """Of the highest posterior in each clip."""
    n_others: int
    """Clips of other labels."""
    n_others_answered: int
    background_seconds: float
    n_false_alarms: int
    """Events in the background."""
    separation: float | None
    """Chance that the highest posterior is higher in one of the clips than in another clip or a piece of background
    (area under the ROC curve); None with nothing else to compare."""

    @property
    def suffices(self) -> bool:
        """Whether it hears nearly all, and hardly anything else of what was played."""
        least = binomtest(self.n_answered, self.n_clips).proportion_ci(0.95, "wilson").low
        return bool(
            self.n_answered >= ENOUGH_HEARD * self.n_clips
            and least >= LEAST_HEARD
            and self.n_others_answered <= MOST_OTHERS * self.n_others
            and self.n_false_alarms <= self.background_seconds // QUIET_SECONDS
        )

    @property
    def compared(self) -> bool:
        """Whether anything but the label's own clips was played."""
        return self.n_others > 0 or self.background_seconds > 0


@dataclass(frozen=True)
class Hearing:
    """What one label of the data is to the model."""

    label: str
    answers: Answer | None
    """The label that answers to most clips and least else; None: none answers to any."""
    closest: Answer
    """The label whose posterior tells the clips best from all else; where nothing else is, the highest."""


@dataclass(frozen=True)
class Hearings:
    """What the model is to the data."""

    model: str
    labels: list[Hearing]
    n_played: int
    n_left_out: int
    """Clips that were too many to play."""

    @property
    def configuration(self) -> str | None:
        """The lines of streamd.yaml that make training needless: every label has its own known one; else None."""
        known = [one.answers.known for one in self.labels if one.answers and one.answers.suffices]
        if len(set(known)) < len(self.labels):
            return None
        labels = ", ".join(f"{json.dumps(name)}: {{}}" for name in known)
        return f"models:\n  - {{file: {self.model}, labels: {{{labels}}}}}"


@dataclass(frozen=True)
class _Reply:
    """The model's reply to one clip or one piece of background."""

    clip: Clip
    seconds: float
    posteriors: NDArray[np.float32]
    """Highest of each label, shape (n_labels,)."""
    n_onsets: NDArray[np.int64]
    """Of each label, shape (n_labels,)."""


def hear_known(clips: Iterable[Clip]) -> Hearings:
    """Play clips and background to the shipped model and return which of its labels answer.

    Raises:
        RecordingError: a recording can't be read.
        ModelError, DeviceError: the shipped model can't be run.
    """
    clips = list(clips)
    chosen = _sample([clip for clip in clips if clip.label is not None], MOST_CLIPS)
    labelled = {clip for clip in clips if clip.label is not None}
    model = Model(model_file(MODEL), "cpu")
    facts = model.manifest
    pieces = [(clip, _padded(clip, facts.sample_rate)) for clip in chosen]
    backgrounds = list(dict.fromkeys(clip.path for clip in clips if clip.label is None))
    pieces += _background(backgrounds, facts.sample_rate)
    replies = _play(model, pieces)
    labels = sorted({clip.label for clip in chosen if clip.label is not None})
    return Hearings(
        MODEL, [_hearing(label, replies, model) for label in labels], len(chosen), len(labelled - {*chosen})
    )


def _sample(clips: list[Clip], most: int) -> list[Clip]:
    """Return at most so many clips: labels take turns, inside of a label its groups, so that none is left out."""
    of_label: dict[str | None, dict[str | None, list[Clip]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        of_label[clip.label][clip.source].append(clip)
    by_turns = [list(_turns(groups.values())) for _, groups in sorted(of_label.items(), key=lambda one: str(one[0]))]
    return list(_turns(by_turns))[:most]


def _turns(lists: Iterable[Sequence[Clip]]) -> Iterable[Clip]:
    return (clip for turn in zip_longest(*lists) for clip in turn if clip is not None)


def _padded(clip: Clip, sample_rate: int) -> NDArray[np.float32]:
    """Return a clip with PAD_SECONDS on both sides: what its recording has there, beyond it its floor, or silence."""
    onset = clip.onset_seconds or 0.0
    latest = onset + MOST_SECONDS
    offset = latest if clip.offset_seconds is None else min(clip.offset_seconds, latest)
    recording, own_rate = read_audio(clip.path, offset + PAD_SECONDS)
    recording = np.asarray(soxr.resample(recording, own_rate, sample_rate), np.float32)
    if clip.onset_seconds is None:
        before = after = round(PAD_SECONDS * sample_rate)
        # Of a longer recording what follows is played as well.
        after = max(0, after - max(0, len(recording) - round(MOST_SECONDS * sample_rate)))
    else:
        begin = round((onset - PAD_SECONDS) * sample_rate)
        before, after = max(0, -begin), max(0, round((offset + PAD_SECONDS) * sample_rate) - len(recording))
        recording = recording[max(0, begin) :]
    floor = _floor(recording, sample_rate)
    # A mirrored floor has no seams, but for the one at the sound itself.
    return np.concatenate([_long_as(floor, before)[::-1], recording, _long_as(floor, after)])


def _floor(recording: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """Return the longer stretch without sound, before or after it; one sample of silence where no floor shows."""
    found = find_sound(recording, sample_rate)
    if found.floor_db is None:
        return np.zeros(1, np.float32)
    outside = recording[: found.onset_sample], recording[found.offset_sample :]
    longer = max(outside, key=len)
    return longer if len(longer) else np.zeros(1, np.float32)


def _long_as(floor: NDArray[np.float32], n_samples: int) -> NDArray[np.float32]:
    """Return so many samples of a floor that goes to and fro."""
    to_and_fro = np.concatenate([floor, floor[::-1]])
    return np.resize(to_and_fro, n_samples)


def _background(paths: Sequence[Path], sample_rate: int) -> list[tuple[Clip, NDArray[np.float32]]]:
    pieces: list[tuple[Clip, NDArray[np.float32]]] = []
    if not paths:
        return pieces
    n_each = max(1, MOST_PIECES // len(paths))
    for path in paths[:MOST_PIECES]:
        recording, own_rate = read_audio(path, n_each * MOST_SECONDS)
        recording = np.asarray(soxr.resample(recording, own_rate, sample_rate), np.float32)
        length = round(MOST_SECONDS * sample_rate)
        clip = Clip(path, None, None, None, None, None)
        # The first score comes after a second: a shorter rest is left out.
        pieces += [
            (clip, recording[begin : begin + length])
            for begin in range(0, max(1, len(recording) - round(2 * PAD_SECONDS * sample_rate)), length)
        ]
    return pieces


def _play(model: Model, pieces: Iterable[tuple[Clip, NDArray[np.float32]]]) -> list[_Reply]:
    facts = model.manifest
    column = {label: i for i, label in enumerate(facts.labels)}
    detector = Detector(model, {label: facts.decision_of(label) for label in facts.labels})
    replies = []
    # Side by side those that are as long: each run then has its full batch.
    in_order = sorted(pieces, key=lambda piece: len(piece[1]))
    for begin in range(0, len(in_order), MAX_BATCH):
        batch = in_order[begin : begin + MAX_BATCH]
        posteriors = np.zeros((len(batch), len(column)), np.float32)
        n_onsets = np.zeros((len(batch), len(column)), np.int64)
        for row, (_, samples) in enumerate(batch):
            detector.start(str(row))
            detector.push(str(row), samples)
        for hop in detector.step():
            row = int(hop.source)
            np.maximum(posteriors[row], hop.posteriors, out=posteriors[row])
            for detection in hop.detections:
                n_onsets[row, column[detection.label]] += detection.offset_sample is None
        detector.flush()
        replies += [
            _Reply(clip, len(samples) / facts.sample_rate, posteriors[row], n_onsets[row])
            for row, (clip, samples) in enumerate(batch)
        ]
    return replies


def _hearing(label: str, replies: list[_Reply], model: Model) -> Hearing:
    facts = model.manifest
    own_paths = {reply.clip.path for reply in replies if reply.clip.label == label}
    own = [reply for reply in replies if reply.clip.label == label]
    others = [r for r in replies if r.clip.label not in (label, None) and r.clip.path not in own_paths]
    background = [reply for reply in replies if reply.clip.label is None]
    background_seconds = sum((reply.seconds for reply in background), 0.0)
    answered = sum((reply.n_onsets > 0 for reply in own), np.zeros(len(facts.labels), np.int64))
    others_answered = sum((reply.n_onsets > 0 for reply in others), np.zeros(len(facts.labels), np.int64))
    false_alarms = sum((reply.n_onsets for reply in background), np.zeros(len(facts.labels), np.int64))
    best = np.array([reply.posteriors for reply in own])
    medians = np.median(best, axis=0)
    rest = np.array([reply.posteriors for reply in others + background])
    separation = _separation(best, rest) if len(rest) else None

    def answer(column: int) -> Answer:
        return Answer(
            facts.labels[column],
            facts.decision_of(facts.labels[column]).onset_threshold,
            len(own),
            int(answered[column]),
            float(medians[column]),
            len(others),
            int(others_answered[column]),
            background_seconds,
            int(false_alarms[column]),
            None if separation is None else float(separation[column]),
        )

    def rank(column: int) -> tuple[float, ...]:
        """Order by: suffices and its false alarms are known, suffices, share of own less that of others, posterior."""
        found = answer(column)
        share = found.n_answered / found.n_clips - found.n_others_answered / max(1, found.n_others)
        is_default = found.known in facts.default_labels
        return found.suffices and is_default, found.suffices, share, found.median_posterior

    n_sounds = facts.labels.index(FIRST_NO_SOUND)
    candidates = np.flatnonzero(answered[:n_sounds])
    answers = answer(max(candidates.tolist(), key=rank)) if len(candidates) else None
    nearest = medians if separation is None else separation + 1e-6 * medians
    return Hearing(label, answers, answer(int(np.argmax(nearest[:n_sounds]))))


def _separation(own: NDArray[np.float32], rest: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return Mann and Whitney's U as a share of all pairs, column by column; rows are clips."""
    ranks = rankdata(np.concatenate([own, rest]), axis=0)[: len(own)]
    areas: NDArray[np.float64] = (ranks.sum(axis=0) - len(own) * (len(own) + 1) / 2) / (len(own) * len(rest))
    return areas

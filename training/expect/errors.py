"""The worst errors, to be heard: what people learn most from, wrong labels among them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest

import numpy as np
import soundfile
from numpy.typing import NDArray

from streamd.decision import DecisionSpec, hops
from streamd.manifest import Manifest
from training.expect import report
from training.expect.outcomes import Outcome
from training.expect.play import LabelledStream, Played
from training.expect.stream_delays import REACH_SECONDS

N_WORST = 20
AROUND_SECONDS = 1.0
"""Before and after an error: enough to hear what it stood in."""
LONGEST_SECONDS = 8.0
"""Of one error without that; of a longer one its beginning."""


def worst(outcomes: Iterable[Outcome], manifest: Manifest, most: int = N_WORST) -> list[report.Error]:
    """Return the worst errors: the surest false alarms, the confusions, the sounds that were furthest from being heard.

    Of the three kinds as many of each, as far as there are, the worst of each first: a hundred missed sounds must not
    hide the one false alarm.

    Args:
        outcomes: of all streams.
        manifest: of the model, with the decisions that gave them.
        most: how many.
    """
    by_kind: dict[str, list[tuple[float, Outcome]]] = {"false alarm": [], "confused": [], "missed": []}
    for one in outcomes:
        if one.kind != "heard":
            by_kind[one.kind].append((_score(one, manifest), one))
    sorted_kinds: list[Sequence[tuple[float, Outcome]]] = [
        sorted(found, key=lambda pair: (pair[0] if pair[1].event is None else -pair[0], pair[1].played.stream.name))
        for found in by_kind.values()
    ]
    in_turn = [pair for pair in chain.from_iterable(zip_longest(*sorted_kinds)) if pair is not None]
    return [_error(one, score, manifest.sample_rate) for score, one in in_turn[:most]]


def _score(one: Outcome, manifest: Manifest) -> float:
    if one.event is not None:
        return one.event.peak or 0.0
    if one.sound is None:
        return 0.0
    played = one.played
    column = manifest.labels.index(one.sound.label)
    begin = np.searchsorted(played.end_seconds, one.sound.onset_seconds, "left")
    end = np.searchsorted(played.end_seconds, one.sound.offset_seconds + REACH_SECONDS, "right")
    scores = _smoothed(played, column, manifest.decision_of(one.sound.label), manifest.hop_seconds)[begin:end]
    return float(scores.max(initial=0.0))


def _smoothed(played: Played, column: int, spec: DecisionSpec, hop_seconds: float) -> NDArray[np.float64]:
    """Return what thresholds are compared with, (n_hops,)."""
    n = max(1, hops(spec.smoothing_seconds, hop_seconds))
    so_far = np.concatenate([[0.0], np.cumsum(played.posteriors[:, column], dtype=np.float64)])
    last = np.arange(1, len(so_far))
    first = np.maximum(last - n, 0)
    return np.asarray((so_far[last] - so_far[first]) / (last - first))


def _error(one: Outcome, score: float, sample_rate: int) -> report.Error:
    sound, event = one.sound, one.event
    about = sound or event
    if about is None or one.kind == "heard":
        raise ValueError(f"{one.kind} without a sound or an event; expected an error")
    return report.Error(
        kind=one.kind,
        label=about.label,
        taken_for=event.label if sound and event else None,
        score=round(score, 4),
        stream=one.played.stream.name,
        seconds=round(about.onset_seconds, 3),
        clip=sound.clip if sound else None,
        flac=flac(one.played.stream, about.onset_seconds, about.offset_seconds, sample_rate),
    )


def flac(stream: LabelledStream, onset_seconds: float, offset_seconds: float, sample_rate: int) -> bytes:
    """Return a stretch of a stream with a second before and after, as a FLAC file."""
    end_seconds = min(offset_seconds, onset_seconds + LONGEST_SECONDS) + AROUND_SECONDS
    begin, end = max(0.0, onset_seconds - AROUND_SECONDS) * sample_rate, end_seconds * sample_rate
    file = io.BytesIO()
    soundfile.write(file, stream.samples[round(begin) : round(end)], sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()

"""What a network is worth while it is trained: recall at a budget of false alarms, on streams it never learns from.

The streams' log-mel is made once; a check then is one run of the network over it, and the daemon's decision at a few
thresholds. Nothing is exported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from streamd.decision import DecisionSpec
from streamd.logmel import LogMelSpec, log_mel
from streamd.manifest import Golden, Manifest
from training.design.fit import Score, Scorer
from training.design.receptive_field import n_cold_outputs
from training.design.streaming import StreamNetwork
from training.expect.budget import ALARMS_PER_HOUR
from training.expect.det import Point, choose_within, outcomes, with_threshold
from training.expect.play import LabelledStream, Played
from training.expect.stream_delays import rough_onset_delay
from training.expect.thresholds import most_alarms

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.995)
"""Coarser than those that the finished model is given: a check must take seconds."""
LAXER = (4.0, 16.0, 64.0)
"""Times the budget: what tells two networks apart while neither hears anything within it, as most do at first."""
PIECE_SECONDS = 300.0
"""Background is cut into pieces of that length, which are decided side by side."""
HOPS_AT_ONCE = 500
"""What a network makes of an hour of frames would not fit into a small machine's memory."""


def scorer(
    streams: Sequence[LabelledStream],
    spec: LogMelSpec,
    labels: Sequence[str],
    hop_frames: int,
    decisions: dict[str, DecisionSpec] | None = None,
    alarms_per_hour: float = ALARMS_PER_HOUR,
) -> Scorer:
    """Return what scores a network on streams: mean recall of the labels, false alarms an hour of all of them together.

    From a recall, confusions are taken off. A label that only hears sounds over its budget counts as a recall of 0,
    with the alarms of the threshold that alarms least; one that no threshold hears counts as a recall of 0, too, and
    alarms nobody. Neither keeps the budget.

    Args:
        streams: tuning streams, at the log-mel's sample rate; their log-mel is made now.
        spec: log-mel of the network.
        labels: of its outputs, in order.
        hop_frames: frames between two decisions.
        decisions: by label; what is not named has the default decision. Their onset thresholds are not looked at.
        alarms_per_hour: the budget of each label.

    Raises:
        ValueError: a stream has a sound of another label.
    """
    strangers = sorted({sound.label for one in streams for sound in one.sounds} - set(labels))
    if strangers:
        raise ValueError(f"sounds are labelled {', '.join(strangers)}; the network has {', '.join(labels)}")
    pieces = [piece for one in streams for piece in _pieces(one, spec.sample_rate)]
    hops = []
    for one in pieces:
        frames = log_mel(one.samples, spec)
        n_hops = len(frames) // hop_frames
        hops.append(frames[: n_hops * hop_frames].reshape(n_hops, hop_frames, spec.n_mels))
    # What the score needs no samples for is not kept.
    heard = [replace(one, samples=np.zeros(0, np.int16)) for one in pieces]

    def score(network: StreamNetwork) -> Score:
        facts = _facts(network, spec, labels, hop_frames, decisions or {})
        played = [_played(network, one, own, facts) for one, own in zip(heard, hops, strict=True)]
        facts = msgspec.structs.replace(facts, onset_delay=rough_onset_delay(played, facts))
        return _score(played, facts, alarms_per_hour)

    return score


def _score(played: Sequence[Played], facts: Manifest, alarms_per_hour: float) -> Score:
    tried = [(label, with_threshold(facts.decision_of(label), at)) for label in facts.labels for at in THRESHOLDS]
    points = outcomes(played, facts, tried)
    recalls: list[float] = []
    lax_recalls: list[float] = []
    rate, keeps_budget = 0.0, True
    for i in range(len(facts.labels)):
        row = points[i * len(THRESHOLDS) : (i + 1) * len(THRESHOLDS)]
        if row[0].recall is None:
            continue
        best = choose_within(row, most_alarms(row[0].hours, alarms_per_hour))
        recalls.append(_gained(best))
        for times in LAXER:
            lax = choose_within(row, int(times * alarms_per_hour * row[0].hours))
            lax_recalls.append(_gained(lax))
        if best is None:
            keeps_budget = False
            best = min((one for one in row if any(one.heard)), key=lambda one: one.n_false_alarms, default=None)
        rate += best.n_false_alarms / best.hours if best and best.hours else 0.0
    mean, lax_mean = (float(np.mean(found)) if found else 0.0 for found in (recalls, lax_recalls))
    return Score(mean, rate, keeps_budget, lax_mean)


def _gained(point: Point | None) -> float:
    """Part of the sounds that was heard, confusions taken off: where no sound has another label it is the recall."""
    return max(0.0, point.n_gained / len(point.heard)) if point else 0.0


def _played(network: StreamNetwork, stream: LabelledStream, hops: NDArray[np.float32], facts: Manifest) -> Played:
    posteriors = _posteriors(network, hops)
    ends = facts.span_samples + np.arange(len(posteriors)) * facts.hop_samples
    warm = slice(facts.n_warmup_hops, None)
    return Played(stream, posteriors[warm], ends[warm] / facts.sample_rate, ())


def _posteriors(network: StreamNetwork, hops: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the posteriors (n_hops, n_labels) of hops (n_hops, hop_frames, n_mels), the state carried on."""
    state = network.initial_state(1)
    found = [np.zeros((0, network.n_labels), np.float32)]
    for begin in range(0, len(hops), HOPS_AT_ONCE):
        some = torch.from_numpy(hops[begin : begin + HOPS_AT_ONCE])
        with torch.inference_mode():
            posteriors, state = network(some.flatten(0, 1)[None], state)
        found.append(posteriors.reshape(len(some), -1, network.n_labels).amax(dim=1).numpy())
    return np.concatenate(found)


def _pieces(stream: LabelledStream, sample_rate: int) -> list[LabelledStream]:
    n = round(PIECE_SECONDS * sample_rate)
    if stream.sounds or len(stream.samples) <= n:
        return [stream]
    group = stream.group or stream.name
    return [
        replace(stream, name=f"{stream.name} from {begin}", samples=stream.samples[begin : begin + n], group=group)
        for begin in range(0, len(stream.samples), n)
    ]


def _facts(
    network: StreamNetwork,
    spec: LogMelSpec,
    labels: Sequence[str],
    hop_frames: int,
    decisions: dict[str, DecisionSpec],
) -> Manifest:
    """Return the manifest of a network that is not finished."""
    return Manifest(
        name="unfinished",
        version="0",
        licence="",
        description="",
        labels=tuple(labels),
        default_labels=tuple(labels),
        kind="stream",
        input="log_mel",
        sample_rate=spec.sample_rate,
        log_mel=spec,
        n_frames=hop_frames,
        hop_frames=hop_frames,
        warmup_frames=n_cold_outputs(network.layers) * network.time_stride + hop_frames,
        max_batch=None,
        n_state=network.n_state,
        onset_delay=0,
        offset_delay=0,
        decision=DecisionSpec(),
        label_decisions=decisions,
        expected={},
        training={},
        golden=Golden(seed=0, n_samples=0, posterior=b""),
    )

"""Far more to do than time: a model that is slow on purpose, and three times the sources that it can hear."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import helper, numpy_helper

from streamd.bench.trial import Trial
from streamd.config_shape import StreamdYaml
from streamd.events import AudioGap, Score, State
from streamd.intake import MAX_MESSAGES
from streamd.model import Model
from streamd.subscribe import Gap, Subscription
from tests import tiny_models

HOP_FRAMES = 25
HOP_SECONDS = HOP_FRAMES * tiny_models.SPEC.hop_length / tiny_models.SAMPLE_RATE
OVERLOAD = 3.0
"""Times what the model could hear if it had a core for itself; it never has more."""
LEFT = 2
"""Sources that are left when the load drops."""
MAX_LAG_SECONDS = StreamdYaml().max_lag_seconds
MAX_GROWTH_BYTES = 12_000_000
"""Audio that may wait, 8 kB a source and second, and what an allocator keeps of it."""
PATIENCE_SECONDS = 90.0


def make_slow(network: onnx.ModelProto) -> None:
    """Have a model compute two million sines for every row, and add next to nothing of them to its answer."""
    graph = network.graph
    first = graph.input[0].name
    numbers = {"slow_sizes": np.array([1, 1, 500_000]), "slow_axes": np.array([1, 2])}
    graph.initializer.extend(numpy_helper.from_array(value.astype(np.int64), name) for name, value in numbers.items())
    graph.initializer.append(numpy_helper.from_array(np.array(1e-30, np.float32), "slow_share"))
    nodes = [
        helper.make_node("ReduceMean", [first, "slow_axes"], ["slow_mean"], keepdims=1),
        helper.make_node("Expand", ["slow_mean", "slow_sizes"], ["slow_0"]),
        *(helper.make_node("Sin", [f"slow_{i}"], [f"slow_{i + 1}"]) for i in range(4)),
        helper.make_node("ReduceMean", ["slow_4", "slow_axes"], ["slow_sum"], keepdims=0),
        helper.make_node("Mul", ["slow_sum", "slow_share"], ["slow_little"]),
        helper.make_node("Reshape", ["slow_little", "slow_shape"], ["slow_column"]),
        helper.make_node("Add", ["logit", "slow_column"], ["slow_logit"]),
    ]
    graph.initializer.append(numpy_helper.from_array(np.array([-1, 1], np.int64), "slow_shape"))
    sigmoid = next(node for node in graph.node if node.op_type == "Sigmoid")
    sigmoid.input[0] = "slow_logit"
    at = list(graph.node).index(sigmoid)
    for i, node in enumerate(nodes):
        graph.node.insert(at + i, node)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    facts = {"n_frames": HOP_FRAMES, "hop_frames": HOP_FRAMES, "warmup_frames": HOP_FRAMES, "max_batch": 1}
    return tiny_models.build(tmp_path_factory.mktemp("slow"), "window", "log_mel", make_slow, **facts)


def row_seconds(file: Path) -> float:
    """What one row takes here and now, at least."""
    model = Model(file, "cpu", verify=False)
    row = np.zeros((1, HOP_FRAMES, tiny_models.SPEC.n_mels), np.float32)
    times = []
    for _ in range(5):
        begin = time.thread_time()
        model.run(row)
        times.append(time.thread_time() - begin)
    return min(times)


def follow(trial: Trial, is_enough: Callable[[Mapping[str, Sequence[AudioGap]]], bool]) -> dict[str, list[AudioGap]]:
    """Return the next gaps of each source, up to the first moment at which they are enough."""
    found: defaultdict[str, list[AudioGap]] = defaultdict(list)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_enough(found):
        message = trial.subscription.poll(max(0.0, deadline - time.monotonic()))
        assert message is not None, f"only {len(found)} sources had a gap, all {sum(map(len, found.values()))}"
        assert not isinstance(message, Gap)  # messages are lost to nobody, whatever audio is
        if isinstance(message, State) and message.gap is not None:
            found[message.source].append(message.gap)
    return found


def late_scores(scores: Subscription, seconds: float, most: int = 10**6) -> tuple[int, int]:
    """Return how many scores come in so many seconds, most at most, and how many of them are later than a hop."""
    n, n_late = 0, 0
    deadline = time.monotonic() + seconds
    while n < most and (rest := deadline - time.monotonic()) > 0:
        message = scores.poll(rest)
        if isinstance(message, Score):
            n += 1
            n_late += time.time() - message.time.timestamp() > HOP_SECONDS
    return n, n_late


def test_too_much_is_shed_in_runs_memory_stays_and_soon_after_the_load_drops_nothing_is_late(slow: Path) -> None:
    row = row_seconds(slow)
    n_sources = LEFT + math.ceil(OVERLOAD * HOP_SECONDS / row)
    config = {"models": [{"file": str(slow)}], "device": "cpu"}
    with Trial(config, n_sources) as trial:
        gaps = follow(trial, lambda found: len(found) > n_sources / 4)
        memory = psutil.Process(trial.daemon.pid).memory_info
        before = memory().rss
        later = follow(trial, lambda found: sum(map(len, found.values())) > n_sources)
        assert memory().rss - before < MAX_GROWTH_BYTES
        for source, more in later.items():
            gaps[source] += more
        lost = {report.name: report.n_lost for report in trial.status().sources}

        names = [f"source-{i}" for i in range(LEFT)]
        with Subscription(trial.events_at, sources=names, also=["score"]) as scores:
            assert late_scores(scores, PATIENCE_SECONDS, 1) == (1, 1)
            trial.sent(n_sources=LEFT)
            # Nothing older than that is heard; and a turn of the loop, on a core that it may have to share.
            late_scores(scores, MAX_LAG_SECONDS + 4 * MAX_MESSAGES * row)
            n, n_late = late_scores(scores, 5 * HOP_SECONDS)
        assert n >= 4 * LEFT
        assert n_late == 0

    n_block = round(HOP_SECONDS * tiny_models.SAMPLE_RATE)
    for source, holes in gaps.items():
        assert {hole.reason for hole in holes} == {"lag"}
        assert sum(hole.n_samples for hole in holes) <= lost[source]
        assert max(hole.n_samples for hole in holes) > n_block
        ends = [hole.first_sample + hole.n_samples for hole in holes]
        # Something is heard between two of them: what follows on a run was never shed for itself.
        assert all(hole.first_sample >= end + n_block for hole, end in zip(holes[1:], ends, strict=False))

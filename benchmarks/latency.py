"""Claim: once a block is captured, a subscriber has the event that it decides within milliseconds.

A model of three ONNX operators stands in for a network: its window is the block itself and its run takes next to no
time, so what is left is agent, transport, log-mel, decision, publication and the subscriber.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import _harness as harness
import numpy as np
import soundfile

from streamd.decision import DecisionSpec
from streamd.events import Event
from streamd.subscribe import Subscription
from tests import tiny_models

HOP_SECONDS = 0.08
HOP_FRAMES = 8
SECONDS = 15.0
N_ROUNDS = 5
SHOWN = (50, 95, 99)
SETTLED_SECONDS = 2.0
LABEL = "Low tone"
DECISION = DecisionSpec(onset_threshold=0.6, offset_threshold=0.4, min_silence_seconds=HOP_SECONDS)


def model(folder: Path) -> Path:
    """Write a model that decides every block: its window is one hop."""
    return tiny_models.build(
        folder,
        "window",
        "log_mel",
        n_frames=HOP_FRAMES,
        hop_frames=HOP_FRAMES,
        warmup_frames=HOP_FRAMES,
        onset_delay=0,
        offset_delay=0,
        decision=DECISION,
    )


def recording(folder: Path) -> Path:
    """Write a tone that sounds in every second block: an onset or an offset each 80 ms."""
    n_samples = round(HOP_SECONDS * tiny_models.SAMPLE_RATE)
    tone = tiny_models.tone(n_samples, LABEL)
    pattern = np.concatenate([tone, np.zeros_like(tone)])
    file = folder / "tones.wav"
    soundfile.write(file, np.tile(pattern, round(60 / HOP_SECONDS / 2)), tiny_models.SAMPLE_RATE, subtype="PCM_16")
    return file


def decided_at(event: Event) -> float:
    """Return the wall time of the last sample that an event needed, in seconds since 1970.

    The model has no delays, and the decision waits for nothing but one hop of silence: an onset lies at the end of
    the hop that decided, and so does an offset, which is at least a hop after its onset.
    """
    decided = event.offset_time or event.onset_time
    return decided.timestamp()


def latencies(daemon: harness.Daemon) -> list[tuple[float, float]]:
    """Return of every event, in seconds: captured to published as the event says, captured to received as we see."""
    found = []
    with Subscription(daemon.events_at) as subscription:
        begin = time.monotonic() + SETTLED_SECONDS
        while time.monotonic() < begin + SECONDS:
            message = subscription.poll(5.0)
            received = time.time()
            if message is None:
                raise RuntimeError("no event in 5 s")
            if isinstance(message, Event) and message.latency_seconds is not None and time.monotonic() > begin:
                found.append((message.latency_seconds, received - decided_at(message)))
    return found


def late_wakes() -> None:
    """Print how late this process is when it asks to be woken every 80 ms, in seconds: the machine's part, for ever."""
    due = time.monotonic()
    while True:
        due += HOP_SECONDS
        time.sleep(max(0.0, due - time.monotonic()))
        print(time.monotonic() - due, flush=True)


@contextmanager
def beside() -> Iterator[list[float]]:
    """Run `late_wakes` in a process of its own; the list is filled at the end."""
    late: list[float] = []
    process = subprocess.Popen([sys.executable, __file__, "late"], stdout=subprocess.PIPE, text=True)
    try:
        yield late
    finally:
        process.terminate()
        late += [float(line) for line in process.communicate()[0].splitlines()]


def main() -> None:
    """Measure with one source."""
    with tempfile.TemporaryDirectory(prefix="latency-") as name:
        folder = Path(name)
        source = {"recording": str(recording(folder)), "repeat": True}
        config = {"sources": {"tones": source}, "models": [{"file": str(model(folder)), "labels": {LABEL: {}}}]}
        with harness.daemon(json.dumps(config)) as daemon:
            daemon.wait_until_it_says("ready after")
            with beside() as late:
                rounds = [latencies(daemon) for _ in range(N_ROUNDS)]
    n_expected = SECONDS / HOP_SECONDS
    for found in rounds:
        if not 0.95 * n_expected < len(found) < 1.05 * n_expected or any(total < told for told, total in found):
            raise RuntimeError(f"{len(found)} events in {SECONDS:g} s, or one that came before it was sent")
    told, received = ([percentiles([1000 * event[which] for event in found]) for found in rounds] for which in range(2))
    bare = percentiles([1000 * one for one in late])
    delays = {
        "from a captured block to its event published": median_of(told),
        "from a captured block to its event received": median_of(received),
        "a bare process woken every 80 ms beside them: too late by": bare,
    }
    what = "block captured → event at a subscriber"
    ours = median_of(received)
    figures = [
        harness.Figure(f"{what}, p99", ours[99], *ends(received, 99), "ms", "≤ 5"),
        harness.Figure(f"{what}, median", ours[50], *ends(received, 50), "ms"),
        harness.Figure("a bare process is woken too late by, p99", bare[99], min(late) * 1000, max(late) * 1000, "ms"),
    ]
    table = [{"delay": name, **{f"p{q}, ms": round(of[q], 2) for q in SHOWN}} for name, of in delays.items()]
    n_events = sum(len(found) for found in rounds)
    how = f"""A recording at 8 kHz plays in real time through an agent. Every second block of 80 ms holds a tone, so
        every block decides an onset or an offset ({n_events} events in {N_ROUNDS} rounds of {SECONDS:g} s). Captured is
        when the last sample of the deciding block was due; received is when the subscriber, another process over ipc,
        holds the decoded event. The model's window is the block itself, and its run (three ONNX operators) is counted
        in, as are the agent's wake-up, both ZeroMQ hops, log-mel, decision and publication. Each percentile is the
        median of those of the rounds; spread: the least and greatest of the rounds. The bare process tells what the
        machine itself adds while others use it: a daemon is woken no earlier than that."""
    harness.save(__file__, how, figures, table)


def percentiles(values: list[float]) -> dict[int, float]:
    """Return the percentiles that are shown."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {q: cuts[q - 1] for q in SHOWN}


def median_of(rounds: list[dict[int, float]]) -> dict[int, float]:
    """Return the median over the rounds of each percentile."""
    return {q: statistics.median(one[q] for one in rounds) for q in SHOWN}


def ends(rounds: list[dict[int, float]], q: int) -> tuple[float, float]:
    """Return the least and the greatest of the rounds."""
    return min(one[q] for one in rounds), max(one[q] for one in rounds)


if __name__ == "__main__":
    late_wakes() if sys.argv[1:] == ["late"] else main()

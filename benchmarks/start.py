"""Claim: a second after it was started, the daemon hears its microphone; it scores as soon as the window is full."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

import _harness as harness
import zmq

from streamd import onnx_file
from streamd.manifest import decode
from streamd.shipped import find_model

N_STARTS = 9
CONFIG = "sources: {microphone: {microphone: default}}\n"


def one_start(environment: Mapping[str, str]) -> tuple[float, float]:
    """Start a daemon; return when it was ready and when the first score came, in seconds after the spawn."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    with harness.daemon(CONFIG, environment) as daemon, context.socket(zmq.SUB) as scores:
        scores.setsockopt(zmq.RECONNECT_IVL, 5)  # the daemon has yet to make the socket
        scores.subscribe("score/")
        scores.connect(daemon.events_at)
        ready = daemon.wait_until_it_says("ready after")
        if not scores.poll(20_000):
            raise RuntimeError("no score in 20 s")
        return ready, time.monotonic() - daemon.spawned_at


def main() -> None:
    """Start it again and again."""
    facts = decode(onnx_file.metadata(find_model("yamnet").read_bytes())["streamd"])
    window_seconds = facts.first_score_samples / facts.sample_rate
    with harness.fake_microphone() as environment:
        one_start(environment)  # files are read from memory afterwards
        starts = [one_start(environment) for _ in range(N_STARTS)]
    ready = [one for one, _ in starts]
    over = [scored - one - window_seconds for one, scored in starts]
    figures = [
        harness.Figure.of("from spawn to READY", ready, "s", "≤ 1"),
        harness.Figure.of("first score, after READY and the model's window", over, "s", "≤ 0.3"),
    ]
    how = f"""`streamd run` with the default model and a fake microphone (real PortAudio), started {N_STARTS} times with
        warm file caches. READY is the line "ready after" on stderr: a block of the microphone, 0.24 s of audio, went
        through the log-mel. The first score is the first message of a score topic at a subscriber that was there
        before; the default model's first window is {window_seconds:.2f} s of audio, part of which is heard before
        READY, so the second figure may be below zero."""
    table = [
        {"median of": "spawn to READY", "s": round(statistics.median(ready), 3)},
        {"median of": "spawn to first score", "s": round(statistics.median(scored for _, scored in starts), 3)},
    ]
    harness.save(__file__, how, figures, table)


if __name__ == "__main__":
    main()

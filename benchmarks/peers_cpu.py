"""Claim: the whole daemon with a small stream model takes 0.45 of the CPU that openWakeWord takes, live, or less.

And what others take, as yardsticks: each hears the same fake microphone (paced), and the same recording as fast as it
can (hot). They do not do the same work; the table says what each does. openwakeword.py compares like with like.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import _harness as harness
import _processes as processes

from examples.openwakeword.adopt import adopt_openwakeword
from examples.openwakeword.head import write_head
from streamd.shipped import find_model

N_HOT, SECONDS = 3, (4.0, 64.0)
"""Rounds, and the recordings of each."""
N_PACED, MEASURED_SECONDS = 5, 6.0


class System(NamedTuple):
    """A row of the table."""

    name: str
    does: str
    scores_a_second: float
    hot: processes.Command
    """Hears a recording, whose name follows."""
    models: str = ""
    """Of ours: the model that the daemon has, paced."""


def systems(folder: Path) -> list[System]:
    """Return all of them; those of ours first, then openWakeWord."""
    head, wake = folder / "stand-in.onnx", folder / "wake.onnx"
    write_head(head)
    adopt_openwakeword(head, wake, "Stand-in")
    yamnet = find_model("yamnet")
    ours = (
        ("speech", "speech", "log-mel of 64 bands, a stream network of 133,000 parameters", 7.8),
        ("openWakeWord's graphs", str(wake), "the same scores as openWakeWord (form new-frames)", 12.5),
        ("yamnet", "yamnet", "log-mel, a window network of 3.7 million parameters: 521 labels", 4.2),
    )
    theirs = (
        ("openWakeWord 0.6.0", "openwakeword", head, "mel graph, embedding of 76 frames, a head", 12.5),
        ("livekit-wakeword 0.3.0", "livekit", head, "the same graphs on the last two seconds, each time", 12.5),
        ("silero-vad 6.2.3", "silero", "-", "its graph, without torch: whether somebody speaks", 31.2),
        ("pymicro-wakeword 2.5.0", "pymicro", "-", "a streaming network of 8-bit numbers, TensorFlow Lite", 33.3),
        ("kaldi-native-fbank 1.23.0", "kaldi", "-", "64 bands and nothing behind them", 0),
        (
            "librosa 0.11.0 and onnxruntime",
            "librosa",
            yamnet,
            "yamnet as one writes it first: the whole second again",
            4.2,
        ),
    )
    return [System(f"streamd, {name}", does, n, processes.replay(model), model) for name, model, does, n in ours] + [
        System(name, does, n, processes.peer(system, model)) for name, system, model, does, n in theirs
    ]


@contextmanager
def live(system: System, environment: Mapping[str, str]) -> Iterator[list[int]]:
    """Start a system on the default microphone, and yield its processes once it has something to say."""
    if system.models:
        microphone = {"microphone": "default", "sample_rate": 16_000}
        config = {"sources": {"microphone": microphone}, "models": [{"file": system.models}]}
        with harness.daemon(json.dumps(config), environment) as daemon:
            daemon.wait_until_it_says("ready after")
            yield list(daemon.pids().values())
    else:
        with processes.started(system.hot, environment) as pid:
            yield [pid]


def paced(system: System, environment: Mapping[str, str]) -> tuple[float, float]:
    """Return the share of a core in percent, and Rss in MB, of all processes of a system."""
    with live(system, environment) as pids:
        shares = harness.shares({str(pid): pid for pid in pids}, MEASURED_SECONDS)
        return sum(shares.values()), sum(processes.rss_mb(pid) for pid in pids)


def main() -> None:
    """Measure, in turns: first all hot, then all paced."""
    with tempfile.TemporaryDirectory() as name, harness.fake_microphone() as environment:
        everything = systems(Path(name))
        hot = processes.rounds({one.name: one.hot for one in everything}, N_HOT, SECONDS)
        slow: dict[str, list[tuple[float, float]]] = {one.name: [] for one in everything}
        for _ in range(N_PACED):
            for one in everything:
                slow[one.name].append(paced(one, environment))
    share = {name: [cpu for cpu, _ in found] for name, found in slow.items()}
    (small, wake, yamnet), theirs, naive = (one.name for one in everything[:3]), everything[3].name, everything[-1].name
    figures = [
        harness.Figure.of(
            "paced: daemon + agent with speech ÷ openWakeWord",
            harness.ratios(share[small], share[theirs]),
            "×",
            "≤ 0.45",
        ),
        harness.Figure.of(
            "paced: daemon + agent with openWakeWord's graphs, new frames only ÷ openWakeWord",
            harness.ratios(share[wake], share[theirs]),
            "×",
        ),
        harness.Figure.of(
            "paced: daemon + agent with yamnet ÷ librosa and onnxruntime with it",
            harness.ratios(share[yamnet], share[naive]),
            "×",
        ),
    ]
    table = [
        {
            "system": one.name,
            "what it does": one.does,
            "scores a second": one.scores_a_second or "–",
            "paced: CPU, % of a core": round(statistics.median(share[one.name]), 2),
            "paced: Rss, MB": round(statistics.median(rss for _, rss in slow[one.name])),
            "hot: CPU ms for a second of audio": round(statistics.median(cost.cpu_ms for cost in hot[one.name]), 2),
            "spawn to first score, s": round(statistics.median(cost.first_seconds for cost in hot[one.name]), 2),
        }
        for one in everything
    ]
    how = f"""Paced: a fake microphone (real PortAudio at 16 kHz, PulseAudio's null sink) that plays noise, one system
        after the other, {MEASURED_SECONDS:g} s each, {N_PACED} rounds; CPU time of all threads of all its processes,
        which is `streamd run` and its agent for streamd, with log-mel, network, decision, ZeroMQ and everything else,
        and for the others one process that reads the microphone with sounddevice in blocks of its hop and does
        nothing with the score (benchmarks/peers/hear.py, one thread each). Rss is the sum of a system's processes,
        shared pages counted in each. Hot and first score: as for openWakeWord's graphs above, on 4 and 64 s of a
        voice made by formula, with `streamd replay` for streamd. The goal for the first figure is 0.33, at least 0.45
        was promised. openWakeWord and livekit-wakeword have a stand-in head. Where the time of daemon and agent goes
        is in [notes for who carries on](development.md#missed-and-what-is-known-of-it)."""
    harness.save(__file__, how, figures, table)


if __name__ == "__main__":
    main()

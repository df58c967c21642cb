"""Claim: openWakeWord's graphs cost less in streamd than in openWakeWord, and than in livekit-wakeword.

The same head and the same two graphs before it: for openWakeWord and livekit-wakeword as their own code runs them, for
streamd as one model file (examples/openwakeword). Recordings, as fast as each can hear them.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import _harness as harness
import _processes as processes

from examples.openwakeword.adopt import adopt_openwakeword
from examples.openwakeword.head import write_head

N_ROUNDS = 5
SECONDS = (4.0, 64.0)
"""Of the two recordings; the shorter holds the first score of all of them."""

AS_THEY_ARE, NEW_FRAMES, LOG_MEL = "as-they-are", "new-frames", "log-mel"
OPENWAKEWORD, LIVEKIT = "openWakeWord 0.6.0", "livekit-wakeword 0.3.0"
NAMES = {
    AS_THEY_ARE: "streamd, the graphs as they are",
    NEW_FRAMES: "streamd, the embedding hears new frames only (the same scores)",
    LOG_MEL: "streamd, and its own log-mel before it (scores of audio 11.5 ms later)",
    OPENWAKEWORD: OPENWAKEWORD,
    LIVEKIT: LIVEKIT,
}


def commands(folder: Path) -> dict[str, processes.Command]:
    """Return what is to hear: the same head everywhere."""
    head = folder / "head.onnx"
    write_head(head)
    found: dict[str, processes.Command] = {}
    for form in (AS_THEY_ARE, NEW_FRAMES, LOG_MEL):
        adopt_openwakeword(head, folder / f"{form}.onnx", "Stand-in", form)
        found[form] = processes.replay(folder / f"{form}.onnx")
    return found | {OPENWAKEWORD: processes.peer("openwakeword", head), LIVEKIT: processes.peer("livekit", head)}


def main() -> None:
    """Measure, in turns."""
    with tempfile.TemporaryDirectory() as name:
        found = processes.rounds(commands(Path(name)), N_ROUNDS, SECONDS)

    def figure(what: str, field: str, form: str, peer: str, goal: str) -> harness.Figure:
        theirs, ours = ([getattr(cost, field) for cost in found[one]] for one in (peer, form))
        return harness.Figure.of(f"openWakeWord's graphs, {what}", harness.ratios(theirs, ours), "×", goal)

    figures = [
        figure("as they are, hot: CPU less than openWakeWord's", "cpu_ms", AS_THEY_ARE, OPENWAKEWORD, "≥ 1.7"),
        figure("new frames only, hot: CPU less than openWakeWord's", "cpu_ms", NEW_FRAMES, OPENWAKEWORD, "≥ 2.5"),
        figure("as they are, hot: CPU less than livekit-wakeword's", "cpu_ms", AS_THEY_ARE, LIVEKIT, "≥ 12"),
        figure("as they are: memory less than openWakeWord's", "rss_mb", AS_THEY_ARE, OPENWAKEWORD, "≥ 2"),
        figure(
            "as they are: first score sooner than openWakeWord's", "first_seconds", AS_THEY_ARE, OPENWAKEWORD, "≥ 5"
        ),
        figure(
            "new frames only: first score sooner than openWakeWord's", "first_seconds", NEW_FRAMES, OPENWAKEWORD, "≥ 5"
        ),
    ]
    table = [
        {
            "process": NAMES[name],
            "hot: CPU ms for a second of audio": round(statistics.median(one.cpu_ms for one in costs), 2),
            "Rss, MB": round(statistics.median(one.rss_mb for one in costs)),
            "spawn to first score, s": round(statistics.median(one.first_seconds for one in costs), 2),
        }
        for name, costs in found.items()
    ]
    how = f"""One stand-in head (of the shape of openWakeWord's own, which are downloads; it knows no word) behind
        openWakeWord's mel graph and embedding, a decision every 80 ms. Ours is `streamd replay` with the graphs as one
        model file, in three forms ([examples/openwakeword](../examples/openwakeword/README.md)); the others are
        benchmarks/peers/hear.py, which gives each as its own documentation does 80 ms at a time: openWakeWord to
        Model.predict, livekit-wakeword two seconds to WakeWordModel.predict, with one thread, because its default
        pool spins. A voice made by formula, from a WAV file as fast as it is heard. {N_ROUNDS} rounds in which all
        take turns, each with {SECONDS[0]:g} and {SECONDS[1]:g} s of it. CPU is that of the longer less that of the
        shorter: no start-up, all threads. Rss is that just before the end of the longer; MB of 10^6 bytes. The first
        score is a line of output, from the spawn of the process on, with warm file caches; openWakeWord's is that of
        its first 80 ms, ours and livekit-wakeword's need 2.1 and 2 s of audio. Ours has verified its model by then:
        it computes the 38 hops of its golden answer
        ([notes for who carries on](development.md#missed-and-what-is-known-of-it) say where its time goes)."""
    harness.save(__file__, how, figures, table)


if __name__ == "__main__":
    main()

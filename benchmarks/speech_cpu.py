"""Claim: the shipped speech model costs at most half of the CPU that silero-vad's graph does, for a second of audio.

Both hear the same noise in one process: ours in blocks of its hop (log-mel and network), silero in its 512 samples.
"""

from __future__ import annotations

import statistics
from itertools import cycle

import _harness as harness
import numpy as np
from numpy.typing import NDArray

from streamd.logmel import LogMel
from streamd.model import Model, load_onnxruntime
from streamd.shipped import model_file
from training.design.silero import HOP_SAMPLES, SAMPLE_RATE, WIRING, packaged_graph

NOISE = (0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE * 10)).astype(np.float32)
PCM = (NOISE * 32767).astype(np.int16)
N_ROUNDS = 5
SECONDS = 4.0
"""Of audio in each paced round."""


def ours() -> tuple[float, harness.Work]:
    """Return the seconds of a hop, and the work of one: log-mel and network, as the daemon calls them."""
    model = Model(model_file("speech"), "cpu")
    facts = model.manifest
    if facts.log_mel is None:
        raise SystemExit("the model speech hears samples; expected log-mel")
    stream = LogMel(facts.log_mel)
    # As the detector sets it: a hop's last frame ends with a block.
    stream.reset(facts.lead_samples)
    begins = cycle(range(0, len(PCM) - facts.hop_samples, facts.hop_samples))
    state: NDArray[np.float32] | None = model.initial_state(1)
    frames: NDArray[np.float32] = np.zeros((0, facts.log_mel.n_mels), np.float32)

    def work() -> None:
        nonlocal state, frames
        begin = next(begins)
        frames = np.concatenate([frames, stream.push(PCM[begin : begin + facts.hop_samples])])
        if len(frames) >= facts.n_frames:
            _, state = model.run(frames[None, : facts.n_frames], state)
            frames = frames[facts.hop_frames :]

    return facts.hop_seconds, work


def silero() -> tuple[float, harness.Work]:
    """Return the same of silero's graph, fed as its package feeds it, but without torch."""
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(packaged_graph()), options, providers=["CPUExecutionProvider"])
    begins = cycle(range(0, len(NOISE) - HOP_SAMPLES, HOP_SAMPLES))
    context = np.zeros((1, WIRING.n_context), np.float32)
    state = np.zeros((2, 1, 128), np.float32)
    rate = np.array(SAMPLE_RATE, np.int64)

    def work() -> None:
        nonlocal context, state
        begin = next(begins)
        heard = np.concatenate([context, NOISE[None, begin : begin + HOP_SAMPLES]], axis=1)
        _, state = session.run(None, {"input": heard, "state": state, "sr": rate})
        context = heard[:, -WIRING.n_context :]

    return HOP_SAMPLES / SAMPLE_RATE, work


def main() -> None:
    """Measure, hot and paced."""
    systems = {"streamd's speech: log-mel and network": ours(), "silero-vad 6: its graph": silero()}
    works = {name: work for name, (_, work) in systems.items()}
    hot = {
        name: [one / systems[name][0] for one in found]
        for name, found in harness.alternate(works, n_rounds=15, n_calls=100).items()
    }
    slow: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(N_ROUNDS):
        for name, (hop_seconds, work) in systems.items():
            found = harness.paced({name: work}, hop_seconds, n_rounds=1, n_wakes=round(SECONDS / hop_seconds))
            slow[name].append(found[name][0] / hop_seconds)
    mine, theirs = systems
    figures = [
        harness.Figure.of("speech, hot: CPU against silero-vad", harness.ratios(hot[mine], hot[theirs]), "×", "≤ 0.5"),
        harness.Figure.of(
            "speech, paced: CPU against silero-vad", harness.ratios(slow[mine], slow[theirs]), "×", "≤ 0.5"
        ),
    ]
    table = [
        {
            "a second of audio by": name,
            "hot, CPU ms": round(1e3 * statistics.median(hot[name]), 2),
            "paced, CPU ms": round(1e3 * statistics.median(slow[name]), 2),
            "runs a second": round(1 / systems[name][0], 1),
        }
        for name in systems
    ]
    how = """Noise at 16 kHz. CPU time for a second of audio, one thread, one process that alternates between the two:
        medians of 15 rounds of 100 calls (hot), and of 5 rounds of 4 s with a sleep before every call, as long as the
        system's own hop (paced): 128 ms for ours, which is log-mel by numpy and the network, and 32 ms for silero-vad,
        which is its package's 16 kHz graph with its 64 samples of context, called without its torch wrapper."""
    harness.save(__file__, how, figures, table)


if __name__ == "__main__":
    main()

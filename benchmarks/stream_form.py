"""Claim: rewritten by `export --stream`, a VGG-like network costs a hop a quarter of its 1 s window, a tenth of 3 s."""

from __future__ import annotations

import statistics
import tempfile
from itertools import cycle
from pathlib import Path

import _harness as harness
import numpy as np
import onnx

from streamd.bound import BoundRun
from streamd.detector import Detector
from streamd.model import Model
from tests.training.window_networks import n_parameters, vgg, write
from training.design.export_stream_form import export_stream_form, noise_bursts
from training.design.observe import multiply_adds
from training.design.stream_form import example

N_ROUNDS = 15
N_PACED_ROUNDS = 10
GOALS = {(1, 4): ("≥ 4", "≥ 1.8"), (3, 4): ("≥ 11", "≥ 3"), (1, 8): ("", "")}
"""Hot and paced, for windows of so many seconds of networks that take steps of so many frames."""

Key = tuple[int, int, str]
"""Seconds, frames of a step, form."""


def network(model: Model) -> harness.Work:
    """Return the work of a hop: the network on memory that it is bound to, filled and emptied as `rows.py` does."""
    facts = model.manifest
    inputs = np.zeros((1, facts.n_frames, 64), np.float32)
    posterior = np.zeros((1, len(facts.labels)), np.float32)
    state, state_out, row = np.zeros((3, 1, facts.n_state), np.float32)
    run = BoundRun(model, inputs, posterior, *((state, state_out) if facts.kind == "stream" else (None, None)))
    random = np.random.default_rng(0)
    hops = cycle(random.normal(-40, 20, (32, facts.hop_frames, 64)).astype(np.float32))
    past = np.zeros((facts.n_frames - facts.hop_frames, 64), np.float32)

    def of_window() -> None:
        inputs[0, : len(past)] = past
        inputs[0, len(past) :] = next(hops)
        run()
        past[:] = inputs[0, facts.hop_frames :]
        posterior.copy()

    def of_stream() -> None:
        inputs[0] = next(hops)
        state[:] = row
        run()
        row[:] = state_out
        posterior.copy()

    return of_stream if facts.kind == "stream" else of_window


def detector(model: Model) -> harness.Work:
    """Return the whole work of a hop on samples: log-mel, network, decision."""
    hop = model.manifest.hop_samples
    heard = noise_bursts(200 * hop, model.manifest.sample_rate)
    begins = cycle(range(0, len(heard), hop))
    one = Detector(model)
    one.start("kitchen")

    def work() -> None:
        begin = next(begins)
        one.push("kitchen", heard[begin : begin + hop])
        for _ in one.step():
            pass

    return work


def macs(model: Model) -> float:
    """Return the millions of multiplications with addition of a hop."""
    facts = model.manifest
    state = {"state": model.initial_state(1)} if facts.kind == "stream" else {}
    return multiply_adds(onnx.load(model.file), example(facts, 1, facts.n_frames) | state) / 1e6


def name(key: Key, part: str) -> str:
    """Return the name of a work."""
    return " ".join(str(one) for one in (*key, part))


def main() -> None:
    """Measure, hot and paced."""
    models: dict[Key, Model] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seconds, stride in GOALS:
            at = Path(folder) / f"{seconds} {stride}"
            at.mkdir()
            window = write(at, *vgg(seconds, stride))
            print(*export_stream_form(window), sep="\n")
            models[seconds, stride, "window"] = Model(window, "cpu")
            models[seconds, stride, "stream"] = Model(window.with_name("vgg-stream.onnx"), "cpu")
        parameters = n_parameters(onnx.load(window))
        cost = {key: macs(model) for key, model in models.items()}
    works = {name(key, "network"): network(model) for key, model in models.items()}
    works |= {name(key, "detector"): detector(model) for key, model in models.items()}
    for work in works.values():  # a window must be whole before it costs what it costs
        for _ in range(60):
            work()
    measured = {
        "hot": harness.alternate(works, N_ROUNDS, n_calls=50),
        "paced": harness.paced(works, 0.08, N_PACED_ROUNDS),
    }
    figures, table = [], []
    for part in ("network", "detector"):
        for (seconds, stride), goals in GOALS.items():
            for (word, found), goal in zip(measured.items(), goals, strict=True):
                window_form, stream = (found[name((seconds, stride, form), part)] for form in ("window", "stream"))
                steps = f", steps of {10 * stride} ms" if stride != 4 else ""
                what = f"stream form, {word}: {part} cheaper than with its window of {seconds} s{steps}"
                ratio = harness.ratios(window_form, stream)
                figures.append(harness.Figure.of(what, ratio, "×", goal if part == "network" else ""))
    for key, model in models.items():
        seconds, stride, form = key
        row: dict[str, str | float] = {"a hop by": f"{form} form, {seconds} s, steps of {10 * stride} ms"}
        row["M multiply-adds"] = round(cost[key], 2)
        for part in ("network", "detector"):
            for word, found in measured.items():
                row[f"{part}, {word}, CPU µs"] = round(1e6 * statistics.median(found[name(key, part)]), 1)
        row["numbers of state"] = model.manifest.n_state
        table.append(row)
    how = f"""A network of {parameters:,} parameters on 64 bands: five 3×3 convolutions that are not padded in time, of
        16, 32, 64, 128 and 160 channels, with a maximum of two bands behind the first three and of two frames behind
        the first two (steps of 40 ms) or three (80 ms), then the mean over the window. It runs as a window that is
        computed again at every hop of 80 ms, and as what `python -m training export --stream` made of it. CPU time of a
        hop, one thread, one process that alternates: medians of {N_ROUNDS} rounds of 50 hops (hot), and of
        {N_PACED_ROUNDS} rounds of 25 hops with a sleep before each (paced). *Network* is onnxruntime on bound memory
        with the copies of frames and state; *detector* is all that the daemon does with a hop of samples: log-mel,
        network, decision. Multiply-adds are the limit of what can be gained. Hot, 6 and 18 times were hoped for."""
    harness.save(__file__, how, figures, table)


if __name__ == "__main__":
    main()

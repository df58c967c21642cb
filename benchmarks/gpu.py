"""Claim: on a GPU, with the log-mel there, the events stay what they are, and one card hears thousands of sources.

Checks first (log-mel, posteriors and events against the processor), then measures. Without CUDA it keeps a result that
says so; `--provider cpu` runs all of it on the processor, as a trial of the script, and keeps nothing.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections import deque

import _harness as harness
import numpy as np
import onnx
import soundfile
from numpy.typing import NDArray
from onnx import TensorProto, helper

from streamd.cuda import DeviceRows
from streamd.detector import Detection, Detector
from streamd.device_graph import BEGINS, FRAMES, MEMORY, ROWS, SAMPLES, device_graph, n_remembered, n_tail
from streamd.errors import StreamdError
from streamd.logmel import log_mel
from streamd.model import CUDA, Device, Model, open_session
from streamd.rows import Rows
from streamd.shipped import demo_file, model_file

BATCHES = (1, 16, 64, 256, 1024)
N_ROUNDS = 7
N_RUNS = 50
MOST_DB = 0.05
MOST_POSTERIOR = 1e-3
Floats = NDArray[np.float32]


def sounds() -> dict[str, Floats]:
    """Return noise of changing level, and the demo recording."""
    chance = np.random.default_rng(0)
    noise = chance.standard_normal(16_000 * 20) * np.repeat(10 ** chance.uniform(-3, -0.7, 40), 8_000)
    return {"noise": noise.clip(-0.99, 0.99).astype(np.float32), "demo": soundfile.read(demo_file("demo.flac"))[0]}


def log_mel_off(model: Model, audio: Floats) -> float:
    """Return how far the device's log-mel is off the processor's at most, in dB."""
    facts = model.manifest
    if facts.log_mel is None:
        return 0.0
    proto = onnx.load_from_string(device_graph(model.file.read_bytes(), facts))
    proto.graph.output.append(helper.make_tensor_value_info(FRAMES, TensorProto.FLOAT, None))
    session = open_session(proto.SerializeToString(), model.provider)
    tail, hop, worst = n_tail(facts), facts.hop_samples, 0.0
    for begin in range(0, len(audio) - hop - tail, hop):
        memory = np.zeros((1, n_remembered(facts)), np.float32)
        memory[0, :tail] = audio[begin : begin + tail]
        samples = np.asarray(audio[None, begin + tail : begin + tail + hop], np.float32)
        feeds = {SAMPLES: samples, MEMORY: memory, ROWS: np.zeros(1, np.int64), BEGINS: np.ones((1, 1), np.bool_)}
        [found] = session.run([FRAMES], feeds)
        expected = log_mel(audio[begin : begin + tail + hop].astype(np.float32), facts.log_mel)[-facts.hop_frames :]
        worst = max(worst, float(np.abs(found[0] - expected).max()))
    return worst * facts.log_mel.decibels_per_unit


def posteriors_off(model: Model, audio: Floats) -> float:
    """Return how far posteriors on the device are off the processor's at most, four sources in a batch."""
    facts = model.manifest
    there, here = DeviceRows(model, 4), Rows(Model(model.file, "cpu"), 4)
    for row in range(4):
        there.join(row)
        here.join(row)
    worst = 0.0
    for age in range(len(audio) // facts.hop_samples):
        samples = np.stack(
            [np.roll(audio, 997 * row)[age * facts.hop_samples :][: facts.hop_samples] for row in range(4)]
        )
        ages = np.full(4, age)
        found, expected = (rows.run(np.arange(4), samples.astype(np.float32), ages) for rows in (there, here))
        if age >= facts.n_cold_hops:
            worst = max(worst, float(np.abs(found - expected).max()))
    return worst


def events(model: Model, audio: Floats) -> list[tuple[str, int, int | None]]:
    """Return what a detector finds: label, onset, offset."""
    detector = Detector(model)
    detector.start("one")
    detector.push("one", np.asarray(audio, np.float32))
    found: list[Detection] = [one for hop in detector.step() for one in hop.detections]
    return [(one.label, one.onset_sample, one.offset_sample) for one in (*found, *detector.flush())]


def sources_held(model: Model, batch: int) -> tuple[list[float], list[float]]:
    """Return, for each round, real-time sources that the rows alone and the whole detector would hold, hot."""
    facts = model.manifest
    samples = (np.random.default_rng(0).standard_normal((batch, facts.hop_samples)) * 0.1).astype(np.float32)
    rows, detector = DeviceRows(model, batch), Detector(model, max_batch=batch)
    names = [f"source-{number}" for number in range(batch)]
    for number, name in enumerate(names):
        rows.join(number)
        detector.start(name)
    pcm = (samples * 32767).astype(np.int16)
    places, ages = np.arange(batch), np.full(batch, 99)

    def alone() -> None:
        rows.run(places, samples, ages)

    def whole() -> None:
        for number, name in enumerate(names):
            detector.push(name, pcm[number])
        deque(detector.step(), 0)

    found = []
    for work in (alone, whole):
        for _ in range(10):
            work()
        held = []
        for _ in range(N_ROUNDS):
            begin = time.perf_counter()
            for _ in range(N_RUNS):
                work()
            held.append(batch * N_RUNS * facts.hop_seconds / (time.perf_counter() - begin))
        found.append(held)
    return found[0], found[1]


def card() -> str:
    """Return the name of the GPU."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.used", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "no GPU"


def measured(
    device: Device, batches: tuple[int, ...] = BATCHES
) -> tuple[list[harness.Figure], list[dict[str, object]]]:
    """Check and measure both shipped models."""
    figures: list[harness.Figure] = []
    table: list[dict[str, object]] = []
    for name in ("speech", "yamnet"):
        model, processor = Model(model_file(name), device), Model(model_file(name), "cpu")
        for what, audio in sounds().items():
            off = log_mel_off(model, audio)
            figures.append(
                harness.Figure.of(f"{name}, {what}: log-mel off the processor's", [off], "dB", f"≤ {MOST_DB}")
            )
            off = posteriors_off(model, audio)
            figures.append(
                harness.Figure.of(f"{name}, {what}: posteriors off the processor's", [off], "", f"≤ {MOST_POSTERIOR}")
            )
            if events(model, audio) != events(processor, audio):
                sys.exit(f"{name}, {what}: other events than on the processor")
        for batch in batches:
            alone, whole = sources_held(model, batch)
            table.append(
                {
                    "model": name,
                    "batch": batch,
                    "sources, rows alone": round(statistics.median(alone)),
                    "sources, detector": round(statistics.median(whole)),
                }
            )
            if name == "speech" and batch == batches[-1]:
                what = "speech: real-time sources a GPU, hot, batches of 1024"
                figures.append(harness.Figure.of(f"{what}, rows alone", alone, "sources", "≥ 5000"))
                figures.append(harness.Figure.of(f"{what}, detector", whole, "sources", "≥ 5000"))
    return figures, table


def main() -> None:
    """Check, measure, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--provider", choices=("cuda", "cpu"), default="cuda")
    if parser.parse_args().provider == "cpu":
        figures, table = measured("cpu", (1, 8))
        print(*figures, *table, sep="\n")
        return
    try:
        is_there = Model(model_file("speech"), "cuda").provider == CUDA
    except StreamdError as error:
        is_there = False
        print(error)
    if not is_there:
        how = (
            "Not measured: no GPU was at hand. The script checks log-mel (0.05 dB), posteriors (0.001) and events "
            "against the processor, and then how many real-time sources the card holds in batches of 1 to 1024."
        )
        harness.save(__file__, how, [])
        return
    figures, table = measured("cuda")
    how = (
        f"{card()}. Log-mel, state and memory of all sources on the device; noise; wall time of one process, medians "
        f"of {N_ROUNDS} rounds of {N_RUNS} runs. Rows alone: samples to the card, posteriors back. Detector: pushes "
        "and decisions, too. Events of both sounds were equal to the processor's."
    )
    harness.save(__file__, how, figures, table)


if __name__ == "__main__":
    main()

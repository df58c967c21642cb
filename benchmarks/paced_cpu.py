"""Claim: daemon, agent and journal cost little more than hearing the microphone and running the network alone.

The baseline is two bare processes: one reads the same microphone as the agent does and forgets it, one runs the same
model with the same session options once a hop and does nothing else. They and the daemon take turns.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import _harness as harness

from streamd.manifest import Manifest, decode
from streamd.shipped import find_model

N_ROUNDS = 12
MEASURED_SECONDS = 4.5
RATES = (44_100, 16_000)
"""What PortAudio offers for PulseAudio, to be resampled; and the model's own."""


def manifest() -> Manifest:
    """The facts of the default model."""
    from streamd import onnx_file

    return decode(onnx_file.metadata(find_model("yamnet").read_bytes())["streamd"])


def capture_only(sample_rate: int, n_samples: int) -> None:
    """Read the default microphone with the agent's settings, a block at a time, and forget it."""
    import sounddevice

    from streamd.capture.microphone import LATENCY_SECONDS

    settings = {"samplerate": sample_rate, "channels": 1, "dtype": "int16", "latency": LATENCY_SECONDS}
    with sounddevice.RawInputStream(**settings) as microphone:
        print("ready", flush=True)
        while True:
            microphone.read(n_samples)


def model_only() -> None:
    """Run the default model on one window, once a hop."""
    import numpy as np
    import onnxruntime

    facts = manifest()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(find_model("yamnet"), options, providers=["CPUExecutionProvider"])
    (shape,) = [given.shape[1:] for given in session.get_inputs()]
    window = np.random.default_rng(0).normal(-4, 1, (1, *shape)).astype(np.float32)
    print("ready", flush=True)
    due = time.monotonic()
    while True:
        session.run(["posterior"], {"log_mel": window})
        due += facts.hop_seconds
        time.sleep(max(0.0, due - time.monotonic()))


@contextmanager
def bare(environment: Mapping[str, str], *arguments: str) -> Iterator[int]:
    """Run a function of this file in a process of its own; yield its process id once it is ready."""
    command = [sys.executable, __file__, *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError(f"{' '.join(arguments)} did not start")
            yield process.pid
        finally:
            process.kill()


def one_round(environment: Mapping[str, str]) -> dict[str, float]:
    """Measure the daemon with its agent at both rates, then the bare processes."""
    found: dict[str, float] = {}
    for rate in RATES:
        config = f"sources: {{microphone: {{microphone: default, sample_rate: {rate}}}}}\n"
        with harness.daemon(config, environment) as daemon:
            daemon.wait_until_it_says("ready after")
            pids = {f"{name}, {rate} Hz": pid for name, pid in daemon.pids().items()}
            found |= harness.shares(pids, MEASURED_SECONDS)
    with ExitStack() as stack:
        pids = {"model only": stack.enter_context(bare(environment, "model"))}
        for rate in RATES:
            n_samples = round(manifest().hop_seconds * rate)
            reader = bare(environment, "capture", str(rate), str(n_samples))
            pids[f"capture only, {rate} Hz"] = stack.enter_context(reader)
        return found | harness.shares(pids, MEASURED_SECONDS)


def main() -> None:
    """Measure with the microphone as PortAudio offers it, and at the model's own rate."""
    with harness.fake_microphone() as environment:
        rounds = [one_round(environment) for _ in range(N_ROUNDS)]
    what = {44_100: "microphone at 44.1 kHz, resampled to 16 kHz", 16_000: "microphone at 16 kHz"}
    figures = [
        harness.Figure.of(
            f"daemon + agent + journal ÷ (capture only + model only), {what[rate]}",
            [
                sum(one[f"{name}, {rate} Hz"] for name in ("daemon", "agent", "journal"))
                / (one[f"capture only, {rate} Hz"] + one["model only"])
                for one in rounds
            ],
            "×",
            "≤ 1.7",
        )
        for rate in RATES
    ]
    table = [
        {"process": name, "CPU, % of a core": round(statistics.median(one[name] for one in rounds), 2)}
        for name in sorted(rounds[0])
    ]
    how = f"""The default model (a run every 0.24 s) hears a fake microphone (real PortAudio, PulseAudio's null sink)
        that plays noise. CPU time of all threads of each process, {MEASURED_SECONDS:g} s at a time, {N_ROUNDS} rounds
        that alternate. The baseline reads the same microphone in blocks of a hop and drops them, and runs the same
        model in a bare onnxruntime session with the same options at the same pace. It resamples nothing and has no
        log-mel, no ZeroMQ and no decision."""
    harness.save(__file__, how, figures, table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["capture"]:
        capture_only(int(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["model"]:
        model_only()
    else:
        main()

"""The detector without a daemon: samples in memory, the same random phases, one source's hop at a time."""

from __future__ import annotations

import time

import msgspec

from streamd import shipped
from streamd.bench.jobs import AloneJob, tell
from streamd.bench.pace import Sounds, sleep_until, turns
from streamd.detector import MAX_BATCH_ON_GPU, Detector
from streamd.intake import MAX_MESSAGES
from streamd.lags import Lags
from streamd.model import CUDA, Model
from streamd.requests import LagReport


class Alone(msgspec.Struct, frozen=True, kw_only=True):
    """What a detector took."""

    hop_seconds: float
    seconds: float
    cpu_seconds: float
    lags: LagReport
    n_events: int


def run(job: AloneJob) -> int:
    """Measure, and print an `Alone` as JSON."""
    model = Model(shipped.find_model(job.model), job.device)
    tell(measure(model, job))
    return 0


def measure(model: Model, job: AloneJob) -> Alone:
    """Hear sources in real time, and return what it took after the warm-up."""
    facts = model.manifest
    detector = Detector(model)
    names = [f"source-{i}" for i in range(job.n_sources)]
    for name in names:
        detector.start(name)
    sounds = Sounds(job.n_sources, facts.sample_rate, facts.hop_samples, job.seed)
    lags, n_events, cpu = Lags(), 0, 0.0
    begins: dict[str, float] = {}  # when sample 0 of each source was due
    begin = time.monotonic()
    measured_from = begin + job.warm_seconds
    is_warm = False
    # As the daemon does: so many blocks, then everything that is ready.
    most = MAX_BATCH_ON_GPU if model.provider == CUDA else MAX_MESSAGES
    n_waiting = 0
    for i, number, due in turns(job.n_sources, facts.hop_seconds, begin, job.seed):
        if due > time.monotonic() or n_waiting == most:
            n_waiting = 0
            for hop in detector.step():
                n_events += len(hop.detections)
                if is_warm:
                    lags.add(time.monotonic() - begins[hop.source] - hop.end_sample / facts.sample_rate)
            sleep_until(due)
        if not is_warm and time.monotonic() >= measured_from:
            is_warm, n_events, cpu, measured_from = True, 0, time.process_time(), time.monotonic()
        if is_warm and time.monotonic() >= measured_from + job.seconds:
            break
        begins.setdefault(names[i], due - (number + 1) * facts.hop_seconds)
        detector.push(names[i], sounds.block(i, number))
        n_waiting += 1
    return Alone(
        hop_seconds=facts.hop_seconds,
        seconds=time.monotonic() - measured_from,
        cpu_seconds=time.process_time() - cpu,
        lags=lags.report(),
        n_events=n_events,
    )

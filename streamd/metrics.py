"""Numbers for Prometheus: a process that asks a daemon how it is whenever it is asked itself.

Nothing of this is in the daemon, so whoever scrapes holds no hop up. It is served on this machine alone.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from streamd.control import ask_status
from streamd.errors import EndpointError, StreamdError
from streamd.lags import BINS_A_DECADE, LEAST_SECONDS, N_BINS
from streamd.requests import LagReport, ModelReport, SourceReport, Status

log = logging.getLogger("streamd")

HOST = "127.0.0.1"
BINS_A_BUCKET = 10
"""Of the daemon's fine histogram of lags one bucket in a quarter of a decade is left."""


def serve(port: int, endpoint: str | None, keys_folder: Path | None, say: Callable[[str], None]) -> None:
    """Serve the numbers of a daemon until SIGTERM or SIGINT.

    Args:
        port: on this machine; 0: a free one.
        endpoint: of the daemon's control; None looks for one on this machine.
        keys_folder: where keys are for a daemon beyond this machine; None is the user's.
        say: is told where they are served.

    Raises:
        EndpointError: the port is taken.
    """
    # Threads of the server inherit this: the signals are this thread's.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    registry = CollectorRegistry()
    registry.register(DaemonCollector(endpoint, keys_folder))
    try:
        server, thread = start_http_server(port, addr=HOST, registry=registry)
    except OSError as error:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        raise EndpointError(f"port {port}: {error.strerror}; take another one with --port") from error
    say(f"http://{HOST}:{server.server_port}/metrics")
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    server.shutdown()
    server.server_close()
    thread.join()


class DaemonCollector(Collector):
    """Asks a daemon each time it is scraped; one that doesn't answer is told as `streamd_up 0`."""

    def __init__(self, endpoint: str | None, keys_folder: Path | None = None) -> None:
        self._endpoint = endpoint
        self._keys_folder = keys_folder

    def collect(self) -> Iterator[Metric]:
        """Yield what the daemon answers."""
        try:
            status = ask_status(self._endpoint, keys_folder=self._keys_folder)
        except StreamdError as error:
            log.warning("%s", error)
            yield GaugeMetricFamily("streamd_up", "Whether the daemon answers.", 0)
            return
        yield GaugeMetricFamily("streamd_up", "Whether the daemon answers.", 1)
        yield from families(status)


def families(status: Status) -> Iterator[Metric]:
    """Yield everything that a daemon says of itself, as Prometheus has it."""
    about = {"version": status.version, "run": status.run, "host": status.host}
    yield InfoMetricFamily("streamd_daemon", "Which daemon this is.", about)
    yield GaugeMetricFamily("streamd_uptime_seconds", "Since it was started.", status.uptime_seconds)
    if status.cpu_seconds is not None:
        yield CounterMetricFamily("streamd_cpu_seconds", "CPU time of the daemon.", status.cpu_seconds)
    yield from _of_sources(status)
    yield from _of_models(status)
    yield from _of_counters(status.counters)


def _of_sources(status: Status) -> Iterator[Metric]:
    def gauge(name: str, what: str, value: Callable[[SourceReport], float | None]) -> Metric:
        family = GaugeMetricFamily(f"streamd_{name}", what, labels=["source"])
        for source in status.sources:
            if (number := value(source)) is not None:
                family.add_metric([source.name], number)
        return family

    state = GaugeMetricFamily("streamd_source_status", "1 for the status a source has.", labels=["source", "status"])
    heard = CounterMetricFamily("streamd_heard_samples", "Samples that were received.", labels=["source"])
    lost = CounterMetricFamily("streamd_lost_audio_seconds", "Audio no model heard.", labels=["source", "reason"])
    restarts = CounterMetricFamily("streamd_agent_restarts", "Starts of an agent after the first.", labels=["source"])
    problems = GaugeMetricFamily("streamd_signal_problem", "1 for what is wrong.", labels=["source", "problem"])
    for source in status.sources:
        state.add_metric([source.name, source.status], 1)
        heard.add_metric([source.name], source.n_samples)
        restarts.add_metric([source.name], source.agent_restarts)
        for reason, seconds in source.lost_seconds.items():
            lost.add_metric([source.name, reason], seconds)
        for problem in source.signal:
            problems.add_metric([source.name, problem], 1)
    yield from (state, heard, lost, restarts, problems)
    yield gauge("lag_seconds", "Age of the newest audio that was scored.", lambda source: source.lag_seconds)
    yield gauge("open_events", "Sounds that sound now.", lambda source: len(source.open_events))
    yield gauge(
        "clock_drift_ppm",
        "How much faster than it says a sound card counts.",
        lambda source: None if source.clock is None else source.clock.drift_ppm,
    )
    yield gauge(
        "clock_steps",
        "How often the wall clock was set since the agent started.",
        lambda source: None if source.clock is None else source.clock.n_steps,
    )
    yield gauge(
        "clock_is_set",
        "0 where a host's clock says a time before this version existed.",
        lambda source: None if source.clock is None else source.clock.is_set,
    )


def _of_models(status: Status) -> Iterator[Metric]:
    names = ["model", "sources"]

    def key(model: ModelReport) -> list[str]:
        return [model.name, ",".join(model.sources)]

    info = InfoMetricFamily("streamd_model", "Which models run, and on what.", labels=names)
    work = CounterMetricFamily("streamd_inference_seconds", "Log-mel, network and decision.", labels=names)
    runs = CounterMetricFamily("streamd_inference_runs", "Runs of the network, each of a batch.", labels=names)
    lags = HistogramMetricFamily(
        "streamd_decision_lag_seconds", "From the capture of a hop's last sample to its decision.", labels=names
    )
    for model in status.models:
        facts = {"version": model.version, "sha256": model.sha256, "provider": model.provider, "file": model.file}
        info.add_metric(key(model), facts)
        work.add_metric(key(model), model.work_seconds)
        runs.add_metric(key(model), model.n_runs)
        if model.lags is not None:
            lags.add_metric(key(model), _buckets(model.lags), sum_value=None)
    yield from (info, work, runs, lags)


def _buckets(lags: LagReport) -> list[tuple[str, float]]:
    """Return (upper end in seconds, hops at most that late) of each bucket."""
    counts = [*lags.counts, *[0] * (N_BINS - len(lags.counts))]
    at_most = list(accumulate(counts))
    ends = range(0, N_BINS - 1, BINS_A_BUCKET)
    buckets = [(f"{LEAST_SECONDS * 10 ** (i / BINS_A_DECADE):.3g}", float(at_most[i])) for i in ends]
    return [*buckets, ("+Inf", float(at_most[-1]))]


def _of_counters(counters: dict[str, int]) -> Iterator[Metric]:
    events = CounterMetricFamily("streamd_events", "Onsets and offsets published.", labels=["label", "phase"])
    restarts = CounterMetricFamily(
        "streamd_restarts", "Children started again: agents, journal, recorder.", labels=["cause"]
    )
    reloads = CounterMetricFamily("streamd_reloads", "Configurations read again.", labels=["outcome"])
    everything = CounterMetricFamily("streamd_counter", "Every counter of `streamd status`.", labels=["name"])
    for name, n in counters.items():
        everything.add_metric([name], n)
        match name.split("."):
            case ["events", phase, label]:
                events.add_metric([label, phase], n)
            case ["restarts", cause]:
                restarts.add_metric([cause], n)
            case ["reloads", outcome]:
                reloads.add_metric([outcome], n)
    yield from (events, restarts, reloads, everything)
    yield CounterMetricFamily(
        "streamd_refused_authentications", "Strangers and keys that may not.", counters.get("auth.refused", 0)
    )

"""What a daemon says of itself, as Prometheus' own parser reads it."""

from __future__ import annotations

import math

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from streamd.events import ClockReport
from streamd.lags import Lags
from streamd.metrics import DaemonCollector, families
from streamd.requests import ModelReport, SourceReport, Status

LATE_SECONDS = [0.00005, 0.004, 0.004, 0.05, 3.0, 500.0]
Numbers = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def a_status() -> Status:
    """Two sources, of which one had bad luck, and one model."""
    lags = Lags()
    for seconds in LATE_SECONDS:
        lags.add(seconds)
    common = {"device": "USB", "host": "pi", "native_rate": 48_000, "sample_rates": [16_000], "open_events": []}
    return Status(
        version="0.1",
        run="3f2a",
        host="pi",
        pid=7,
        uptime_seconds=12.5,
        endpoints={},
        sources=[
            SourceReport(
                name="hall", status="live", detail="", n_samples=160, n_lost=24_000, lag_seconds=0.1, agent_restarts=2,
                signal=("silent",), lost_seconds={"lag": 1.25, "agent": 0.25},
                clock=ClockReport(offset_seconds=1.0, drift_ppm=-7.5, n_steps=3), **common,
            ),
            SourceReport(
                name="yard", status="starting", detail="", n_samples=0, n_lost=0, lag_seconds=None, agent_restarts=0,
                **common,
            ),
        ],
        models=[
            ModelReport(
                name="yamnet", version="1", sha256="ab", file='/a "file"\\n', provider="CPUExecutionProvider",
                run_seconds=0.01, labels_on=["Dog"], sources=["hall", "yard"], lags=lags.report(), n_runs=40,
                work_seconds=0.5,
            )
        ],
        counters={
            "events.onset.dog": 5, "events.offset.dog": 4, "restarts.stalled": 2, "reloads.refused": 1,
            "auth.refused": 9,
        },
    )  # fmt: skip


def numbers(collector: Collector) -> Numbers:
    """Scrape a collector, and read what it serves."""
    registry = CollectorRegistry()
    registry.register(collector)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def read() -> Numbers:
    """The numbers of a status."""

    class Told(Collector):
        def collect(self):
            return families(a_status())

    return numbers(Told())


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("streamd_lag_seconds", {"source": "hall"}, 0.1),
        ("streamd_lost_audio_seconds_total", {"source": "hall", "reason": "lag"}, 1.25),
        ("streamd_lost_audio_seconds_total", {"source": "hall", "reason": "agent"}, 0.25),
        ("streamd_source_status", {"source": "yard", "status": "starting"}, 1),
        ("streamd_signal_problem", {"source": "hall", "problem": "silent"}, 1),
        ("streamd_agent_restarts_total", {"source": "hall"}, 2),
        ("streamd_restarts_total", {"cause": "stalled"}, 2),
        ("streamd_events_total", {"label": "dog", "phase": "onset"}, 5),
        ("streamd_events_total", {"label": "dog", "phase": "offset"}, 4),
        ("streamd_reloads_total", {"outcome": "refused"}, 1),
        ("streamd_refused_authentications_total", {}, 9),
        ("streamd_counter_total", {"name": "auth.refused"}, 9),
        ("streamd_inference_seconds_total", {"model": "yamnet", "sources": "hall,yard"}, 0.5),
        ("streamd_inference_runs_total", {"model": "yamnet", "sources": "hall,yard"}, 40),
        ("streamd_clock_drift_ppm", {"source": "hall"}, -7.5),
        ("streamd_clock_steps", {"source": "hall"}, 3),
        ("streamd_clock_is_set", {"source": "hall"}, 1),
        ("streamd_daemon_info", {"version": "0.1", "run": "3f2a", "host": "pi"}, 1),
    ],
)
def test_every_number_is_where_it_is_looked_for(read: Numbers, name: str, labels: dict[str, str], value: float) -> None:
    assert read[name, tuple(sorted(labels.items()))] == value


def test_what_is_not_known_is_left_out(read: Numbers) -> None:
    for name in ("streamd_lag_seconds", "streamd_clock_drift_ppm"):
        assert [labels for other, labels in read if other == name] == [(("source", "hall"),)]


def test_a_model_is_told_with_its_hash_its_provider_and_any_file_name(read: Numbers) -> None:
    [labels] = [dict(labels) for name, labels in read if name == "streamd_model_info"]
    assert labels == {
        "model": "yamnet", "sources": "hall,yard", "version": "1", "sha256": "ab", "provider": "CPUExecutionProvider",
        "file": '/a "file"\\n',
    }  # fmt: skip


def test_buckets_hold_the_hops_that_were_at_most_so_late(read: Numbers) -> None:
    buckets = {
        float(dict(labels)["le"]): value
        for (name, labels), value in read.items()
        if name.endswith("lag_seconds_bucket")
    }
    assert buckets.pop(math.inf) == len(LATE_SECONDS)
    assert len(buckets) > 20
    for end, n in buckets.items():
        assert n == sum(seconds < end for seconds in LATE_SECONDS), end


def test_without_a_daemon_there_is_one_number() -> None:
    assert numbers(DaemonCollector("ipc:///nonexistent/control")) == {("streamd_up", ()): 0}

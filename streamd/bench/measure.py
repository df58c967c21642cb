"""One measurement: so many sources for some seconds, through a real daemon or its detector alone."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from streamd.bench.alone import Alone
from streamd.bench.jobs import AloneJob, Device, cores, started
from streamd.bench.parts import Parts
from streamd.bench.trial import START_SECONDS, Trial, line
from streamd.events import Event
from streamd.gap import Gap
from streamd.lags import since

WARM_SECONDS = 2.0
"""Before anything is counted: caches, first scores, states of all sources."""
LATE_SHARE = 0.25
"""A load that sends later than this share of a hop, in the 99th percentile, is no measure of a daemon."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is measured."""

    model: str
    """A shipped model, or a file."""
    hop_seconds: float
    """Of that model."""
    device: Device = "auto"
    seconds: float = 4.0
    n_per_agent: int = 1

    def trial(self, n_sources: int, *, watch_parts: bool = False) -> Trial:
        """Return a daemon and its load, not started yet."""
        config = {"models": [{"file": self.model}], "device": self.device}
        return Trial(config, n_sources, self.n_per_agent, watch_parts=watch_parts)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came out for a number of sources."""

    n_sources: int
    seconds: float
    hop_seconds: float
    n_hops: int
    p50_seconds: float | None
    """Age of the newest sample when its hop is decided."""
    p99_seconds: float | None
    max_seconds: float | None
    cpu_percent: float
    """Of a core, all threads of the process."""
    n_events: int
    """Onsets and offsets."""
    n_lost: int = 0
    """Samples that were shed or never sent."""
    n_missing: int = 0
    """Messages that did not reach the subscriber."""
    load_late_seconds: float | None = None
    """How late the load sent, 99th percentile; null without one."""

    @property
    def is_load_late(self) -> bool:
        """Whether the load itself was too late to tell anything of the daemon."""
        return (self.load_late_seconds or 0.0) > LATE_SHARE * self.hop_seconds

    @property
    def holds(self) -> bool:
        """Whether the machine keeps up: 99 of 100 hops within a hop, nothing lost, as many hops as there must be."""
        n_due = self.n_sources * self.seconds / self.hop_seconds
        is_whole = self.n_lost == self.n_missing == 0 and self.n_hops >= 0.9 * n_due - self.n_sources
        return is_whole and self.p99_seconds is not None and self.p99_seconds < self.hop_seconds


def detector_alone(setting: Setting, n_sources: int) -> Result:
    """Measure the detector without daemon and ZeroMQ."""
    core, _ = cores()
    job = AloneJob(
        core=core,
        model=setting.model,
        device=setting.device,
        n_sources=n_sources,
        warm_seconds=WARM_SECONDS,
        seconds=setting.seconds,
    )
    with tempfile.TemporaryDirectory(prefix="sd-bench-") as name, started(job, Path(name)) as process:
        told = line(process, "alone", Path(name), START_SECONDS + 4 * setting.seconds)
    found = msgspec.json.decode(told, type=Alone)
    return Result(
        n_sources=n_sources,
        seconds=found.seconds,
        hop_seconds=setting.hop_seconds,
        n_hops=found.lags.n,
        p50_seconds=found.lags.p50_seconds,
        p99_seconds=found.lags.p99_seconds,
        max_seconds=found.lags.max_seconds,
        cpu_percent=100 * found.cpu_seconds / found.seconds,
        n_events=found.n_events,
    )


def whole_daemon(setting: Setting, n_sources: int) -> Result:
    """Measure blocks in, events out."""
    with setting.trial(n_sources) as trial:
        return during(trial, setting, n_sources)


def parts(setting: Setting, n_sources: int) -> Parts:
    """Return what the parts of a daemon take with so many sources."""
    with setting.trial(n_sources, watch_parts=True) as trial:
        during(trial, setting, n_sources)
        return trial.parts()


def during(trial: Trial, setting: Setting, n_sources: int) -> Result:
    """Return what a trial does after its warm-up, for as long as the setting says."""
    _follow(trial, WARM_SECONDS)
    sent, began, before = trial.sent(), time.monotonic(), trial.status()
    n_events, n_missing = _follow(trial, setting.seconds)
    now, ended, sent_now = trial.status(), time.monotonic(), trial.sent()
    late = since(sent.late, sent_now.late)
    (model,), (model_before,) = now.models, before.models
    lags = since(model_before.lags, model.lags) if model.lags and model_before.lags else late
    block = setting.hop_seconds * now.sources[0].sample_rates[0]
    n_lost = sum(one.n_lost for one in now.sources) - sum(one.n_lost for one in before.sources)
    return Result(
        n_sources=n_sources,
        seconds=ended - began,
        hop_seconds=setting.hop_seconds,
        n_hops=lags.n,
        p50_seconds=lags.p50_seconds,
        p99_seconds=lags.p99_seconds,
        max_seconds=lags.max_seconds,
        cpu_percent=100 * ((now.cpu_seconds or 0.0) - (before.cpu_seconds or 0.0)) / (ended - began),
        n_events=n_events,
        n_lost=n_lost + round(block * (sent_now.n_unsent - sent.n_unsent)),
        n_missing=n_missing,
        load_late_seconds=late.p99_seconds,
    )


def _follow(trial: Trial, seconds: float) -> tuple[int, int]:
    """Hear the daemon for some seconds; return how many events came, and how many messages did not."""
    n_events = n_missing = 0
    deadline = time.monotonic() + seconds
    while (rest := deadline - time.monotonic()) > 0:
        message = trial.subscription.poll(rest)
        n_events += isinstance(message, Event)
        n_missing += message.n_missing if isinstance(message, Gap) else 0
    return n_events, n_missing

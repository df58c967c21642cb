"""Listings as tables of text: status, models, devices, a checked configuration."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streamd.capture.specs import Command, Microphone, Recording, Spec
from streamd.requests import JournalReport, LagReport, RecorderReport, ReloadReport, SourceReport, Status

if TYPE_CHECKING:
    from streamd.capture.microphone import MicrophoneInfo
    from streamd.config import Config
    from streamd.manifest import Manifest
    from streamd.recorder.messages import RecorderSpec


@dataclass(frozen=True)
class Sheet:
    """A table, however it will be drawn. Cells are text; a sheet without columns is its title alone."""

    title: str
    columns: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()


def status_sheets(status: Status) -> list[Sheet]:
    """Return what a daemon says of itself."""
    head = f"streamd {status.version} on {status.host}, pid {status.pid}, up {_duration(status.uptime_seconds)}"
    sources = [
        (
            source.name,
            source.status,
            source.detail,
            _signal(source),
            _duration(source.n_samples / source.sample_rates[0]) if source.sample_rates else "",
            str(source.n_lost),
            "" if source.lag_seconds is None else f"{source.lag_seconds:.2f} s",
            str(source.agent_restarts),
            _joined([event.label for event in source.open_events]),
        )
        for source in status.sources
    ]
    models = [
        (
            f"{model.name} {model.version}",
            model.provider.removesuffix("ExecutionProvider"),
            f"{1000 * model.run_seconds:.1f} ms",
            str(len(model.labels_on)),
            ", ".join(model.sources),
            model.file,
            _lags(model.lags),
        )
        for model in status.models
    ]
    kept = status.journal and (status.journal.state, status.journal.file or "", *_waiting(status.journal))
    columns = "source", "status", "detail", "signal", "heard", "samples lost", "lag", "restarts", "sounding now"
    return [
        Sheet(head),
        Sheet("sources", columns, sources),
        Sheet("models", ("model", "runs on", "one run", "labels on", "sources", "file", "lag p50, p99, max"), models),
        *_troubles(status),
        *([Sheet("journal", ("state", "file", "waiting", "lost", "detail"), [kept])] if kept else []),
        *([_recorder_sheet(status.recorder)] if status.recorder else []),
        Sheet("endpoints", ("for", "endpoint"), list(status.endpoints.items())),
        Sheet("counters", ("counter", "n"), [(name, str(n)) for name, n in status.counters.items()]),
    ]


def _troubles(status: Status) -> list[Sheet]:
    """Return the sheets that are there only if there is something to say."""
    lost = [
        (source.name, reason, f"{seconds:.2f} s")
        for source in status.sources
        for reason, seconds in source.lost_seconds.items()
    ]
    clocks = [
        (
            source.name,
            "" if source.clock.drift_ppm is None else f"{source.clock.drift_ppm:+.1f} ppm",
            "yes" if source.clock.is_set else "no",
            f"{source.clock.n_steps}, last by {source.clock.last_step_seconds:+.1f} s" if source.clock.n_steps else "0",
            f"{source.clock.n_suspends}, {source.clock.suspended_seconds:.0f} s in all",
        )
        for source in status.sources
        if source.clock is not None
    ]
    reload = status.reload
    return [
        *([Sheet("lost audio", ("source", "reason", "in this run"), lost)] if lost else []),
        *([Sheet("clocks", ("source", "sound card", "set", "steps", "slept"), clocks)] if clocks else []),
        *(
            [Sheet(f"reload {reload.number}: {reload.outcome}", ("mistake",), [(line,) for line in reload.mistakes])]
            if reload
            else []
        ),
    ]


def _waiting(journal: JournalReport) -> tuple[str, str, str]:
    return str(journal.n_waiting), str(journal.n_lost), journal.detail


def reload_sheets(report: ReloadReport) -> list[Sheet]:
    """Return what came of a reload."""
    if report.mistakes:
        title = "reload refused; what ran before goes on"
        return [Sheet(title, ("mistake",), [(line,) for line in report.mistakes])]
    return [Sheet(f"reloaded in {report.seconds or 0.0:.2f} s")]


def model_sheets(file: str, sha256: str, provider: str, manifest: Manifest) -> list[Sheet]:
    """Return what a verified model is, and how it decides each of its labels."""
    facts = {
        "name": f"{manifest.name} {manifest.version}",
        "hears": manifest.description,
        "licence": manifest.licence,
        "file": file,
        "sha256": sha256,
        "golden answer": f"given again on {provider.removesuffix('ExecutionProvider')}",
        "input": f"{manifest.input} at {manifest.sample_rate} Hz, {manifest.kind}",
        "hop": f"{manifest.hop_seconds:.3f} s",
        "first score": f"after {manifest.first_score_samples / manifest.sample_rate:.3f} s of audio",
        "labels": f"{len(manifest.labels)}, {len(manifest.default_labels)} of them on by default",
    }
    on = set(manifest.default_labels)
    labels = []
    for label in sorted(manifest.labels, key=lambda label: (label not in on, label)):
        spec = manifest.decision_of(label)
        numbers = spec.smoothing_seconds, spec.onset_threshold, spec.n_confirm, spec.offset_threshold
        pauses = spec.min_silence_seconds, spec.refractory_seconds
        labels.append((label, "on" if label in on else "off", *(f"{number:g}" for number in (*numbers, *pauses))))
    columns = "smoothing_seconds", "onset_threshold", "n_confirm", "offset_threshold"
    pauses_columns = "min_silence_seconds", "refractory_seconds"
    return [
        Sheet("model", ("fact", "value"), list(facts.items())),
        Sheet("labels", ("label", "default", *columns, *pauses_columns), labels),
    ]


def devices_sheets(microphones: Sequence[MicrophoneInfo]) -> list[Sheet]:
    """Return the microphones that are there."""
    if not microphones:
        return [Sheet("no microphone is there; plug one in, while `streamd run` waits for it")]
    rows = [
        (
            each.name,
            str(each.n_channels),
            f"{each.native_rate} Hz",
            each.host_api,
            "default" if each.is_default else "",
            each.stable_id or "",
        )
        for each in microphones
    ]
    return [Sheet("microphones", ("name", "channels", "rate", "sound system", "", "stable id"), rows)]


def check_sheets(config: Config, labels_on: Sequence[Sequence[str]]) -> list[Sheet]:
    """Return what a configuration without mistakes means; labels_on are those of each of its models."""
    sources = [(source.name, _hears(source.capture)) for source in config.sources]
    models = [
        (str(use.file), ", ".join(use.sources), str(len(labels)), _joined(labels))
        for use, labels in zip(config.models, labels_on, strict=True)
    ]
    return [
        Sheet(f"{config.document.file}: no mistakes"),
        Sheet("sources", ("source", "hears"), sources),
        Sheet("models", ("model", "sources", "n_labels", "labels"), models),
        *([_recorded(config.recorder)] if config.recorder else []),
    ]


def _recorded(spec: RecorderSpec) -> Sheet:
    labels = "all that are on" if spec.labels is None else _joined(list(spec.labels))
    try:
        is_there = "is there" if Path(spec.folder).is_dir() else "is not there: make it before it records"
    except OSError as error:  # such as the service's own, which its user alone may enter
        is_there = f"can't be looked into by this user ({error.strerror})"
    return Sheet("recorder", ("labels", "folder", ""), [(labels, spec.folder, is_there)])


def _hears(spec: Spec | None) -> str:
    match spec:
        case None:
            return "an agent started by hand"
        case Microphone(name=None):
            return "the default microphone"
        case Microphone():
            return f"microphone {spec.name}"
        case Recording():
            return f"recording {spec.path}"
        case Command():
            return f"command {shlex.join(spec.arguments)}"


def _recorder_sheet(report: RecorderReport) -> Sheet:
    facts = {
        "folder": report.folder,
        "trouble": report.detail or "none",
        "on disk": f"{report.n_bytes / 1e6:.1f} MB",
        "events recorded": f"{report.n_recorded}, without audio {report.n_without_audio}",
        "near-misses recorded": str(report.n_near_misses),
        "of these not whole": str(report.n_cut),
        "removed for the quota": str(report.n_removed),
        "waiting for the disk": str(report.n_waiting),
        "lost": f"{report.n_lost} recordings, {report.n_lost_events} events, {report.n_lost_samples} samples",
        "restarts": str(report.restarts),
    }
    return Sheet("recorder", ("fact", "value"), list(facts.items()))


def _signal(source: SourceReport) -> str:
    problems = _joined([problem.replace("_", " ") for problem in source.signal])
    return problems or ("good" if source.status in ("live", "degraded") else "")


def _lags(lags: LagReport | None) -> str:
    if lags is None or lags.p50_seconds is None or lags.p99_seconds is None or lags.max_seconds is None:
        return ""
    return ", ".join(f"{1000 * each:.3g}" for each in (lags.p50_seconds, lags.p99_seconds, lags.max_seconds)) + " ms"


def _joined(labels: Sequence[str]) -> str:
    return "; ".join(labels)  # many a label has a comma itself


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"

"""The command: what to measure, in which order."""

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path

import msgspec

import streamd
from streamd import shipped
from streamd.bench.jobs import Device, cores
from streamd.bench.measure import Result, Setting, detector_alone, parts, whole_daemon
from streamd.bench.search import Measure, highest
from streamd.bench.table import Found, Row
from streamd.environment import many_files
from streamd.errors import UsageError
from streamd.model import Model

log = logging.getLogger("streamd")


def bench(
    model: str, device: Device, n_sources: int | None, n_per_agent: int, seconds: float, json_file: Path | None = None
) -> Found:
    """Measure the detector alone and the whole daemon, and write what was found to a file if one is given.

    Args:
        model: a shipped model's name, or an .onnx file.
        device: where it runs.
        n_sources: that number alone; None searches for the highest that holds.
        n_per_agent: sources of one agent, side by side in its blocks.
        seconds: how long each measurement lasts, after its warm-up.
        json_file: where all of it is written to.

    Raises:
        UsageError: the file can't be written.
        StreamdError: the model is refused, a process did not start or went away.
    """
    if json_file is not None:  # minutes later would be a bad time to notice
        _write(json_file, b"")
    file = shipped.find_model(model).absolute()
    loaded = Model(file, device)
    setting = Setting(
        model=str(file),
        hop_seconds=loaded.manifest.hop_seconds,
        device=device,
        seconds=seconds,
        n_per_agent=n_per_agent,
    )
    core, load_core = cores()
    name, provider = loaded.manifest.name, loaded.provider
    del loaded
    many_files()
    usable = _leave(core)
    try:
        rows = [
            _row("detector alone, samples in memory", partial(detector_alone, setting), n_sources),
            _row("whole daemon, blocks in and events out", partial(whole_daemon, setting), n_sources),
        ]
        whole = rows[-1].most_sources
        budget = parts(setting, whole) if whole else None
    finally:
        if usable:
            os.sched_setaffinity(0, usable)
    found = Found(
        version=streamd.__version__,
        model=name,
        provider=provider,
        hop_seconds=setting.hop_seconds,
        n_cores=os.cpu_count() or 1,
        core=core,
        load_core=load_core,
        n_per_agent=n_per_agent,
        rows=rows,
        parts=budget,
        parts_n_sources=whole,
    )
    if json_file is not None:
        _write(json_file, msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    return found


def _row(what: str, measure: Measure, n_sources: int | None) -> Row:
    def told(n: int) -> Result:
        result = measure(n)
        lag = "none" if result.p99_seconds is None else f"{1000 * result.p99_seconds:.3g} ms"
        log.info("%s: %d sources, p99 lag %s, %.0f %% of a core", what, n, lag, result.cpu_percent)
        return result

    return Row.of(what, highest(told) if n_sources is None else [told(n_sources)])


def _leave(core: int | None) -> set[int]:
    """Keep this process, which hears the events, off the daemon's core; return where it was before."""
    if core is None:
        return set()
    usable = os.sched_getaffinity(0)
    if usable != {core}:
        os.sched_setaffinity(0, usable - {core})
    return usable


def _write(file: Path, data: bytes) -> None:
    try:
        file.write_bytes(data)
    except OSError as error:
        raise UsageError(f"--json {file}: {error.strerror}; expected a file that can be written") from error

"""What a bench found, as tables: the measurements, a plot of the lag, and what the parts of a hop take."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from streamd.bench.measure import Result
from streamd.bench.parts import Parts
from streamd.bench.search import best, is_load_the_limit
from streamd.sheets import Sheet
from streamd.terminal import bar

COLUMNS = "sources", "p50", "p99", "max", "CPU", "events", "lost", "load late", ""
_FULL_HOPS = 1.5
"""A bar that is full: so many hops."""
_OWN_CORE_PERCENT = 85.0
"""Who is behind with less than this had to share its core."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One way through the daemon, measured with rising numbers of sources."""

    what: str
    results: Sequence[Result]
    most_sources: int | None = None
    """That held; null if none did."""
    is_load_the_limit: bool = False
    """Whether the load could not keep up where no more sources held: the daemon may hold more."""

    @classmethod
    def of(cls, what: str, results: Sequence[Result]) -> Row:
        """Return the row of some measurements."""
        most = best(results)
        return cls(
            what=what,
            results=results,
            most_sources=most.n_sources if most else None,
            is_load_the_limit=is_load_the_limit(results),
        )


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """All that a bench found: the data of --json."""

    version: str
    model: str
    provider: str
    hop_seconds: float
    n_cores: int
    """That the machine has."""
    core: int | None
    """Where the daemon ran; null where it could not be pinned."""
    load_core: int | None
    n_per_agent: int
    rows: Sequence[Row]
    parts: Parts | None
    """Of the most sources that held."""
    parts_n_sources: int | None


def sheets(found: Found) -> list[Sheet]:
    """Return what to show."""
    hop_ms = 1000 * found.hop_seconds
    head = f"model {found.model} on {found.provider.removesuffix('ExecutionProvider')}, a hop of {hop_ms:g} ms; " + (
        "not pinned to cores"
        if found.core is None
        else f"daemon on core {found.core}, load on {found.load_core}"
        if found.load_core is not None
        else f"daemon and load share core {found.core}"
    )
    shown = [Sheet(head)]
    for row in found.rows:
        in_order = sorted(row.results, key=lambda result: result.n_sources)
        shown.append(
            Sheet(f"{row.what}: lag, CPU of a core, samples lost", COLUMNS, [_cells(result) for result in in_order])
        )
        bars = [_bar(result) for result in in_order]
        shown.append(Sheet(f"{row.what}: p99 lag, the mark is a hop", ("sources", "", "p99"), bars))
    if found.parts is not None:
        shown.append(_budget(found.parts, found.parts_n_sources or 0))
    return [*shown, *(Sheet(_verdict(row)) for row in found.rows)]


def _cells(result: Result) -> tuple[str, ...]:
    verdict = "holds" if result.holds else "the load is late" if result.is_load_late else "too much"
    return (
        str(result.n_sources),
        _ms(result.p50_seconds),
        _ms(result.p99_seconds),
        _ms(result.max_seconds),
        f"{result.cpu_percent:.1f} %",
        str(result.n_events),
        str(result.n_lost),
        _ms(result.load_late_seconds),
        verdict,
    )


def _bar(result: Result) -> tuple[str, ...]:
    lag = math.inf if result.p99_seconds is None else result.p99_seconds
    share = min(1.0, lag / result.hop_seconds / _FULL_HOPS)
    return str(result.n_sources), bar(share, 1 / _FULL_HOPS), _ms(result.p99_seconds)


def _budget(parts: Parts, n_sources: int) -> Sheet:
    n_hops = max(1, parts.n_hops)
    total = sum(parts.cpu_seconds.values())
    rows = [
        (name, f"{1e6 * seconds / n_hops:.1f}", f"{100 * seconds / total:.0f} %")
        for name, seconds in sorted(parts.cpu_seconds.items(), key=lambda item: -item[1])
    ]
    rows.append(("all", f"{1e6 * total / n_hops:.1f}", "100 %"))
    title = (
        f"where a hop's CPU time goes, {n_sources} sources, {n_hops / max(1, parts.n_runs):.1f} of them a run "
        "(watching costs some itself)"
    )
    return Sheet(title, ("part", "µs a hop", "share"), rows)


def _verdict(row: Row) -> str:
    if len({result.n_sources for result in row.results}) == 1:
        held = "hold" if row.most_sources else "do not hold"
        text = f"{row.what}: {row.results[0].n_sources} sources {held}"
    elif row.most_sources is None:
        text = f"{row.what}: not even {min(result.n_sources for result in row.results)} sources hold"
    else:
        text = f"{row.what}: {row.most_sources} sources hold"
    failed = [result.cpu_percent for result in row.results if not result.holds]
    if failed and max(failed) < _OWN_CORE_PERCENT:
        text += f"; where more did not, it got only {max(failed):.0f} % of its core: other programs use it too"
    if row.is_load_the_limit:
        text += "; beyond that the load itself is late, not the daemon: it may hold more"
    return text


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.1 else f"{1000 * seconds:.2g} ms"

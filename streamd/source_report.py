"""A source as `status` shows it."""

from __future__ import annotations

from streamd.requests import SourceReport
from streamd.sources import LiveSource


def source_report(source: LiveSource, agent_restarts: int) -> SourceReport:
    """Return how a source fares, and how often its agent was started again."""
    hello = source.hello
    return SourceReport(
        name=source.name,
        status=source.shown_status(),
        detail=source.shown_detail(),
        device=hello.device if hello else None,
        host=hello.host if hello else None,
        native_rate=hello.native_rate if hello else None,
        sample_rates=[want.sample_rate for want in source.wants("")],
        n_samples=source.n_samples,
        n_lost=source.losses.n_samples,
        lag_seconds=source.lag_seconds(),
        agent_restarts=agent_restarts,
        open_events=source.publisher.open_events(source.name),
        signal=source.shown_signal(),
        clock=source.clock,
        lost_seconds=source.losses.seconds,
    )

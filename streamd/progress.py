"""Whether the daemon does its work: what feeds the service manager's watchdog, and how it fares in words.

A timer would feed the watchdog of a daemon that has heard nothing for a week. Here only work does.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from streamd.listeners import Listener
from streamd.publish import Publisher
from streamd.sd_notify import Notifier
from streamd.sources import LiveSource


@dataclass(frozen=True)
class Work:
    """What was done since the start; each number only grows."""

    n_samples: int
    """Heard, or lost and told as lost."""
    n_runs: int
    """Of networks; warm-up counts. Audio that was lost and told as lost needs none, so it counts as well."""
    n_messages: int
    """Published; heartbeats count."""

    def is_beyond(self, before: Work, *, is_hearing: bool, is_between_hops: bool) -> bool:
        """Return whether work went on since then: all of it, or publishing alone while nobody is there to hear."""
        told, heard = self.n_messages > before.n_messages, self.n_samples > before.n_samples
        return told and (not is_hearing or (heard and (self.n_runs > before.n_runs or is_between_hops)))


class Progress:
    """Looks at the daemon's work about once a second, and tells the service manager."""

    def __init__(self, notifier: Notifier, publisher: Publisher) -> None:
        self._notifier = notifier
        self._publisher = publisher
        self._last = Work(0, 0, 0)
        self._ran = Work(0, 0, 0)
        """When a network was last seen to have run."""

    def look(self, sources: Collection[LiveSource], listeners: Collection[Listener]) -> None:
        """Feed the watchdog if work went on since it was last fed, and say how the sources fare.

        Of a source that waits for its device, or has ended, nothing can move: there the loop that waits is the work.
        An agent that hangs is the supervisor's; it takes no other source with it.
        """
        n_lost = sum(one.losses.n_samples for one in sources)
        now = Work(
            n_samples=sum(one.n_samples for one in sources) + n_lost,
            n_runs=sum(one.detector.n_runs for one in listeners) + n_lost,
            n_messages=self._publisher.n_sent,
        )
        if now.n_runs > self._ran.n_runs:
            self._ran = now
        live = [one for one in sources if one.status == "live"]
        # Of a model that looks once a minute, the audio that comes for the next look is the work.
        between_hops = len(live) * max((_hop_samples(one) for one in listeners), default=0)
        is_between_hops = now.n_samples - self._ran.n_samples <= between_hops
        if now.is_beyond(self._last, is_hearing=bool(live), is_between_hops=is_between_hops):
            self._notifier.alive()
            self._last = now
        self._notifier.status(in_words(sources))


def _hop_samples(listener: Listener) -> int:
    return listener.model.manifest.hop_samples


def in_words(sources: Collection[LiveSource]) -> str:
    """Return how the sources fare, in one line: who is heard, then each that isn't and why."""
    live = [one.name for one in sources if one.status == "live" and not one.degraded]
    others = [f"{one.name}: {one.shown_detail()}" for one in sources if one.status != "live" or one.degraded]
    return "; ".join([*([f"hears {', '.join(live)}"] if live else []), *others])

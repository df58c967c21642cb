"""The sources of a running daemon: what an agent offers, what was received and lost, what was heard.

A source's blocks go to every model that listens to it, and what the models find goes to the
publisher. Positions in a take are the clock; wall time only dates what is told.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamd import wall
from streamd.blocks import Block, Bye, Hello, Want, block_take
from streamd.counters import Counters
from streamd.detector import Detection, Hop
from streamd.displaced import Displaced
from streamd.events import AudioGap, ClockReport, EndReason, SignalProblem, SourceStatus, at, slug
from streamd.listeners import Listener, wants_of
from streamd.losses import Losses
from streamd.publish import Publisher
from streamd.recorder.link import RecorderLink
from streamd.report import event, level, score
from streamd.signals import Signal
from streamd.takes import Take, take_of

log = logging.getLogger("streamd")

SILENT_SECONDS = 5.0
"""An agent that was heard, and then says nothing for this long beyond a block, is frozen, cut off or has lost power."""


@dataclass(eq=False)
class LiveSource:
    """One source, from the hello of its agent to the events of its models."""

    name: str
    listeners: Sequence[Listener]
    publisher: Publisher
    counters: Counters
    step: Callable[[Listener], None]
    """Runs everything a listener has ready, so that no finished hop is lost to a gap or an end."""
    clock_id: str
    """Names this machine's monotonic clock; an agent with another is on another host."""
    max_lag_seconds: float
    status: SourceStatus = "starting"
    detail: str = ""
    degraded: dict[Listener, str] = field(default_factory=dict)
    """Who hears it more slowly than it should, and why; then what is published as live is called degraded."""
    recorder: RecorderLink | None = None
    signal: Signal = field(default_factory=Signal)
    hello: Hello | None = None
    n_samples: int = 0
    losses: Losses = field(init=False)
    clock: ClockReport | None = None
    """What its agent says of its host's clocks."""
    progress_at: float = 0.0
    """Monotonic time at which its agent last got on: audio that advances, a hello, or word that it waits."""
    heard_at: float = 0.0
    """… and at which audio of it last came."""
    _clock_news: wall.ClockNews = field(default_factory=wall.ClockNews)
    _wait_told_at: float = 0.0
    _displaced: Displaced | None = None
    _takes: dict[int, Take] = field(default_factory=dict)
    _listening: dict[int, list[Listener]] = field(init=False, default_factory=dict)
    """Who hears a take, by its sample rate."""

    def __post_init__(self) -> None:
        self.losses = Losses(self.name, self.counters)
        self._attend(self.listeners)

    def _attend(self, listeners: Sequence[Listener]) -> None:
        self.listeners = listeners
        self._listening = {}
        for listener in listeners:
            self._listening.setdefault(listener.model.manifest.sample_rate, []).append(listener)

    def exchange(self, listeners: Sequence[Listener], *, keep_takes: bool) -> None:
        """Go on with other listeners: those that stay notice nothing, what is active in those that leave ends.

        keep_takes is False where the agent must begin a take of another format; then everything ends.
        """
        if not keep_takes:
            self.close("reload")
        for listener in self.listeners:
            take = self._takes.get(listener.model.manifest.sample_rate)
            if listener in listeners:
                continue
            if take is not None and take.began:
                self.step(listener)
                self._tell(listener, take, listener.detector.end(self.name, "reload"))
            listener.detector.leave(self.name)
            self.degraded.pop(listener, None)
        new = [listener for listener in listeners if listener not in self.listeners]
        self._attend(listeners)
        for listener in new:
            take = self._takes.get(listener.model.manifest.sample_rate)
            if take is not None and take.began:
                listener.detector.start(self.name, take.position)

    def say(self, status: SourceStatus, detail: str, gap: AudioGap | None = None, take: Take | None = None) -> None:
        """Publish how the source fares."""
        if status != self.status or detail != self.detail:
            log.info("%s: %s", self.name, detail)
        self.status, self.detail = status, detail
        self._publish_state(self.shown_detail(), gap, take)

    def say_again(self, more: str = "") -> None:
        """Publish how the source fares once more, with something added that is told this once."""
        take = next((take for take in self._takes.values() if take.began), None)
        self._publish_state("; ".join(filter(None, [self.shown_detail(), more])), None, take)

    def _publish_state(self, detail: str, gap: AudioGap | None, take: Take | None) -> None:
        state = self.publisher.state(
            self.name,
            status=self.shown_status(),
            detail=detail,
            time=at(time.time()),
            take=take.name if take else None,
            sample_rate=take.sample_rate if take else None,
            gap=gap,
            signal=self.shown_signal(),
            clock=self.clock,
        )
        self.publisher.send(state)

    def shown_status(self) -> SourceStatus:
        """Return how it fares in a word: live is called degraded if something is slower than it should be."""
        return "degraded" if self.status == "live" and self.degraded else self.status

    def shown_detail(self) -> str:
        """Return how it fares in words, with what is wrong with its signal and what makes it slow."""
        troubles = [*self.signal.words(), *self.degraded.values(), *wall.unset_in_words(self.clock)]
        if self.recorder and self.recorder.note:
            troubles.append(self.recorder.note)
        return "; ".join([self.detail, *troubles]) if self.status == "live" else self.detail

    def shown_signal(self) -> tuple[SignalProblem, ...]:
        """Return what is wrong with its signal, as long as it is live."""
        return self.signal.problems if self.status == "live" else ()

    def lost_device(self, listener: Listener, degraded: str, closed: list[Detection]) -> None:
        """A listener lost the device that it ran on: what was active ended, and it may be slower now."""
        take = self._takes.get(listener.model.manifest.sample_rate)
        if take is not None and take.began:
            self._tell(listener, take, closed)
        was = self.degraded.pop(listener, "")
        if degraded:
            self.degraded[listener] = degraded
            log.warning("%s: %s", self.name, degraded)
        if degraded != was:
            self.say(self.status, self.detail, take=take)

    def wants(self, take: str) -> list[Want]:
        """Return what is wanted of a take."""
        return wants_of(self.listeners, take)

    def leave_agent(self, status: SourceStatus, detail: str) -> None:
        """Hear the agent no more that was heard: another configuration has another one, or none."""
        self.close("reload")
        self.losses.forget_recording()
        self.hello = None
        self.say(status, detail)

    def begin(self, hello: Hello) -> None:
        """Accept a take; the one before it is over."""
        self._displaced = Displaced(self.hello) if self._takes and self.hello else None
        self.close("device")
        self.hello = hello
        self.progress_at = time.monotonic()
        wants = self.wants(hello.take)
        self._takes = {want.sample_rate: take_of(want, is_first=want is wants[0]) for want in wants}
        self.signal.begin(wants[0].sample_rate)

    def hear(self, header: Block, pcm: NDArray[np.int16], *, is_behind: bool = False) -> bool:
        """Take in a block of this source, pcm of shape (n_samples,); what is too old is shed, unheard.

        is_behind: what was sent does not reach us at once, because more waits than is taken in.

        Returns:
            False if its agent must say hello again: the take is over, and no other is heard instead.
        """
        take = self._takes.get(header.sample_rate)
        if take is None or header.take != take.name:
            return self._is_of_agent(header)
        if len(pcm) > take.most_samples:
            self.counters.add("blocks.too_long")
            return False
        end = header.first_sample + len(pcm)
        if header.first_sample < (take.position if take.shed_end is None else take.shed_end):
            self.counters.add("blocks.out_of_order")
            return True
        self.progress_at = self.heard_at = time.monotonic()
        if header.clock is not None:
            self._note_clock(header.clock)
        if self._is_too_late(take, end, self.heard_at - header.monotonic - len(pcm) / take.sample_rate, is_behind):
            take.shed_end = end
            return True
        if header.first_sample != take.position or not take.began or self.status != "live":
            self._begin_or_skip(take, header)
        take.anchor = header
        take.position = end
        for listener in self._listening[take.sample_rate]:
            listener.detector.push(self.name, pcm)
        if self.recorder:
            self.recorder.hear(self.name, header, pcm)
        if take.is_first:
            self.n_samples += len(pcm)
            self._look_at_signal(take, header, pcm)
        if take.is_first and self.publisher.wants_level(self.name):
            run, host = self.publisher.run, self.publisher.host
            self.publisher.send(level(pcm, take.clock(), take.position, run, host, self.name))
        return True

    def _is_too_late(self, take: Take, end: int, delay: float, is_behind: bool) -> bool:
        """Tell whether a block that ends at a sample must be shed; delay: our clock now less its agent's at its end."""
        if not self._on_our_clock():
            take.arrived(end, delay, is_behind)
        # Once too late, it catches up by half of what is allowed: to shed the one block that is too old would
        # mean another such hole right after it, for as long as there is more to do than time.
        allowed = self.max_lag_seconds / (1 if take.shed_end is None else 2)
        if not self._is_live() or self._age(delay, take) <= allowed:
            take.late_since = None
            return False
        if self._on_our_clock() or not take.stays_late(self.heard_at, self.max_lag_seconds, is_behind):
            return True
        take.clock_stood_still = True
        take.arrived(end, delay, is_behind)
        return False

    def _note_clock(self, now: ClockReport) -> None:
        before, self.clock = self.clock, now
        if before is not None and now.n_suspends != before.n_suspends:
            for take in self._takes.values():
                take.clock_stood_still = True
        if changed := self._clock_news.hear(now):
            log.warning("%s: %s", self.name, changed)
            self.say_again(changed)

    def _look_at_signal(self, take: Take, header: Block, pcm: NDArray[np.int16]) -> None:
        if self.signal.hear(pcm, header.dead_channels):
            log.warning("%s: %s", self.name, "; ".join(self.signal.words()) or "its signal is sound again")
            self.say(self.status, self.detail, take=take)

    def _is_of_agent(self, header: Block) -> bool:
        """Tell whether a block that no take here waits for comes from the agent that is heard, or may be ignored."""
        if self._takes and self.hello is not None and header.take == block_take(self.hello.take, header.sample_rate):
            self.progress_at = self.heard_at = time.monotonic()
            return True  # a rate that another source of the same agent needs
        self.counters.add("blocks.wrong_take")
        if self._displaced and self.hello and (words := self._displaced.words(header, self.hello)):
            log.warning("%s: %s", self.name, words)
        return self.status == "live"

    def _begin_or_skip(self, take: Take, header: Block) -> None:
        """Note what lies between the last sample that was heard and a block: nothing, or a gap."""
        n_lost = header.first_sample - take.position
        gap = None
        if not take.began:
            for listener in self._listening[take.sample_rate]:
                listener.detector.start(self.name, header.first_sample)
            gap = self.losses.before(self.hello, header) if self.hello else None
        elif n_lost:
            for listener in self._listening[take.sample_rate]:
                self.step(listener)
                self._tell(listener, take, listener.detector.gap(self.name, n_lost))
        if gap is None and n_lost:
            flag = header.flags[0] if header.flags else "transport"
            mostly_shed = take.shed_end is not None and 2 * header.n_lost <= n_lost
            gap = self.losses.gap(take, n_lost, "lag" if mostly_shed else flag)
        if gap is not None or not take.began or self.status != "live":
            self.say("live", f"hears {self.hello.device if self.hello else ''}", gap, take)
        take.began, take.shed_end = True, None

    def heard(self, listener: Listener, hop: Hop) -> None:
        """Publish what one hop found, and its scores where somebody asks for them."""
        facts = listener.model.manifest
        take = self._takes[facts.sample_rate]
        take.scored_sample = hop.end_sample
        latency = None
        if self._is_live() and self._on_our_clock():
            latency = time.monotonic() - take.monotonic(hop.end_sample)
            listener.lags.add(latency)
        if self.recorder:
            self.recorder.score(listener.detector, listener.model.sha256, take.name, hop)
        self._tell(listener, take, hop.detections, latency)
        if self.publisher.wants_scores(self.name, facts.name):
            self.publisher.send(score(hop, listener.detector, take.clock(), self.publisher.run, self.publisher.host))

    def _tell(self, listener: Listener, take: Take, detections: list[Detection], latency: float | None = None) -> None:
        """Publish events; latency is None where it can't be told or no new audio decided (a gap, an end)."""
        for detection in detections:
            told = event(
                detection,
                take.clock(),
                run=self.publisher.run,
                host=self.publisher.host,
                seq=self.publisher.next_seq(self.name),
                event_id=f"{self.publisher.run}-{listener.index}-{detection.number}",
                model=listener.model.manifest.name,
                model_sha256=listener.model.sha256,
                latency_seconds=None if latency is None else round(latency, 6),
            )
            self.publisher.send(told)
            if self.recorder:
                self.recorder.tell(told)
            self.counters.add(f"events.{told.phase}.{slug(told.label)}")

    def died(self, how: str) -> None:
        """The daemon's own agent died; another will be started."""
        self.close("device")
        self.losses.forget_recording()
        if self.status != "waiting_for_device":  # or it has said why, and that says more than how it ended
            self.say("starting", f"agent {how}; it is started again")

    def wait(self, detail: str) -> None:
        """The agent has no device to hear with; it keeps trying."""
        if self.status == "live":
            # The agent that is heard would have said bye first: this is another one, of the same name.
            self.counters.add("waitings.ignored")
            return
        self.progress_at = time.monotonic()
        self.close("device")
        is_due = self.progress_at - self._wait_told_at >= wall.TELL_SECONDS  # until then: it will say it again
        if self.status != "waiting_for_device" or (detail != self.detail and is_due):
            self._wait_told_at = self.progress_at
            self.say("waiting_for_device", detail)

    @property
    def expects_audio(self) -> bool:
        """Whether its agent has offered a take: from now on samples must come."""
        return bool(self._takes)

    @property
    def longest_block_seconds(self) -> float:
        """Of the blocks that are wanted: so much later than others its audio may come."""
        return max((want.n_samples / want.sample_rate for want in self.wants("")), default=0.0)

    def check_silence(self) -> None:
        """Notice that an agent brings no audio any more: what is open ends, until it is heard again."""
        silent_seconds = time.monotonic() - self.heard_at
        if self.status != "live" or silent_seconds <= SILENT_SECONDS + self.longest_block_seconds:
            return
        self._close_events("device")
        self.say("waiting_for_device", f"no audio from its agent for {silent_seconds:.0f} s")

    def end(self, bye: Bye) -> None:
        """A take is over: its agent says so."""
        if self.hello is None or self.hello.take != bye.take:
            self.counters.add("byes.wrong_take")
            return
        self.close("end" if bye.reason == "end" else "device")
        status: dict[str, SourceStatus] = {"end": "ended", "device": "waiting_for_device", "shutdown": "stopped"}
        self.say(status[bye.reason], bye.detail)

    def close(self, reason: EndReason) -> None:
        """Close what is open in the running takes; their last scores are made first."""
        self._close_events(reason)
        for take in self._takes.values():
            if take.shed_end is not None:  # and nothing was heard after it
                gap = self.losses.gap(take, take.shed_end - take.position, "lag")
                take.position = take.shed_end
                self.say(self.status, self.detail, gap, take)
        began = next((take for take in self._takes.values() if take.began), None)
        self.losses.take_ended(began, self.hello, reason)
        if self.recorder:
            self.recorder.end(self.name, [take.name for take in self._takes.values()])
        self._takes = {}

    def _close_events(self, reason: EndReason) -> None:
        for take in self._takes.values():
            for listener in self._listening[take.sample_rate] if take.began else ():
                self.step(listener)
                self._tell(listener, take, listener.detector.end(self.name, reason))

    def _is_live(self) -> bool:
        return self.hello is not None and self.hello.live

    def _on_our_clock(self) -> bool:
        return self.hello is not None and self.hello.clock_id == self.clock_id

    def _age(self, delay: float, take: Take) -> float:
        """Seconds since audio was captured; of another host only what exceeds the least delay seen lately."""
        return delay if self._on_our_clock() else delay - take.least_delay()

    def lag_seconds(self) -> float | None:
        """Return the age of the newest audio that was scored; None before the first, or if it isn't live."""
        ages = [
            self._age(time.monotonic() - take.monotonic(take.scored_sample), take)
            for take in self._takes.values()
            if take.scored_sample is not None
        ]
        return round(max(ages), 6) if ages and self._is_live() else None

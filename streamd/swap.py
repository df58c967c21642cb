"""From one configuration to the next between two hops: who hears whom is exchanged, and who stays notices nothing.

open events end, with the reason "reload", where their model, its decisions or their source changed
agents are started, ended, or started anew where what they capture changed
an agent that goes on begins a new take if other rates or block lengths are wanted of it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import msgspec

from streamd.agents import Agents
from streamd.blocks import Refuse, Want
from streamd.config import Config, Source
from streamd.intake import Intake, merged
from streamd.listeners import Listener, wants_of
from streamd.sources import LiveSource


@dataclass(frozen=True)
class Plan:
    """A configuration whose models are loaded and warm, beside one that runs."""

    config: Config
    listeners: Sequence[Listener]
    """One for each entry of its models; those that run now still hear their old sources."""

    def in_words(self) -> str:
        """Return it in one line, as sources publish it."""
        return f"{self.config.document.file} was read again"

    def heard_by(self, source: str) -> list[Listener]:
        """Return what will listen to a source."""
        uses = zip(self.listeners, self.config.models, strict=True)
        return [listener for listener, use in uses if source in use.sources]


def swap(
    plan: Plan,
    before: Config,
    sources: dict[str, LiveSource],
    new_source: Callable[[Source, Sequence[Listener], Config], LiveSource],
    intake: Intake,
    agents: Agents,
) -> None:
    """Make a plan what runs. To be called between two turns of the loop; `sources` is changed in place."""
    after = plan.config
    was = {source.name: source.capture for source in before.sources}
    becomes = {source.name: source.capture for source in after.sources}
    for name in was.keys() - becomes.keys():
        _remove(name, sources, intake)
        agents.end(name)
    restarted = [name for name in was.keys() & becomes.keys() if was[name] != becomes[name]]
    for name in restarted:
        sources[name].leave_agent("starting", "what it captures has changed; its agent is started anew")
        agents.end(name)
    _relisten(plan, sources, intake)
    for listener, use in zip(plan.listeners, after.models, strict=True):
        listener.sources = use.sources
    for source in after.sources:
        if source.name not in sources:
            sources[source.name] = new_source(source, plan.heard_by(source.name), after)
        sources[source.name].max_lag_seconds = after.max_lag_seconds
        if source.name in restarted or source.name not in was:
            agents.start(source)
    in_order = {name: sources[name] for name in becomes}
    sources.clear()
    sources.update(in_order)


def _remove(name: str, sources: dict[str, LiveSource], intake: Intake) -> None:
    gone = sources[name]
    reason = f"the configuration has no source {name} any more"
    # Not only of the agent that is heard for it: one that offered it before may still be heard for another source.
    offers = [(one, one.hello) for one in sources.values() if one.hello is not None and name in one.hello.sources]
    for one, hello in {id(hello): (one, hello) for one, hello in offers}.values():
        intake.answer(one.name, Refuse(take=hello.take, reason=reason))
    for one, _ in offers:  # an agent can't be heard with one of its sources unknown
        if one is not gone:
            one.leave_agent("waiting_for_device", f"its agent offers {name} too, which is not configured")
    gone.leave_agent("stopped", reason)
    for listener in gone.listeners:  # a device that is lost before the swap is done is told to the sources it names
        listener.sources = tuple(other for other in listener.sources if other != name)
    gone.exchange((), keep_takes=False)
    del sources[name]


def _relisten(plan: Plan, sources: Mapping[str, LiveSource], intake: Intake) -> None:
    """Give every source that goes on what listens to it now; agents of which something else is wanted begin anew."""
    heard = {name: plan.heard_by(name) for name in sources}
    hellos = {id(one.hello): one.hello for one in sources.values() if one.hello is not None}
    for hello in hellos.values():
        mine = [name for name in hello.sources if sources[name].hello is hello]
        before = [sources[name].wants(hello.take) for name in hello.sources]
        after = [wants_of(heard[name], hello.take) for name in hello.sources]
        is_same = merged(chain(*before)) == merged(chain(*after)) and [*map(_rates, before)] == [*map(_rates, after)]
        for name in mine:
            _exchange(sources[name], heard[name], keep_takes=is_same)
        if not is_same:
            # A want that differs from the one before begins a new take; this one names none that is heard.
            intake.answer(mine[0], msgspec.structs.replace(merged(chain(*before))[0], block_take=""))
            if not hello.live:  # of what is live, time tells how much it was
                for name in mine:
                    sources[name].say_again("what was on its way of its recording is not heard: a new take begins")
    for name, one in sources.items():
        if one.hello is None:
            _exchange(one, heard[name], keep_takes=True)


def _rates(wants: Sequence[Want]) -> list[int]:
    return [want.sample_rate for want in wants]


def _exchange(source: LiveSource, listeners: Sequence[Listener], *, keep_takes: bool) -> None:
    is_same = set(source.listeners) == set(listeners)
    if not (is_same and keep_takes):
        source.exchange(listeners, keep_takes=keep_takes)

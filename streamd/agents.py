"""The daemon's own agents: how each is started, and how long it may get nothing done.

A source waits for its device as long as that takes; its agent says so every two seconds. An agent that
says nothing any more hangs, whatever its process looks like.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from streamd.capture import specs
from streamd.capture.specs import Command, Microphone, Recording, Spec
from streamd.config import Source
from streamd.environment import child_command
from streamd.sources import LiveSource
from streamd.supervisor import Supervisor

AUDIO_SECONDS: Mapping[type[Spec], float] = {Microphone: 5.0, Recording: 5.0, Command: 15.0}
"""An agent that has said hello may bring no audio for this long beyond a block. One whose command writes nothing
notices that itself, after ten seconds (`capture/command.py`)."""
WORD_SECONDS = 20.0
"""An agent without a device may say nothing for this long: it looks for one. What hangs then, PortAudio for the most
part, ends it after 15 s (`capture/agent.py`)."""


class Agents:
    """The agents of this machine that the daemon has started, one a source."""

    def __init__(self, supervisor: Supervisor, audio_at: str) -> None:
        self._supervisor = supervisor
        self._audio_at = audio_at
        self._captures: dict[str, Spec] = {}

    def start_all(self, sources: Iterable[Source]) -> None:
        """Start the agent of each source that has one."""
        for source in sources:
            self.start(source)

    def start(self, source: Source) -> None:
        """Start the agent of a source, and keep it alive; one whose agent is started by hand has none here."""
        if source.capture is None:
            return
        self._captures[source.name] = source.capture
        command = child_command("streamd.capture", source.name, self._audio_at, specs.encode(source.capture))
        self._supervisor.start(source.name, [*command, "--child-of", str(os.getpid())])

    def end(self, source: str) -> None:
        """End the agent of a source, if it has one, without waiting for it; another may be started at once."""
        if self._captures.pop(source, None) is not None:
            self._supervisor.end(source)

    def kill_stalled(self, sources: Mapping[str, LiveSource]) -> set[str]:
        """Kill agents that get nothing done and return whose; to be called every second unless word lies unread."""
        killed = set()
        for name, capture in self._captures.items():
            source = sources[name]
            patience = WORD_SECONDS
            if source.expects_audio:
                patience = AUDIO_SECONDS[type(capture)] + source.longest_block_seconds
            if self._supervisor.watch(name, source.progress_at, patience):
                killed.add(name)
        return killed

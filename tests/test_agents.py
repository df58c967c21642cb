"""The patience that the daemon has with its agents: with a supervisor that only notes what it is asked."""

from __future__ import annotations

import pytest

from streamd.agents import AUDIO_SECONDS, WORD_SECONDS, Agents
from streamd.capture import specs
from streamd.capture.specs import Command, Microphone
from streamd.config import Source


class Asked:
    """Stands for the supervisor and for every source."""

    def __init__(self) -> None:
        self.started: list[tuple[str, list[str]]] = []
        self.watched: dict[str, tuple[float, float]] = {}
        self.progress_at = 17.0
        self.expects_audio = True
        self.longest_block_seconds = 0.5

    def start(self, name: str, command: list[str]) -> None:
        self.started.append((name, command))

    def watch(self, name: str, progress_at: float, patience_seconds: float) -> bool:
        self.watched[name] = progress_at, patience_seconds
        return name == "porch"


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def agents(asked: Asked) -> Agents:
    agents = Agents(asked, "ipc://audio")  # type: ignore[arg-type]
    agents.start(Source("kitchen", Microphone()))
    agents.start(Source("porch", Command(arguments=("ffmpeg",))))
    return agents


def test_an_agent_is_told_its_source_the_endpoint_and_what_it_captures(asked: Asked, agents: Agents) -> None:
    (_, kitchen), (_, porch) = asked.started
    assert kitchen[4:6] == ["kitchen", "ipc://audio"]
    assert specs.decode(porch[6]) == Command(arguments=("ffmpeg",))


def test_a_take_that_brings_no_audio_is_a_stall_sooner_than_a_device_that_is_looked_for(
    asked: Asked, agents: Agents
) -> None:
    sources = {"kitchen": asked, "porch": asked, "attic": asked}
    assert agents.kill_stalled(sources) == {"porch"}  # type: ignore[arg-type]
    patience = {"kitchen": AUDIO_SECONDS[Microphone], "porch": AUDIO_SECONDS[Command]}
    assert asked.watched == {name: (17.0, seconds + 0.5) for name, seconds in patience.items()}
    asked.expects_audio = False
    agents.kill_stalled(sources)  # type: ignore[arg-type]
    assert asked.watched == dict.fromkeys(("kitchen", "porch"), (17.0, WORD_SECONDS))
    assert AUDIO_SECONDS[Microphone] < AUDIO_SECONDS[Command] < WORD_SECONDS

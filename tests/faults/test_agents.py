"""Agents that are killed, stopped and starved: real processes, real signals."""

from __future__ import annotations

import signal
import time

import soundfile

from streamd.events import Score, State
from tests import tiny_models
from tests.faults.harness import SHARE, faults
from tests.faults.rig import Rig, Scene, running, scene

__all__ = ["scene"]  # a fixture

SOURCES = [f"s{i}" for i in range(12 if SHARE else 1)]
"""In turns, so that each lives long enough for its next death to be the first of a new life."""


def all_live(rig: Rig) -> None:
    for name in SOURCES:
        rig.heard(name)


def test_killed_agents_come_back(scene: Scene) -> None:
    how = "SIGKILL to the agent of one of twelve sources; the others must lose nothing, and the gap be published"
    with (
        faults("agent_killed", 1, "agent killed", how, through="real", long=48) as kept,
        running(scene, scene.config(*SOURCES)) as rig,
    ):
        all_live(rig)
        for i in range(kept.n):
            source, n_holes = SOURCES[i % len(SOURCES)], len(rig.ledger.holes)
            with kept.injection() as one, rig.accounted(one):
                rig.sounding(source)
                rig.daemon.agent(source).kill()
                killed, when = time.monotonic(), time.time()
                one.recovery_seconds = rig.heard(source, when) - killed
                assert one.recovery_seconds < 5.0
                assert {hole.source for hole in rig.ledger.holes[n_holes:]} == {source}
        assert rig.ledger.n_onsets > 0
        assert rig.daemon.status().counters["restarts.killed"] == kept.n


def test_stopped_agents_are_replaced(scene: Scene) -> None:
    how = "SIGSTOP to all agents at once, for ever: a stall is found by the audio that does not come"
    with (
        faults("agent_stopped", 2, "agent hangs", how, through="real", long=24) as kept,
        running(scene, scene.config(*SOURCES)) as rig,
    ):
        while len(kept.injections) < kept.n:
            all_live(rig)
            if kept.injections:
                rig.listen(10.0)  # they have lived, so their next pause is the first again
            agents = {name: rig.daemon.agent(name) for name in SOURCES}
            stopped, when = time.monotonic(), time.time()
            for agent in agents.values():
                agent.send_signal(signal.SIGSTOP)
            for name in SOURCES:
                with kept.injection() as one, rig.accounted(one):
                    one.recovery_seconds = rig.heard(name, when + 5.0) - stopped
                    assert one.recovery_seconds < 10.0
                    assert not agents[name].is_running()


def test_agents_that_are_stopped_for_a_moment_catch_up(scene: Scene) -> None:
    how = "SIGSTOP for 0.2 to 4 s and SIGCONT: shorter than a second nothing is lost, longer it is told"
    with (
        faults("agent_paused", 3, "agent starved", how, through="real", long=48) as kept,
        running(scene, scene.config(*SOURCES)) as rig,
    ):
        all_live(rig)
        for i in range(kept.n):
            source = SOURCES[i % len(SOURCES)]
            seconds = (0.2, 0.5, 1.5, 4.0)[i // len(SOURCES) % 4]
            with kept.injection() as one, rig.accounted(one):
                agent = rig.daemon.agent(source)
                agent.send_signal(signal.SIGSTOP)
                rig.listen(seconds)
                agent.send_signal(signal.SIGCONT)
                over, when = time.monotonic(), time.time()
                one.recovery_seconds = rig.heard(source, when) - over
                assert one.recovery_seconds < 5.0
                assert agent.is_running()
                assert seconds > 1.0 or not one.lost_seconds
        states = rig.daemon.status().sources
        assert all(state.agent_restarts == 0 for state in states)


def test_a_command_that_hangs_is_started_again(scene: Scene) -> None:
    how = "a command that writes tones and then nothing more, though it lives; its agent ends it and starts it again"
    raw = scene.recording.with_suffix(".raw")
    raw.write_bytes(soundfile.read(scene.recording, dtype="int16")[0].tobytes())
    # Long enough to have lived, so that each pause is the first of a new life.
    program = " ".join(["cat", *[str(raw)] * (3 if SHARE else 1)]) + "; exec sleep 600"
    command = f"{{command: [sh, -c, {program!r}], sample_rate: {tiny_models.SAMPLE_RATE}}}"
    lines = [f"  {name}: {command}" for name in SOURCES]
    with (
        faults("silent_callbacks", 4, "audio stops without an error", how, through="fake", long=24) as kept,
        running(scene, scene.with_model("sources:\n" + "\n".join(lines))) as rig,
    ):
        all_live(rig)

        stalled: dict[str, float] = {}

        def is_it(message: object) -> bool:
            is_over = isinstance(message, State) and "written nothing for 10 s" in message.detail
            return is_over or (isinstance(message, Score) and message.source in stalled)

        while len(kept.injections) < kept.n:  # all at once: whichever is next
            with kept.injection() as one, rig.accounted(one):
                while isinstance((told := rig.wait(is_it, 40.0)).message, State):
                    stalled[told.message.source] = told.at
                one.recovery_seconds = told.at - stalled.pop(told.message.source)

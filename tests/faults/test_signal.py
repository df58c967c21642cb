"""Microphones that are there and hear nothing, or hear it badly: recordings of such, through real agents."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from streamd.events import State
from tests import sounds
from tests.faults.harness import SHARE, faults
from tests.faults.rig import Scene, scene
from tests.running import a_daemon, collect
from tests.test_signals import FAULTS, room

__all__ = ["scene"]  # a fixture

RMS = 1e-3, 2e-3, 5e-3, 1e-2, 2e-2
"""Of the rooms before and after the fault."""
BEFORE, BEYOND, AFTER = 30.0, 60.0, 150.0
"""Seconds of the room, of the fault beyond those after which it is told, and of the room again."""


def test_a_dead_microphone_is_told_and_that_it_is_well_again(scene: Scene, tmp_path: Path) -> None:
    how = """generated audio of a muted, hung, offset or clipped input, a minute longer than it takes to be told, amid
        that of a room, in five variants each, through real agents; the state names the fault and its end, no other"""
    with faults("dead_microphone", 5, "dead microphone", how, through="fake", long=20) as kept:
        kinds = list(FAULTS) if SHARE else ["stuck"]
        expected, lines = {}, []
        for i in range(kept.n):
            kind, rms = kinds[i % len(kinds)], RMS[i // len(kinds) % len(RMS)]
            make, limit = FAULTS[kind]
            audio = np.concatenate([room(BEFORE, rms, i), make(limit + BEYOND), room(AFTER, rms, i + 100)])
            name = f"m{i}"
            expected[name] = [(kind,), ()]
            file = sounds.save(tmp_path / f"{name}.wav", audio)
            lines.append(f"  {name}: {{recording: {file}, fast: true}}")
        ended: set[str] = set()
        changes: dict[str, list[tuple[str, ...]]] = {name: [] for name in expected}

        def all_over(message: object) -> bool:
            if isinstance(message, State):
                before = changes[message.source][-1:] or [()]
                if message.status == "live" and [tuple(message.signal)] != before:
                    changes[message.source].append(tuple(message.signal))
                if message.status == "ended":
                    ended.add(message.source)
            return ended == expected.keys()

        # A short recording is over sooner than a subscriber that finds no daemon yet tries again.
        began = datetime.now(UTC)
        with (
            a_daemon(scene.with_model("sources:\n" + "\n".join(lines))) as daemon,
            daemon.subscriber(since=began) as subscriber,
        ):
            collect(subscriber, all_over, 600.0)
        for name, changed in changes.items():
            with kept.injection():
                assert changed == expected[name]

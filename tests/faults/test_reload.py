"""A configuration that is read again while the daemon hears: with mistakes, by a storm of signals, a hundred times."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamd.control import ask_reload
from tests.faults.harness import SHARE, faults
from tests.faults.rig import Rig, Scene, running, scene

__all__ = ["scene"]  # a fixture

SOURCES = ["s0", "s1"]
RELOAD_SECONDS = 60.0
LEAK_BYTES = 6_000_000
"""What an allocator may keep in the end; a session that is never freed would be a multiple of it."""


@pytest.fixture
def rig(scene: Scene) -> Iterator[Rig]:
    with running(scene, scene.config(*SOURCES)) as rig:
        for name in SOURCES:
            rig.heard(name)
        yield rig


def write(rig: Rig, config: str) -> None:
    (rig.daemon.folder / "streamd.yaml").write_text(config)


def test_a_reload_with_mistakes_changes_nothing(rig: Rig, scene: Scene, tmp_path: Path) -> None:
    how = """a configuration with a wrong key or value, cut off, with a model that is damaged or not there: the reload
        is refused with its reason, and what runs goes on without a gap"""
    good = scene.config(*SOURCES)
    with faults("bad_reload", 13, "reload with mistakes", how, through="real", long=40, short=2) as kept:
        for i in range(kept.n):
            chance, damaged = random.Random(i), bytearray(scene.model.read_bytes())
            for _ in range(100):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            model = tmp_path / f"damaged-{i}.onnx"
            model.write_bytes(damaged[: len(damaged) // 2] if i % 2 else damaged)
            bad = [
                good.replace(str(scene.model), str(model)),
                good.replace("repeat", "repaet"),
                good[: len(good) // 2] + "{",
                good.replace("device: cpu", "device: tpu"),
                good.replace(str(scene.model), "/nowhere/model.onnx"),
            ][i % 5]
            with kept.injection() as one, rig.accounted(one):
                write(rig, bad)
                report = ask_reload(rig.daemon.control_at, RELOAD_SECONDS)
                assert report.outcome == "refused", report
                assert all("\n" not in mistake for mistake in report.mistakes)
                write(rig, good)
                rig.heard("s0", time.time())
            assert not one.lost_seconds
        assert rig.daemon.status().counters["reloads.refused"] == kept.n


def test_models_are_exchanged_again_and_again_without_a_leak(rig: Rig, scene: Scene, tmp_path: Path) -> None:
    how = """the model is exchanged for a copy and back by `streamd reload`: no event is lost, memory stays; what
        counts as lost is the part of a hop that the one has heard and not scored, and the other has not heard"""
    other = tmp_path / "other.onnx"
    other.write_bytes(scene.model.read_bytes() + b"\x12\x05other")  # producer_name again: another file, the same model
    configs = scene.config(*SOURCES), scene.config(*SOURCES).replace(str(scene.model), str(other))
    with faults("exchanged", 10, "model exchanged", how, through="real", long=60, short=3) as kept:
        memory = rig.daemon.process.memory_info
        before = 0
        for i in range(kept.n):
            with kept.injection() as one, rig.accounted(one):
                write(rig, configs[(i + 1) % 2])
                asked = time.monotonic()
                report = ask_reload(rig.daemon.control_at, RELOAD_SECONDS)
                assert report.outcome == "done", report
                for (
                    name
                ) in SOURCES:  # a model that is exchanged while it listens before its first score has said nothing
                    rig.heard(name, time.time())
                one.recovery_seconds = time.monotonic() - asked
            if i == kept.n // 5:
                before = memory().rss
        grown = memory().rss - before
        kept.notes["memory grown over the last four fifths, MB"] = round(grown / 1e6, 2)
        assert not SHARE or grown < LEAK_BYTES


def test_a_storm_of_sighup_is_survived(rig: Rig) -> None:
    how = "SIGHUP a hundred times in a second: as many reloads as there is time for, and no gap"
    with faults("sighup_storm", 14, "storm of SIGHUP", how, through="real", long=20) as kept:
        for _ in range(kept.n):
            with kept.injection() as one, rig.accounted(one):
                for _ in range(100):
                    rig.daemon.process.send_signal(signal.SIGHUP)
                    rig.listen(0.01)
                over = time.monotonic()
                one.recovery_seconds = rig.heard("s0", time.time()) - over
                assert rig.daemon.status().counters["reloads.done"]
            assert not one.lost_seconds

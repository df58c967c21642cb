"""The watchdog is fed by work alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from streamd.progress import Progress, in_words


@dataclass
class Source:
    """What is looked at of a source."""

    name: str = "kitchen"
    status: str = "live"
    detail: str = "hears USB PnP"
    degraded: dict[str, str] = field(default_factory=dict)
    n_samples: int = 0
    losses: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(n_samples=0))

    def shown_detail(self) -> str:
        return "; ".join([self.detail, *self.degraded.values()])


@dataclass
class Manager:
    """Counts how often it was told that the daemon is alive."""

    n_alive: int = 0
    said: str = ""

    def alive(self) -> None:
        self.n_alive += 1

    def status(self, status: str) -> None:
        self.said = status


class Scene:
    """A daemon of which everything moves by hand."""

    def __init__(self) -> None:
        self.kitchen, self.attic = Source(), Source("attic")
        self.detector = SimpleNamespace(n_runs=0)
        self.hop_samples = 1280
        self.publisher = SimpleNamespace(n_sent=0)
        self.manager = Manager()
        self._progress = Progress(self.manager, self.publisher)
        self.work()
        assert self.is_fed()

    def work(self) -> None:
        """All that moves in a second of a healthy daemon."""
        self.kitchen.n_samples += 16000
        self.detector.n_runs += 2
        self.publisher.n_sent += 1

    def is_fed(self) -> bool:
        """Look, and tell whether the watchdog was fed."""
        before = self.manager.n_alive
        facts = SimpleNamespace(hop_samples=self.hop_samples)
        listener = SimpleNamespace(detector=self.detector, model=SimpleNamespace(manifest=facts))
        self._progress.look([self.kitchen, self.attic], [listener])
        return self.manager.n_alive > before


def test_a_daemon_at_work_feeds_it_every_time() -> None:
    scene = Scene()
    for _ in range(3):
        scene.work()
        assert scene.is_fed()
    assert not scene.is_fed()  # nothing was done in between


@pytest.mark.parametrize("stuck", ["samples", "runs", "messages"])
def test_work_that_stands_still_feeds_nothing_until_it_goes_on(stuck: str) -> None:
    scene = Scene()
    for _ in range(3):
        scene.kitchen.n_samples += 16000 if stuck != "samples" else 0
        scene.detector.n_runs += 2 if stuck != "runs" else 0
        scene.publisher.n_sent += 1 if stuck != "messages" else 0
        assert not scene.is_fed()
    scene.work()
    assert scene.is_fed()


@pytest.mark.parametrize("status", ["starting", "waiting_for_device", "ended"])
def test_where_nobody_can_be_heard_the_loop_that_waits_is_the_work(status: str) -> None:
    scene = Scene()
    scene.kitchen.status = scene.attic.status = status
    scene.publisher.n_sent += 1
    assert scene.is_fed()
    scene.attic.status = "live"
    scene.publisher.n_sent += 1
    assert not scene.is_fed()


def test_of_a_hop_of_a_minute_the_audio_between_its_ends_is_work_and_no_more_than_that() -> None:
    scene = Scene()
    scene.hop_samples = 60 * 16000
    scene.attic.status = "waiting_for_device"

    def hear(seconds: int) -> list[bool]:
        fed = []
        for _ in range(seconds):
            scene.kitchen.n_samples += 16000
            scene.publisher.n_sent += 1
            fed.append(scene.is_fed())
        return fed

    assert all(hear(60)), "the network had nothing to do yet"
    scene.detector.n_runs += 1
    assert all(hear(60))
    assert not any(hear(60)[1:]), "the network hangs"


def test_audio_that_was_lost_and_told_as_lost_is_work() -> None:
    # A machine too slow for anything: to kill its daemon every half minute would make it slower still.
    scene = Scene()
    scene.kitchen.losses.n_samples += 16000
    scene.publisher.n_sent += 1
    assert scene.is_fed()


def test_the_words_say_who_is_heard_and_of_all_others_why_not() -> None:
    porch = Source("porch", "waiting_for_device", "no microphone called 'USB'")
    slow = Source("hall", degraded={"yamnet": "yamnet runs on the CPU"})
    assert in_words([Source(), Source("attic")]) == "hears kitchen, attic"
    assert in_words([Source(), porch]) == "hears kitchen; porch: no microphone called 'USB'"
    assert in_words([slow]) == "hall: hears USB PnP; yamnet runs on the CPU"

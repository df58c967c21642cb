"""Reloads on their real thread, with real small models: what is kept, what is tried first, what is refused."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from streamd import config as configs
from streamd import reload
from streamd.config import Config
from streamd.listeners import Listener, load_listeners
from streamd.model import CPU, CUDA
from streamd.reload import Refusal, Reloads, Running
from streamd.swap import Plan
from tests import tiny_models

PATIENCE_SECONDS = 60.0


class Rig:
    """A configuration file, what began with it, and its reloads."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.file = folder / "streamd.yaml"
        for name in ("one", "two"):
            tiny_models.build(folder, "window", "log_mel", name=name)
        self.config, self.listeners = self._begin("models: [{file: one.onnx}]")
        self._woken = threading.Semaphore(0)
        self.reloads = Reloads(self.file, self.listeners, self._woken.release)
        self.tried: list[str] = []
        self.slowed: set[Listener] = set()
        monkeypatch.setattr(reload, "try_model", self._try)

    def _begin(self, text: str) -> tuple[Config, Sequence[Listener]]:
        self.write(text)
        config = configs.load(self.file)
        return config, load_listeners(config)

    def _try(self, file: Path) -> str:
        self.tried.append(file.name)
        return reload._hash(file)

    def write(self, text: str) -> None:
        """Write another configuration; its source is always the same."""
        self.file.write_text(f"sources: {{hall: {{remote: true}}}}\n{text}\n")

    def ask(self) -> int:
        """Ask for a reload."""
        return self.reloads.ask(Running(self.config, self.listeners, self.slowed))

    def take(self) -> Plan | Refusal:
        """Wait for what comes of it, and go on with that as the daemon would."""
        assert self._woken.acquire(timeout=PATIENCE_SECONDS)
        outcome = self.reloads.take()
        assert outcome is not None
        if isinstance(outcome, Plan):
            self.config, self.listeners = outcome.config, outcome.listeners
        return outcome

    def reload(self, text: str) -> Plan | Refusal:
        """Write a configuration and have it read."""
        self.write(text)
        self.ask()
        return self.take()


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A daemon's reloads without the daemon."""
    return Rig(tmp_path, monkeypatch)


def test_what_is_the_same_is_kept_and_what_was_never_run_is_tried_once_in_a_child(rig: Rig) -> None:
    [before] = rig.listeners
    plan = rig.reload("models: [{file: two.onnx}, {file: one.onnx}]")
    assert isinstance(plan, Plan)
    new, kept = plan.listeners
    assert kept is before
    assert rig.tried == ["two.onnx"]
    assert new.index not in (before.index,)
    assert rig.reload("models: [{file: one.onnx}]").listeners == [before]
    again = rig.reload("models: [{file: two.onnx}]").listeners[0]
    assert again.index not in (before.index, new.index), "event ids would be told twice"
    assert rig.tried == ["two.onnx"]


def test_another_decision_is_another_listener_of_the_same_session(rig: Rig) -> None:
    [before] = rig.listeners
    [after] = rig.reload("models: [{file: one.onnx, labels: {Low tone: {onset_threshold: 0.9}}}]").listeners
    assert after is not before
    assert after.model is before.model


def test_a_file_with_other_bytes_is_another_model(rig: Rig) -> None:
    [before] = rig.listeners
    (rig.folder / "two.onnx").rename(rig.folder / "one.onnx")
    [after] = rig.reload("models: [{file: one.onnx}]").listeners
    assert after.model.manifest.name == "two"
    assert after.model is not before.model
    assert rig.tried == ["one.onnx"]


def test_a_file_that_changes_while_it_is_loaded_is_refused(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "try_model", lambda file: "another hash")
    refusal = rig.reload("models: [{file: two.onnx}]")
    assert isinstance(refusal, Refusal)
    assert "it was written to while it was loaded; write a new file and rename it" in refusal.in_words()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models: [{file: none.onnx}]", "none.onnx"),
        ("models: [{file: one.onnx}]\nendpoints: {events: ipc://elsewhere}", "endpoints can't be changed by a reload"),
        ("models: [{file: one.onnx}]\ndevice: cuda", "cuda"),
        ("models: [", "streamd.yaml"),
    ],
)
def test_a_refusal_says_why_and_the_next_reload_is_as_good_as_any(rig: Rig, text: str, said: str) -> None:
    before = rig.config
    refusal = rig.reload(text)
    assert isinstance(refusal, Refusal)
    assert said in refusal.mistakes[0]
    report = rig.reloads.report
    assert report is not None
    assert (report.number, report.outcome, report.mistakes) == (1, "refused", refusal.mistakes)
    assert rig.config is before
    assert isinstance(rig.reload("models: [{file: one.onnx}]"), Plan)
    assert rig.reloads.report.outcome == "done"


def test_a_mistake_of_ours_ends_no_thread_unheard(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(configs, "load", broken)
    refusal = rig.reload("models: [{file: one.onnx}]")
    assert isinstance(refusal, Refusal)
    assert "ZeroDivisionError: of all things; this is a mistake of streamd's" in refusal.mistakes[0]


def test_a_thread_that_can_not_be_started_refuses_one_reload_and_not_the_next(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as crowded:
        crowded.setattr(threading.Thread, "start", none_left)
        assert [rig.ask(), rig.ask()] == [1, 2]
        refusal = rig.take()
    assert isinstance(refusal, Refusal)
    assert refusal.in_words().startswith("reload refused: can't start new thread")
    assert rig.reloads.is_asked_again
    assert isinstance(rig.reload("models: [{file: one.onnx}]"), Plan)


def test_who_asks_while_one_is_loading_gets_one_more_and_only_one(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    load = configs.load

    def slow(file: Path | None) -> Config:
        assert go_on.wait(PATIENCE_SECONDS)
        return load(file)

    monkeypatch.setattr(configs, "load", slow)
    assert [rig.ask() for _ in range(5)] == [1, 2, 2, 2, 2]
    assert rig.reloads.take() is None
    assert rig.reloads.report is not None
    assert rig.reloads.report.outcome == "loading"
    go_on.set()
    rig.take()
    assert rig.reloads.is_asked_again
    assert rig.ask() == 2
    rig.take()
    assert not rig.reloads.is_asked_again


def test_a_listener_that_lost_its_gpu_is_not_kept(rig: Rig) -> None:
    [before] = rig.listeners
    rig.slowed = {before}
    [after] = rig.reload("models: [{file: one.onnx}]").listeners
    assert after is not before


def test_a_listener_serves_another_device_only_where_it_runs_there(rig: Rig) -> None:
    [one] = rig.listeners
    running = Running(rig.config, rig.listeners, ())
    assert rig.config.device == "auto"
    for provider, served in ((CPU, {"auto", "cpu"}), (CUDA, {"auto", "cuda"})):
        one.model.provider = provider
        assert {device for device in ("auto", "cpu", "cuda") if reload._serves(one, running, device)} == served

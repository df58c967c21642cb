"""A reload: a configuration and its models read, tried, loaded and warmed beside what runs; then swapped in or refused.

All of it happens on a thread that lives as long as the reload, so the loop hears on meanwhile. What can end a process
ends a child: a file whose hash this process has not seen working is opened there first (limited.py).
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamd import config as configs
from streamd import environment
from streamd.config import Config
from streamd.detector import Detector
from streamd.errors import ConfigError, ModelError, StreamdError
from streamd.limited import try_model
from streamd.listeners import Listener, load_listeners
from streamd.model import CPU, CUDA, Device, Model
from streamd.requests import ReloadReport
from streamd.swap import Plan

log = logging.getLogger("streamd")

RELOADABLE = {"sources", "models", "device", "device_lost", "max_lag_seconds", "permissions", "document"}
"""Fields of a configuration that a reload may change; sockets and processes that others rely on stay."""
CLOSE_SECONDS = 0.5


@dataclass(frozen=True)
class Running:
    """What a reload begins from."""

    config: Config
    listeners: Sequence[Listener]
    slowed: Collection[Listener]
    """Those that lost their GPU: a reload looks for it again."""


@dataclass(frozen=True)
class Refusal:
    """Why what is configured now can't be what runs."""

    mistakes: Sequence[str]

    def in_words(self) -> str:
        """Return it in one line, as sources publish it."""
        more = f" (and {len(self.mistakes) - 1} more)" if len(self.mistakes) > 1 else ""
        return f"reload refused: {self.mistakes[0]}{more}"


class Reloads:
    """The reloads of one daemon, one at a time; who asks while one is loading gets one more after it."""

    def __init__(self, file: Path | None, listeners: Sequence[Listener], wake: Callable[[], None]) -> None:
        """Begin none yet.

        Args:
            file: the configuration's; None: the default configuration.
            listeners: those that were made at the start: their models are known as good.
            wake: called on another thread when one is loaded or refused; `take` it then.
        """
        self.report: ReloadReport | None = None
        """Of the newest."""
        self._file = file
        self._wake = wake
        self._known_good = {listener.model.sha256 for listener in listeners}
        self._n_indices = len(listeners)
        self._number = 0
        self._is_asked_again = False
        self._thread: threading.Thread | None = None
        self._outcome: Plan | Refusal | None = None
        """Set by the thread as the last thing it does but to wake us, or where none can be started."""
        self._seconds = 0.0

    @property
    def is_asked_again(self) -> bool:
        """Whether another one was asked for since the newest began."""
        return self._is_asked_again

    def ask(self, running: Running) -> int:
        """Have what is configured now loaded; return the number that the reload will have."""
        if self._thread is not None or self._outcome is not None:
            self._is_asked_again = True
            return self._number + 1
        self._number += 1
        self._is_asked_again = False
        self.report = ReloadReport(number=self._number, outcome="loading")
        log.info("reload %d: reads %s", self._number, self._file or "the default configuration")
        thread = threading.Thread(target=self._load, args=(running,), name="loader", daemon=True)
        try:
            thread.start()
            self._thread = thread
        except RuntimeError as error:  # no memory, or as many threads and processes as may be
            self._seconds = 0.0
            self._outcome = Refusal([f"{error}, which reads and loads what is configured; try again later"])
            self._wake()
        return self._number

    def take(self) -> Plan | Refusal | None:
        """Return what came of the reload that was loading: a plan, or why it is refused; None while it lasts."""
        if self._outcome is None:
            return None
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        outcome, self._outcome = self._outcome, None
        mistakes = outcome.mistakes if isinstance(outcome, Refusal) else ()
        for line in mistakes:
            log.error("reload %d is refused: %s", self._number, line)
        if not mistakes:
            log.info("reload %d: loaded in %.2f s", self._number, self._seconds)
        self.report = ReloadReport(
            number=self._number,
            outcome="refused" if mistakes else "done",
            mistakes=mistakes,
            seconds=round(self._seconds, 3),
        )
        return outcome

    def close(self) -> None:
        """Wait a little for one that is loading; what it still does ends with the process."""
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _load(self, running: Running) -> None:
        began = time.monotonic()
        mistakes: list[str] = []
        try:
            outcome: Plan | Refusal = self._plan(running)
        except ConfigError as error:
            mistakes = error.mistakes
        except StreamdError as error:
            mistakes = [str(error)]
        except Exception as error:  # a thread that dies unheard would leave the reload loading for ever
            log.exception("reload %d", self._number)
            mistakes = [f"{type(error).__name__}: {error}; this is a mistake of streamd's"]
        environment.give_back_memory()
        self._seconds = time.monotonic() - began
        self._outcome = Refusal(mistakes) if mistakes else outcome
        self._wake()

    def _plan(self, running: Running) -> Plan:
        config = configs.load(self._file)
        _refuse_what_stays(running.config, config)
        first_index, self._n_indices = self._n_indices, self._n_indices + len(config.models)
        kept = [one for one in running.listeners if one not in running.slowed and _serves(one, running, config.device)]
        listeners = load_listeners(config, kept, lambda file: self._open(file, kept, config.device), first_index)
        for listener in listeners:
            if listener not in kept:
                _warm(listener.detector)
        return Plan(config, listeners)

    def _open(self, file: Path, kept: Sequence[Listener], device: Device) -> Model:
        """Return the model in a file: one that runs, or a new one, whose first opening was in a child."""
        sha256 = _hash(file)
        for listener in kept:
            if listener.model.file == file and listener.model.sha256 == sha256:
                return listener.model
        if sha256 not in self._known_good and try_model(file) != sha256:
            raise _changed(file)
        model = Model(file, device)
        if model.sha256 != sha256:
            raise _changed(file)
        self._known_good.add(sha256)
        return model


def _refuse_what_stays(before: Config, after: Config) -> None:
    """Raise ConfigError if something differs that only a new start can change."""
    fields = [field.name for field in dataclasses.fields(Config) if field.name not in RELOADABLE]
    mistakes = [
        f"{after.document.where((name,))}: {name.replace('_', ' ')} can't be changed by a reload; start streamd again, "
        "or put back what was there"
        for name in fields
        if getattr(before, name) != getattr(after, name)
    ]
    if mistakes:
        raise ConfigError(mistakes)


def _serves(listener: Listener, running: Running, device: Device) -> bool:
    """Tell whether a listener runs where a configuration wants it to."""
    if device == running.config.device:
        return True
    return listener.model.provider == {"auto": CUDA, "cuda": CUDA, "cpu": CPU}[device]


def _hash(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{file}: can't be read ({error.strerror}); expected a model file (.onnx)") from error


def _changed(file: Path) -> ModelError:
    return ModelError(f"{file}: it was written to while it was loaded; write a new file and rename it to this one")


def _warm(detector: Detector) -> None:
    """Have a detector hear a moment of silence: its first real hop must not wait for what is made once."""
    facts = detector.model.manifest
    detector.start("")
    detector.push("", np.zeros((facts.n_cold_hops + 2) * facts.hop_samples, np.int16))
    for _ in detector.step():
        pass
    detector.leave("")

"""Scenes from several processes, in order, the same whatever their number.

Each worker is a fresh Python without torch, started as a command of its own: nothing is forked from a process with
threads, and the program that trains needs no guard around its main part. Material is written once to a file that all
workers map into their memory; the file has no name any more as soon as they have it, so that nothing stays behind,
whatever ends first. A worker ends when its input ends.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from streamd.errors import StreamdError
from training.prepare.simulation import scene
from training.prepare.simulation.conditions import Conditions
from training.prepare.simulation.scene import Scene

AHEAD = 8
"""Scenes that each worker makes before anybody asks for them: while a network takes a step, the next batch is made."""
N_STREAMS = 4
"""Streams of scenes that are made ahead at the same time; what was made of the oldest one is dropped for a fifth."""
N_SHARED = 4
"""Objects that workers keep: each learning with other clips shares material of its own, hundreds of megabytes with an
hour of background."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class SimulationError(StreamdError):
    """A scene that could not be made."""


@dataclass(frozen=True)
class Shared:
    """Stands for an object that all workers have."""

    number: int


@dataclass(frozen=True)
class Share:
    """Asks a worker to take in an object."""

    number: int
    folder: Path


@dataclass(frozen=True)
class Forget:
    """Asks a worker to let go of an object."""

    number: int


@dataclass(frozen=True)
class Task:
    """Asks a worker for a result: function(*arguments)."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Failed:
    """What a worker answers where it failed."""

    kind: str
    message: str


class Workers:
    """Processes that make scenes; a context manager."""

    def __init__(self, n_workers: int) -> None:
        """Start the processes; with 0, scenes are made in this one."""
        self.n_workers = n_workers
        self._workers: list[_Worker] = []
        self._n_tasks = self._n_shared = 0
        self._shared: dict[int, tuple[object, Shared]] = {}
        self._ahead: dict[tuple[Any, ...], dict[int, Future[Any]]] = {}

    def __enter__(self) -> Workers:
        self._workers = [_Worker() for _ in range(self.n_workers)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.end()
        self._workers, self._ahead, self._shared = [], {}, {}

    def scenes(self, conditions: Conditions, seed: int, name: str, begin: int, n: int) -> Iterator[Scene]:
        """Yield the items `name/begin` … of a data set, n of them, as `scene.make` makes each.

        Workers go on with the items behind them, so that whoever asks for the next ones need not wait.

        Raises:
            SimulationError: a scene could not be made, or a worker died.
        """
        return self._in_order(_scene, conditions, seed, name, begin, n)

    def negatives(self, conditions: Conditions, seed: int, name: str, begin: int, n: int) -> Iterator[Scene]:
        """Yield n scenes of a stream without any of the sounds, from number `begin` on, as `scene.negatives` has them.

        Raises:
            SimulationError: a scene could not be made, or a worker died.
        """
        return self._in_order(_negative, conditions, seed, name, begin, n)

    def run(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Return the result to come of a function of a module, called with small arguments in one of the processes."""
        if not self.n_workers:
            return _done_here(function, arguments)
        self._n_tasks += 1
        return self._workers[self._n_tasks % self.n_workers].ask(Task(function, arguments))

    def share(self, thing: object) -> object:
        """Return what stands for an object in arguments of `run`; it is copied once, and its arrays are mapped."""
        if not self.n_workers:
            return thing
        handle = self._shared.pop(id(thing), (thing, None))[1] or self._given_to_all(thing)
        self._shared[id(thing)] = thing, handle  # held, so that no other object gets its id; the newest is the last
        while len(self._shared) > N_SHARED:
            _, oldest = self._shared.pop(next(iter(self._shared)))
            for worker in self._workers:
                worker.ask(Forget(oldest.number))
        return handle

    def _given_to_all(self, thing: object) -> Shared:
        self._n_shared += 1
        folder = Path(tempfile.mkdtemp(prefix="streamd-scenes-"))
        try:
            store(thing, folder)
            for waiting in [worker.ask(Share(self._n_shared, folder)) for worker in self._workers]:
                waiting.result()
        finally:
            shutil.rmtree(folder)
        return Shared(self._n_shared)

    def _in_order(
        self, make: Callable[..., Scene], conditions: Conditions, seed: int, name: str, begin: int, n: int
    ) -> Iterator[Scene]:
        key = (make, self.share(conditions) if self.n_workers else None, seed, name)
        ahead = self._ahead.pop(key, {})
        self._ahead[key] = ahead
        while len(self._ahead) > N_STREAMS:
            del self._ahead[next(iter(self._ahead))]
        for missed in [i for i in ahead if i < begin]:
            del ahead[missed]
        for i in range(begin, begin + n):
            for later in range(i, i + max(1, AHEAD * self.n_workers)):
                if later not in ahead:
                    # Shared again each time: it may have been forgotten for newer ones.
                    ahead[later] = self.run(make, self.share(conditions), seed, name, later)
            try:
                made = ahead.pop(i).result()
            except SimulationError as error:
                raise SimulationError(f"the scene {name}/{i} can't be made: {error}") from error
            yield made


class _Worker:
    """One process, and the thread that reads what it answers."""

    def __init__(self) -> None:
        root = str(Path(__file__).parents[3])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        one_thread = dict.fromkeys(THREADS, "1")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "training.prepare.simulation.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is the parent's
            env={**os.environ, **one_thread, "PYTHONPATH": os.pathsep.join(paths)},
        )
        self._waiting: deque[Future[Any]] = deque()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, task: Task | Share | Forget) -> Future[Any]:
        """Return the answer to come."""
        answer: Future[Any] = Future()
        self._waiting.append(answer)
        try:
            pickle.dump(task, self._process.stdin, protocol=5)  # type: ignore[arg-type]
            self._process.stdin.flush()  # type: ignore[union-attr]
        except BrokenPipeError:
            self._process.wait()
            self._fail()
        return answer

    def end(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):  # of a task that it never read
                pipe.close()  # type: ignore[union-attr]

    def _read(self) -> None:
        while True:
            try:
                answer = pickle.load(self._process.stdout)  # type: ignore[arg-type]  # noqa: S301
            except (EOFError, pickle.UnpicklingError):
                self._process.wait()
                self._fail()
                return
            waiting = self._waiting.popleft()
            if isinstance(answer, Failed):
                waiting.set_exception(SimulationError(f"{answer.kind}: {answer.message}"))
            else:
                waiting.set_result(answer)

    def _fail(self) -> None:
        code = self._process.returncode
        while self._waiting:
            self._waiting.popleft().set_exception(
                SimulationError(f"a process that makes scenes ended by itself, with {code}; is there memory enough?")
            )


def _done_here(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Future[Any]:
    done: Future[Any] = Future()
    try:
        done.set_result(function(*arguments))
    except Exception as error:  # noqa: BLE001  as in a worker
        done.set_exception(SimulationError(f"{type(error).__name__}: {error}"))
    return done


def store(thing: object, folder: Path) -> None:
    """Write an object to a folder; what its arrays hold lies in a file of its own, to be mapped."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
    with (folder / "arrays").open("wb") as file:
        for buffer in buffers:
            file.write(buffer.raw())
    lengths = [buffer.raw().nbytes for buffer in buffers]
    (folder / "object").write_bytes(pickle.dumps((lengths, pickled)))


def _scene(conditions: Conditions, seed: int, name: str, i: int) -> Scene:
    return scene.make(conditions.recipe, conditions.material, seed, f"{name}/{i}")


def _negative(conditions: Conditions, seed: int, name: str, i: int) -> Scene:
    return scene.negative(conditions.recipe, conditions.material, seed, name, i)

"""A child process that makes scenes: tasks come in on stdin, results go out on stdout, both pickled.

It ends when its input ends, which it does in any death of the parent.
"""

from __future__ import annotations

import mmap
import os
import pickle
import sys
from pathlib import Path
from typing import Any, BinaryIO

from training.prepare.simulation.workers import Failed, Forget, Share, Shared, Task


def main(tasks: BinaryIO, results: BinaryIO) -> None:
    """Do what is asked for until there is nothing more."""
    shared: dict[int, Any] = {}
    while True:
        try:
            task = pickle.load(tasks)  # noqa: S301  the parent wrote it
        except EOFError:
            return
        result: Any = None
        try:
            if isinstance(task, Share):
                shared[task.number] = load(task.folder)
            elif isinstance(task, Forget):
                shared.pop(task.number, None)
            else:
                result = _done(task, shared)
        except Exception as error:  # noqa: BLE001  whatever it is, the parent must hear of it
            result = Failed(type(error).__name__, str(error))
        try:
            pickle.dump(result, results, protocol=5)
            results.flush()
        except BrokenPipeError:
            os._exit(0)  # the parent was killed; closing the pipe would only complain once more


def load(folder: Path) -> Any:
    """Return an object that `workers.store` wrote to a folder; its arrays are views of the file, read only."""
    lengths, pickled = pickle.loads((folder / "object").read_bytes())  # noqa: S301  the parent wrote it
    if not sum(lengths):
        return pickle.loads(pickled, buffers=[b""] * len(lengths))  # noqa: S301
    with (folder / "arrays").open("rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    buffers, begin = [], 0
    for length in lengths:
        buffers.append(view[begin : begin + length])
        begin += length
    return pickle.loads(pickled, buffers=buffers)  # noqa: S301


def _done(task: Task, shared: dict[int, Any]) -> Any:
    arguments = [shared[one.number] if isinstance(one, Shared) else one for one in task.arguments]
    return task.function(*arguments)


if __name__ == "__main__":
    # What a library prints must not come between the results.
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as results:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        main(sys.stdin.buffer, results)

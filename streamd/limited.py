"""A model file that nobody knows yet, opened in a child process that may crash: what reads it is C++.

sha256 = try_model(Path("new.onnx"))     # the daemon's end; blocks, so it runs on the loader's thread
python -m streamd.limited new.onnx PID   # the child's; its answer is one line of JSON
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import msgspec

from streamd.capture import parent
from streamd.environment import child_command, prepare
from streamd.errors import ModelError, StreamdError
from streamd.model import Model

TRIAL_SECONDS = 60.0
"""A model that has not given its golden answer by then is refused; the default model takes about one."""
MEMORY_BYTES = 1 << 30
"""Address space of the child beside what the file may take; with the default model it is 0.3 GiB in all."""
MEMORY_TIMES_FILE = 8
"""Copies of the file that it may take, in the parser, the session and its prepacked weights."""


class _Passed(msgspec.Struct, frozen=True, tag=True):
    sha256: str


class _Refused(msgspec.Struct, frozen=True, tag=True):
    reason: str


_answers: msgspec.json.Decoder[_Passed | _Refused] = msgspec.json.Decoder(_Passed | _Refused)


def try_model(file: Path, seconds: float = TRIAL_SECONDS) -> str:
    """Return the SHA-256 of a model that was opened and verified on the processor by a child of this process.

    Raises:
        ModelError: the file is refused, or the child can't be started, crashed, took too long or wanted too much
            memory.
    """
    try:
        process = subprocess.Popen(
            child_command("streamd.limited", str(file), str(os.getpid())),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # onnxruntime is loud there; what is to be said comes on the pipe
            start_new_session=True,
        )
    except OSError as error:
        raise ModelError(
            f"{file}: no process can be started to try it ({error.strerror}); it is not loaded untried: try again later"
        ) from error
    with process:
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise ModelError(f"{file}: no answer within {seconds:g} s of trying it; it is refused") from error
    try:
        answer = _answers.decode(said)
    except msgspec.DecodeError as error:
        how = f"was killed by signal {-process.returncode}" if process.returncode < 0 else "failed"
        raise ModelError(f"{file}: the process that tried it {how}; the file is damaged, or no model") from error
    if isinstance(answer, _Refused):
        raise ModelError(answer.reason)
    return answer.sha256


def _limit_this_process(file: Path) -> None:
    def limit(what: int, most: int) -> None:
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))

    size = file.stat().st_size if file.is_file() else 0
    if sys.platform == "linux":  # elsewhere it can't be set
        limit(resource.RLIMIT_AS, MEMORY_BYTES + MEMORY_TIMES_FILE * size)
    limit(resource.RLIMIT_CPU, round(TRIAL_SECONDS))
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, 0)
    os.nice(5)  # what is heard goes first


def main(arguments: list[str]) -> int:
    """Try a model and say how it went; the exit code is 0 wherever that could be said."""
    file = Path(arguments[0])
    parent.die_with(int(arguments[1]))
    prepare()
    _limit_this_process(file)
    answer: _Passed | _Refused
    try:
        answer = _Passed(Model(file, "cpu").sha256)
    except StreamdError as error:
        answer = _Refused(str(error))
    except MemoryError:
        answer = _Refused(f"{file}: it wants more memory than a model of its size may")
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Processes that must not outlive the one that started them, however that ends."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
from collections.abc import Callable

_STDIN = 0
_PR_SET_PDEATHSIG = 1

# Loaded here, not after a fork: a child between fork and exec must not wait for the loader's lock.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def die_with(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Have this process sent a signal when its parent dies (prctl(2), Linux; elsewhere `is_gone` must be asked).

    Does not return if the parent is dead already.
    """
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def die_with_me() -> Callable[[], None]:
    """Return what a child calls before it becomes another program, to die with this process."""
    me = os.getpid()
    return lambda: die_with(me)


def is_gone() -> bool:
    """Tell whether the parent has died, seen from the pipe on our standard input that it held open."""
    readable, _, _ = select.select([_STDIN], [], [], 0)
    return bool(readable) and not os.read(_STDIN, 4096)

"""What a process arranges for itself: the variables that libraries read at import, and its memory."""

from __future__ import annotations

import os
import sys

MOST_FILES = 65_536
"""More agents than one processor or GPU hears."""


def prepare() -> None:
    """Make this process and its children keep to themselves and to one thread each.

    onnxruntime reports its use to its maker unless told otherwise before it is imported. The numeric
    libraries behind numpy start a thread for every core, which costs more than it brings on arrays as
    small as ours; who wants another number sets it in the environment.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def child_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of ours in a process of its own, by this interpreter.

    `python -m` alone would look for every module in the current folder first, which is anybody's: a msgspec.py in it
    would be run. -P leaves that folder out; PYTHONPATH counts as ever.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def own_command() -> list[str]:
    """Return the command that began this process, with the options of its interpreter."""
    return [sys.executable, *sys.orig_argv[1:]]


def many_files() -> None:
    """Let this process have as many open files as the system allows it: each agent is a connection, and that a file."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(hard, MOST_FILES) if hard != resource.RLIM_INFINITY else MOST_FILES
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def give_back_memory() -> None:
    """Return freed memory to the system, where the C library can: loading the default model leaves 29 MB behind."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is not None:
        trim(0)

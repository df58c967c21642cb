"""Variables that libraries read while they are imported: set them before numpy or onnxruntime is."""

from __future__ import annotations

import os


def prepare() -> None:
    """Make this process and its children keep to themselves and to one thread each.

    onnxruntime reports its use to its maker unless told otherwise before it is imported. The numeric
    libraries behind numpy start a thread for every core, which costs more than it brings on arrays as
    small as ours; who wants another number sets it in the environment.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

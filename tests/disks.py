"""Real file systems, so small that they can be filled."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """Make a folder and mount a tmpfs at it, with options of mount(8); skip the test where that is not permitted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "streamd-test", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = f"mounting a tmpfs is not permitted here: {done.stderr.strip()}"
        print(reason)
        pytest.skip(reason)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Leave no byte free."""
    with (disk / "rubbish").open("wb", buffering=0) as rubbish:
        while True:
            try:
                rubbish.write(bytes(4096))
            except OSError:
                return

"""Loading and running a model leaves no file behind and talks to nobody.

onnxruntime reports its use to its maker from version 1.29 on, unless a variable says no before its import. In a network
without a way out it was seen to create a store in the home folder with the first session, and to look up a name
within 25 s. The store is looked for here, and every socket, for some seconds and through the exit of the process; that
the upload of a longer life never starts follows from the store, which it needs, never being made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny_models

SECONDS = 3

# Whatever switches it off has to be streamd's own doing: nothing here sets the variable.
PROGRAM = """
import os, sys, time
from pathlib import Path

class Watcher:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print("at import:", os.environ.get("ORT_DISABLE_TELEMETRY"))

sys.meta_path.insert(0, Watcher())
import numpy as np
from streamd.model import Model

model = Model(Path(sys.argv[1]), "cpu")
end = time.monotonic() + float(sys.argv[2])
n_runs = 0
while time.monotonic() < end:
    model.answer(np.zeros(8_000, np.int16))
    n_runs += 1
    time.sleep(0.2)
print("runs:", n_runs > 5)
"""


def environment(home: Path) -> dict[str, str]:
    """A home of its own, and nothing that would point elsewhere or switch telemetry off."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_", "HOME"))}
    return kept | {"HOME": str(home), "PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONDONTWRITEBYTECODE": "1"}


def test_a_loaded_model_writes_no_file_and_opens_no_connection(tmp_path: Path) -> None:
    file = tiny_models.build(tmp_path, "window", "log_mel")
    home, log = tmp_path / "home", tmp_path / "strace"
    home.mkdir()
    strace = shutil.which("strace")
    command = [sys.executable, "-c", PROGRAM, str(file), str(SECONDS)]
    if strace:
        command = [strace, "-f", "-e", "trace=connect,socket", "-o", str(log), *command]
    result = subprocess.run(
        command, env=environment(home), cwd=home, capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout == "at import: 1\nruns: True\n"
    assert [found.name for found in home.rglob("*")] == []
    if not strace:
        pytest.skip("no file appeared; that no connection is tried needs strace; `make test` as root installs it")
    calls = log.read_text()
    assert "+++ exited with 0 +++" in calls
    assert [line for line in calls.splitlines() if "AF_INET" in line] == []

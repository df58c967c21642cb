"""A microphone under what the units forbid."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.conftest import FakeMicrophone
from tests.running import a_daemon, collect, has_status

NO_NEW_CODE = """if True:
    import ctypes, os, sys
    PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
        sys.exit(77)
    os.execv(sys.argv[1], sys.argv[1:])
"""
"""Runs a program that may never execute memory that it has written, nor any child of it: MemoryDenyWriteExecute."""


def test_a_microphone_is_heard_where_no_memory_is_written_and_executed(microphone: FakeMicrophone) -> None:
    before = [sys.executable, "-c", NO_NEW_CODE]
    if subprocess.run([*before, shutil.which("true") or "", "true"], check=False).returncode == 77:
        pytest.skip("this kernel can't forbid it to one process (PR_SET_MDWE; Linux 6.3)")
    forbidden = "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)"
    in_a_child = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {forbidden!r}]))"
    control = subprocess.run([*before, sys.executable, "-c", in_a_child], capture_output=True, text=True, check=False)
    assert "PermissionError" in control.stderr  # it is forbidden, to agents as well
    with a_daemon("sources: {kitchen: {}}", microphone.environment, *before) as daemon, daemon.subscriber() as told:
        collect(told, has_status("live"))

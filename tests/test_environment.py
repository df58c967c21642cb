from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamd.environment import child_command, prepare


def test_telemetry_is_off_even_where_somebody_switched_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    prepare()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_numeric_libraries_get_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    prepare()
    assert os.environ["OPENBLAS_NUM_THREADS"] == os.environ["OMP_NUM_THREADS"] == "1"


def test_a_number_of_threads_that_the_user_chose_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    prepare()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3"


def test_a_child_imports_nothing_from_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit('foreign code')")
    command = child_command("streamd", "--version")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("streamd ")
    limited = child_command("streamd.limited", "no-such.onnx", str(os.getpid()))
    done = subprocess.run(limited, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "no-such.onnx" in done.stdout


def test_every_child_is_started_in_that_way() -> None:
    folder = Path(sys.modules[child_command.__module__].__file__ or "").parent
    starting = [file.name for file in folder.rglob("*.py") if "sys.executable" in file.read_text()]
    assert starting == ["environment.py"]

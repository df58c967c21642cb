"""The wheel in an empty environment, with no checkout beside it: what a stranger has after `pip install`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEVER = {"torch", "scipy", "onnx", "onnxscript", "librosa", "scikit-learn"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel and what it asks for, from the package index."""
    folder = tmp_path_factory.mktemp("stranger")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    (wheel,) = folder.glob("*.whl")
    install = [folder / "venv/bin/pip", "install", "--quiet", "--disable-pip-version-check"]
    asked = [*install, "--constraint", ROOT / "constraints.txt", f"{wheel}[cpu]"]
    done = subprocess.run(asked, check=False, capture_output=True, text=True)
    if "connection broken by" in done.stderr:
        pytest.skip(f"a package index is needed to fill an empty environment: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return folder / "venv"


@pytest.fixture
def outside(tmp_path: Path) -> dict[str, str]:
    """A shell of its own: nothing of the checkout is on any path."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}


def test_it_brings_no_training_packages(environment: Path, outside: dict[str, str]) -> None:
    listed = subprocess.run(
        [environment / "bin/pip", "list", "--format", "json"], env=outside, check=True, capture_output=True, text=True
    )
    names = {package["name"].lower() for package in json.loads(listed.stdout)}
    assert "streamd" in names
    assert names & NEVER == set()


@pytest.mark.timeout(200)
def test_it_runs_the_demo(environment: Path, outside: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [environment / "bin/streamd", "demo"], cwd=tmp_path, env=outside, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Smoke detector, smoke alarm" in done.stdout
    assert list(tmp_path.iterdir()) == []  # nothing is left behind, nor written by the runtime's telemetry

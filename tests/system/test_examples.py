"""The examples, run as their readers would, beside a real daemon."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests import sounds
from tests.running import a_daemon, wait_for

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_run_command_starts_a_program_when_its_sound_begins(tmp_path: Path) -> None:
    crows = sounds.save(tmp_path / "crows.wav", sounds.scene(4, [(2.0, sounds.crow())]))
    told = tmp_path / "told"
    program = ["sh", "-c", f'echo "$STREAMD_LABEL $STREAMD_SOURCE $STREAMD_SCORE" >> {told}']
    with a_daemon(f"sources: {{yard: {{recording: {crows}, repeat: true}}}}") as daemon:
        example = subprocess.Popen(
            [sys.executable, EXAMPLES / "run_command.py", "crow", *program],
            env={**os.environ, "RUNTIME_DIRECTORY": str(daemon.folder)},
        )
        try:
            line = wait_for(lambda: told.read_text() if told.exists() and told.stat().st_size else None)
        finally:
            example.terminate()
            example.wait(10)
    label, source, score = line.splitlines()[0].split()
    assert (label, source) == ("Crow", "yard")
    assert 0.3 <= float(score) <= 1


def test_run_command_without_arguments_says_how_to_use_it() -> None:
    done = subprocess.run([sys.executable, EXAMPLES / "run_command.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "run_command.py LABEL PROGRAM" in done.stderr

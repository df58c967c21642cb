"""What a fit tells on a terminal."""

from __future__ import annotations

import io

import pytest

pytest.importorskip("torch")

from rich.console import Console

from training.design.progress import Terminal


def test_a_terminal_shows_steps_loss_and_audio_and_a_line_for_each_check():
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=120)
    with Terminal(console) as progress:
        progress.stepped(1, None, 0.7, 80.0)
        progress.stepped(30, 120, 0.25, 2400.0)
        progress.checked(30, "recall 0.500")
    told = written.getvalue()
    for words in ("30/120", "loss 0.2500", "40 min of audio heard", "step 30: recall 0.500"):
        assert words in told

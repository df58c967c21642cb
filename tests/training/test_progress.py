"""What a fit tells on a terminal."""

from __future__ import annotations

import io

import pytest

pytest.importorskip("torch")

from rich.console import Console

from training.design.progress import Terminal, telling

CURSOR_SHOWN = "\x1b[?25h"
"""A terminal's answer to the end of a bar that had hidden it."""


def test_a_terminal_shows_steps_loss_and_audio_and_a_line_for_each_check():
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=120)
    with telling(Terminal(console)) as progress:
        progress.stepped(1, None, 0.7, 80.0)
        progress.stepped(30, 120, 0.25, 2400.0)
        progress.checked(30, "recall 0.500")
    told = written.getvalue()
    for words in ("30/120", "loss 0.2500", "40 min of audio heard", "step 30: recall 0.500"):
        assert words in told


def test_a_fit_that_ends_early_leaves_the_terminal_to_others_and_the_next_has_a_bar_of_its_own():
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=120)
    progress = Terminal(console)
    with telling(progress) as told:
        told.stepped(30, 120, 0.25, 2400.0)
    assert written.getvalue().endswith(CURSOR_SHOWN)
    before = len(written.getvalue())
    console.print("now the report")
    assert written.getvalue()[before:] == "now the report\n"  # no bar is drawn under it
    with telling(progress) as told:
        told.stepped(1, None, 0.7, 80.0)
    second = written.getvalue()[before:]
    assert "1/?" in second
    assert "/120" not in second


def test_nobody_needs_to_listen():
    with telling(None) as told:
        told.stepped(1, 2, 0.7, 80.0)

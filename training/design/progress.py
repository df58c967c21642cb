"""How far a fit is: what it tells whoever asked for it, and that on a terminal."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress(Protocol):
    """Told of each step of a fit."""

    def stepped(self, step: int, n_steps: int | None, loss: float, audio_seconds: float) -> None:
        """Hear of a step that is done; n_steps is None until it is known, loss is NaN where a step has none."""

    def checked(self, step: int, told: str) -> None:
        """Hear what the scorer said of the network after a step."""


class Quiet:
    """Tells nobody."""

    def stepped(self, step: int, n_steps: int | None, loss: float, audio_seconds: float) -> None:
        """Do nothing."""

    def checked(self, step: int, told: str) -> None:
        """Do nothing."""


class Terminal:
    """A bar on a terminal from the first step to the last, with the loss and the audio heard; a line for each check.

    Use it in a with statement, which leaves the terminal as it was whatever ends the fit.
    """

    def __init__(self, console: Console | None = None) -> None:
        told = TextColumn("{task.fields[told]}")
        self._bar = Bar(
            TextColumn("fit"), BarColumn(), MofNCompleteColumn(), told, TimeRemainingColumn(), console=console
        )
        self._task = self._bar.add_task("fit", total=None, told="")

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def stepped(self, step: int, n_steps: int | None, loss: float, audio_seconds: float) -> None:
        """Move the bar."""
        told = f"{audio_seconds / 60:.0f} min of audio heard"
        told = told if math.isnan(loss) else f"loss {loss:.4f}, {told}"
        self._bar.start()
        self._bar.update(self._task, completed=step, total=n_steps, told=told)
        if step == n_steps:
            self._bar.stop()

    def checked(self, step: int, told: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(f"step {step}: {told}", highlight=False)

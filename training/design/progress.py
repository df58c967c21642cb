"""How far a fit is: what it tells whoever asked for it, and that on a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress(Protocol):
    """Told of each step of a fit."""

    def stepped(self, step: int, n_steps: int | None, loss: float, audio_seconds: float) -> None:
        """Hear of a step that is done; n_steps is None until it is known, loss is NaN where a step has none."""

    def checked(self, step: int, told: str) -> None:
        """Hear what the scorer said of the network after a step."""


@runtime_checkable
class Shown(Progress, Protocol):
    """Told of the end of a fit, too, as it shows something while the fit lasts."""

    def ended(self) -> None:
        """Hear that there are no more steps, whatever the reason; another fit may follow."""


class Quiet:
    """Tells nobody."""

    def stepped(self, step: int, n_steps: int | None, loss: float, audio_seconds: float) -> None:
        """Do nothing."""

    def checked(self, step: int, told: str) -> None:
        """Do nothing."""


@contextmanager
def telling(progress: Progress | None) -> Iterator[Progress]:
    """Give what is to be told of the steps of one fit; of its end, however it comes, who shows something is told."""
    try:
        yield progress or Quiet()
    finally:
        if isinstance(progress, Shown):
            progress.ended()


class Terminal:
    """A bar on a terminal while a fit lasts, with the loss and the audio heard; a line for each check.

    It may be told of one fit after another.
    """

    def __init__(self, console: Console | None = None) -> None:
        told = TextColumn("{task.fields[told]}")
        self._bar = Bar(
            TextColumn("fit"), BarColumn(), MofNCompleteColumn(), told, TimeRemainingColumn(), console=console
        )
        self._task: TaskID | None = None

    def stepped(self, step: int, n_steps: int | None, loss: float, audio_seconds: float) -> None:
        """Move the bar."""
        told = f"{audio_seconds / 60:.0f} min of audio heard"
        told = told if math.isnan(loss) else f"loss {loss:.4f}, {told}"
        if self._task is None:
            self._task = self._bar.add_task("fit", total=None, told="")
            self._bar.start()
        self._bar.update(self._task, completed=step, total=n_steps, told=told)

    def checked(self, step: int, told: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(f"step {step}: {told}", highlight=False)

    def ended(self) -> None:
        """Leave the bar as it stands, and the terminal to others."""
        self._bar.stop()
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None

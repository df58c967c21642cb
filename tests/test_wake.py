"""Whether the terminal is gone that a daemon was started in."""

from __future__ import annotations

import errno
import os

import pytest

from streamd.wake import Terminal


class Tty:
    """Opens, or fails as it is told to."""

    error = 0

    def open(self, path: str, flags: int) -> int:
        """Stands for os.open: a test has no terminal of its own."""
        assert path == "/dev/tty"
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return os.dup(0)


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> Tty:
    """The terminal as the code under test meets it."""
    made = Tty()
    monkeypatch.setattr(os, "open", made.open)
    return made


@pytest.mark.parametrize(
    ("error", "is_gone"),
    [(0, False), (errno.ENXIO, True), (errno.EIO, True), (errno.EMFILE, False), (errno.ENFILE, False)],
)
def test_a_terminal_is_gone_only_where_the_error_says_so(tty: Tty, error: int, is_gone: bool) -> None:
    terminal = Terminal()
    tty.error = error
    assert terminal.is_gone() is is_gone


def test_who_never_had_a_terminal_has_lost_none(tty: Tty) -> None:
    tty.error = errno.ENXIO
    assert not Terminal().is_gone()

"""What wakes the daemon's loop beside its sockets: signals, and a thread of ours that has done its work."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
from contextlib import ExitStack


class Wake:
    """A socket that becomes readable with every signal, and when `wake` is called."""

    def __init__(self, stack: ExitStack, handler: signal._HANDLER) -> None:
        """Install the handler of SIGTERM, SIGINT, SIGCHLD and SIGHUP; the stack puts back what was there before."""
        self.socket, self._writer = socket.socketpair()
        for end in (self.socket, self._writer):
            end.setblocking(False)
            stack.callback(end.close)
        before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        stack.callback(signal.set_wakeup_fd, before)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # nohup(1)
            stack.callback(signal.signal, number, signal.signal(number, handler))

    def wake(self) -> None:
        """Wake the loop, from any thread."""
        with contextlib.suppress(OSError):  # it is full, and wakes anyway; or the daemon has ended
            self._writer.send(b"\0")

    def clear(self) -> None:
        """Take note: what woke the loop is looked at now."""
        self.socket.recv(4096)


class Terminal:
    """The terminal that this process was started in, if it was.

    SIGHUP has two meanings: a terminal was closed, and whoever was started in it should end; or, to a service, which
    has no terminal, that it should read its configuration again. A closed terminal can no longer be opened.
    """

    def __init__(self) -> None:
        self._was_there = _why_not_opened() is None

    def is_gone(self) -> bool:
        """Tell whether there was a terminal at the start, and now there is none."""
        # Not every error says so: a process that has no file left can't open one that is there.
        return self._was_there and _why_not_opened() in (errno.ENXIO, errno.EIO)


def _why_not_opened() -> int | None:
    """Return the number of the error that opening the terminal brings; None if it can be opened."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError as error:
        return error.errno
    return None

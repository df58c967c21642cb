"""What the service manager is told of this process: sd_notify(3), lines in a datagram to `$NOTIFY_SOCKET`.

Without a service manager nothing is sent. Nothing that is said waits, and nothing raises: a manager that doesn't listen
is its own trouble.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping

log = logging.getLogger("streamd")


class Notifier:
    """The way to the service manager that started this process, if one did."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Take `NOTIFY_SOCKET` out of the environment: no child of ours speaks for us."""
        self._address = environment.pop("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # an abstract name; the kernel has a zero byte there
            self._address = "\0" + self._address[1:]
        self._status = ""
        # Opened once: a process that has no file left must still be able to say that it lives.
        self._way = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if self._address else None
        if self._way is not None:
            self._way.setblocking(False)

    def ready(self, status: str) -> None:
        """Starting or reloading is over."""
        self._status = status
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it, whether it succeeded or was refused."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def status(self, status: str) -> None:
        """Say in one line how things are, for `systemctl status`; what was said last isn't said again."""
        if status != self._status:
            self._status = status
            self._send(f"STATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The end begins."""
        self._send("STOPPING=1", "STATUS=stops")

    def _send(self, *lines: str) -> None:
        if self._way is None:
            return
        try:
            self._way.sendto("\n".join(line.replace("\n", " ") for line in lines).encode(), self._address)
        except OSError as error:
            log.warning("the service manager can't be told %s: %s", lines[0], error.strerror or error)

    def close(self) -> None:
        """Say no more."""
        if self._way is not None:
            self._way.close()

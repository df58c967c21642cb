"""A program that ends as a whole: with all that it has started, and with this process, however that ends."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

from streamd.errors import DeviceError

log = logging.getLogger("streamd.capture")

END_SECONDS = 0.3
"""What has not ended this long after SIGTERM is killed."""
KILL_SECONDS = 1.0
"""A program that is still there this long after SIGKILL hangs in the kernel, or is another user's (sudo)."""
_GUARD = ("/bin/sh", "-c", 'read -r group; read -r end; kill -KILL "-$group"')
"""Is told the group, and kills it when the pipe ends that this process holds open. A signal at a parent's death
(prctl) would reach the program alone, not what a script or a pipeline has started."""


class Program:
    """A running program, in a session of its own: Ctrl-C is the agent's, and there is no terminal to ask people on."""

    def __init__(self, arguments: Sequence[str]) -> None:
        """Start it; its standard output and error are pipes that never block.

        Raises:
            DeviceError: it can't be started.
        """
        self._name = arguments[0]
        try:
            # A session of its own as well: who kills this process as a group must not kill the guard.
            self._guard = subprocess.Popen(
                _GUARD,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise DeviceError(f"can't start {_GUARD[0]}, which guards {self._name}: {error.strerror}") from error
        try:
            # The pipes are read by hand: Python's own buffers would hide from poll what is in them.
            self._process = subprocess.Popen(
                arguments,
                bufsize=0,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self._dismiss_guard()
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise DeviceError(f"can't start {self._name}: {reason}") from error
        if self._guard.stdin is None or self._process.stdout is None or self._process.stderr is None:
            raise DeviceError(f"can't read what {self._name} writes")
        with suppress(BrokenPipeError):  # somebody has killed the guard
            self._guard.stdin.write(b"%d\n" % self._process.pid)
        self.stdout, self.stderr = self._process.stdout.fileno(), self._process.stderr.fileno()
        for pipe in (self.stdout, self.stderr):
            os.set_blocking(pipe, False)

    def how_it_ended(self) -> str:
        """Return in words how it ended, waiting a moment for that; what it has started may still run."""
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return "closed its output"
        names = {one.value: one.name for one in signal.Signals}  # most real-time signals have none
        return f"was killed by {names.get(-code, f'signal {-code}')}" if code < 0 else f"ended with code {code}"

    def end(self) -> None:
        """End it and all that it has started, by force if need be."""
        self._send(signal.SIGTERM)
        deadline = time.monotonic() + END_SECONDS
        while self._send(0) and time.monotonic() < deadline:
            time.sleep(0.01)
        self._send(signal.SIGKILL)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("%s (process %d) can't be killed; left behind", self._name, self._process.pid)
        self._dismiss_guard()

    def _send(self, number: int) -> bool:
        """Send a signal, 0 for none, to the program and what it has started; tell whether anybody was there."""
        self._process.poll()  # or its own remains would still count
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):  # nobody is left, or nobody of ours
            return False
        return True

    def _dismiss_guard(self) -> None:
        self._guard.kill()
        self._guard.wait()
        if self._guard.stdin is not None:
            self._guard.stdin.close()

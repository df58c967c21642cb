"""An agent that becomes a new process in place: the same id, parent, pipes and arguments, and none of its memory.

Each look for devices starts PortAudio anew, and that leaks: ALSA loads its plug-ins to ask them and unloads them
again, and what their libraries allocated when they were loaded stays. With PulseAudio's that is 12 kB a look, which
a microphone that is absent would make 350 MB a day.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from streamd.environment import own_command
from streamd.errors import DeviceError

MOST_LOOKS = 300
"""An agent that has looked this often, and found nothing, is renewed: a quarter of an hour, 4 MB."""
_ENDING = (signal.SIGTERM, signal.SIGINT)


def renew(is_stopping: Callable[[], bool]) -> None:
    """Begin this process anew; return only if it was asked to end meanwhile.

    A signal that asks it to end from now on waits for the new one, which is to call `heed_signals`.

    Raises:
        DeviceError: its program is not there any more.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    if is_stopping():
        return
    command = own_command()
    try:
        os.execv(command[0], command)  # noqa: S606 - there is nothing for a shell
    except OSError as error:
        raise DeviceError(f"can't start {command[0]} again, which this process runs: {error.strerror}") from error


def heed_signals() -> None:
    """Let those signals through that `renew` has held back, now that somebody hears them."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)

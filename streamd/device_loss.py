"""What becomes of a listener whose GPU is lost or full: the same device once more, then the processor, or the end."""

from __future__ import annotations

import logging
import time
from typing import Literal

from streamd.detector import Detection
from streamd.errors import DeviceError, DeviceLostError, ModelError
from streamd.listeners import Listener
from streamd.model import Device, Model

log = logging.getLogger("streamd")

AGAIN_SECONDS = 60.0
"""A device that is lost again within this time after it came back is not asked a third time."""


class DeviceLoss:
    """Remembers what was tried."""

    def __init__(self, then: Literal["cpu", "stop"]) -> None:
        """Take what to do where the device doesn't come back."""
        self._then = then
        self._came_back_at: dict[int, float] = {}

    def recover(self, listener: Listener, error: DeviceLostError) -> tuple[str, list[Detection]]:
        """Give a listener a session that works.

        Returns:
            Why it is slower than it was, empty where it isn't; and what was active and ends, because no session knows
            what another has heard.

        Raises:
            DeviceLostError: the one given, where nothing but its device is wanted.
            ModelError: the model doesn't work on the processor either, or its file is another by now.
        """
        log.warning("%s", error)
        last = self._came_back_at.get(listener.index)
        if last is None or time.monotonic() - last > AGAIN_SECONDS:
            try:
                closed = self._exchange(listener, "cuda")
            except (DeviceError, ModelError) as again:
                log.warning("%s", again)
            else:
                self._came_back_at[listener.index] = time.monotonic()
                log.warning("%s: the device is back", listener.model.manifest.name)
                return "", closed
        if self._then == "stop":
            raise error
        closed = self._exchange(listener, "cpu")
        return f"{listener.model.manifest.name} runs on the CPU: its GPU was lost", closed

    @staticmethod
    def _exchange(listener: Listener, device: Device) -> list[Detection]:
        model = Model(listener.model.file, device)
        if model.sha256 != listener.model.sha256:
            raise model.refuse("its GPU was lost, and the file is not the one that was loaded; start streamd again")
        return listener.detector.exchange(model)

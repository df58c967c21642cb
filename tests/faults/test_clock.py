"""The wall clock is set by an hour, to and fro, while the daemon hears; the monotonic clock stays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streamd.events import Score
from tests.faults.harness import faults
from tests.faults.rig import Scene, running, scene

__all__ = ["scene"]  # a fixture

SOURCES = ["s0", "s1"]
STEP_SECONDS = 3600


class WallClock:
    """A wall clock for other processes: tests/faults/wall_clock.c between them and the C library."""

    def __init__(self, folder: Path) -> None:
        library, self._offset = folder / "wall_clock.so", folder / "offset"
        source = Path(__file__).parent / "wall_clock.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        self._offset.write_bytes(bytes(8))
        self.environment = os.environ | {"LD_PRELOAD": str(library), "WALL_CLOCK": str(self._offset)}

    def set(self, seconds: int) -> None:
        """Set it, in place: it is read as memory."""
        with self._offset.open("r+b", buffering=0) as opened:
            opened.write(seconds.to_bytes(8, sys.byteorder, signed=True))


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="no C compiler, or no Linux")
def test_a_step_of_the_wall_clock_loses_doubles_and_reorders_nothing(scene: Scene, tmp_path: Path) -> None:
    how = """wall time of daemon and agents steps by an hour, forth and back (the C library's answer is changed on its
        way): no gap, no event lost or double; recovered when scores have the new time"""
    clock = WallClock(tmp_path)
    with (
        faults("clock_step", 12, "clock set by an hour", how, through="fake", long=24) as kept,
        running(scene, scene.config(*SOURCES), clock.environment) as rig,
    ):
        for name in SOURCES:
            rig.heard(name)
        offset = 0
        for i in range(kept.n):
            with kept.injection() as one, rig.accounted(one):
                rig.sounding("s0")
                offset = 0 if offset else STEP_SECONDS * (-1 if i % 4 else 1)
                clock.set(offset)
                stepped = time.monotonic()

                def follows(message: object, offset: int = offset) -> bool:
                    if not isinstance(message, Score):
                        return False
                    return abs(message.time.timestamp() - time.time() - offset) < 60

                one.recovery_seconds = rig.wait(follows, 20.0).at - stepped
                rig.listen(1.0)
                one.n_hidden += rig.ledger.n_told_missing
            assert not one.lost_seconds
        assert rig.ledger.n_onsets
        assert not rig.daemon.status().counters.get("restarts.stalled")

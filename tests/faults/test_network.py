"""The cable between an agent and its daemon is pulled and put back: network namespaces, CURVE keys, real commands."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streamd import keys
from tests.faults.harness import faults
from tests.faults.rig import Scene, running, scene
from tests.two_hosts import two_hosts, why_not

__all__ = ["scene"]  # a fixture

NO_HOSTS = why_not()
AUDIO = 5556
BACK_SECONDS = 15.0
"""What TCP takes to try again, and ZeroMQ to connect anew."""


@pytest.mark.skipif(bool(NO_HOSTS), reason=NO_HOSTS)
def test_a_cable_that_is_pulled_and_put_back_costs_what_is_told(scene: Scene, tmp_path: Path) -> None:
    how = """the link between two network namespaces, an agent with its key in one and the daemon in the other, is set
        down for 1 to 15 s and up again; what the agent could not keep is told as lost"""
    with two_hosts() as (hall, attic), faults("cable", 4, "network cut", how, through="real", long=20) as kept:
        ours, theirs = tmp_path / "hall" / "streamd" / "keys", tmp_path / "attic"
        hall_key, attic_key = keys.make(ours).public, keys.make(theirs).public
        keys.trust(theirs, hall.address, hall_key)
        config = f"""
sources: {{attic: {{remote: true, key: "{attic_key}"}}}}
endpoints: {{audio: "tcp://{hall.address}:{AUDIO}"}}
"""
        environment = os.environ | {"XDG_CONFIG_HOME": str(tmp_path / "hall")}
        with running(scene, scene.with_model(config), environment, *hall.command()) as rig:
            rig.daemon.status()
            capture = ["capture", "attic", "--endpoint", f"tcp://{hall.address}:{AUDIO}", "--keys", str(theirs)]
            agent = subprocess.Popen(
                attic.command(
                    sys.executable, "-m", "streamd", *capture, "--recording", str(scene.recording), "--repeat"
                ),
                stderr=subprocess.DEVNULL,
            )
            try:
                rig.heard("attic")
                for i in range(kept.n):
                    with kept.injection() as one, rig.accounted(one):
                        rig.sounding("attic")
                        attic.cable("down")
                        rig.listen((1.0, 3.0, 7.0, 15.0)[i % 4])
                        attic.cable("up")
                        over, when = time.monotonic(), time.time()
                        one.recovery_seconds = rig.heard("attic", when) - over
                        assert one.recovery_seconds < BACK_SECONDS
            finally:
                agent.terminate()
                agent.wait(10)

"""kill -9 of the daemon, of the journal, of both, at any point: nothing that was published is missing afterwards.

`STREAMD_KILLS=N` asks for N kills of each kind; a test run has a few.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from tests.journal.talker import Talkers
from tests.sockets import short_folder

N_KILLS = int(os.environ.get("STREAMD_KILLS", "8"))


@pytest.fixture
def talkers() -> Iterator[Talkers]:
    with short_folder() as folder:
        talkers = Talkers(folder)
        try:
            yield talkers
        finally:
            talkers.close()


@pytest.mark.timeout(60 + 4 * N_KILLS)
@pytest.mark.parametrize("who", ["daemon", "journal", "both"])
def test_whoever_is_killed_nothing_that_was_published_is_missing(talkers: Talkers, who: str) -> None:
    chance = random.Random(who)
    talkers.start()
    for _ in range(N_KILLS):
        talkers.hear(at_least=1)
        # Half of the time long before the journal has begun, or in its first moments; it takes about 0.2 s.
        talkers.hear(seconds=chance.uniform(0, 0.4))
        victims = [talkers.process] if who != "journal" else []
        if who != "daemon":
            victims.append(talkers.journal())
        talkers.kill(*victims)
        if who != "journal":
            talkers.start()
    talkers.hear_until_stored()
    talkers.stop()
    assert len(talkers.heard) > 10 * N_KILLS
    assert set(talkers.heard) - talkers.stored() == set()

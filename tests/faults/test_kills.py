"""kill -9 of daemon, journal or both, at any moment: nothing that was published is missing afterwards."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack

import pytest

from tests.faults.harness import faults
from tests.journal.talker import Talkers
from tests.sockets import short_folder

WHO = {
    "daemon": "daemon killed while it publishes",
    "journal": "journal killed while it stores",
    "both": "daemon and journal killed at once",
}


@pytest.mark.parametrize("who", WHO)
def test_whoever_is_killed_nothing_that_was_published_is_missing(who: str) -> None:
    how = "kill -9 at any moment while about 800 messages a second are published, also before the journal has begun: "
    how += "in the end the journal has every message that a subscriber heard; recovered is when it has them"
    chance = random.Random(who)
    with short_folder() as folder, ExitStack() as stack:
        talkers = Talkers(folder)
        stack.callback(talkers.close)
        talkers.start()
        with faults(f"{who}_killed_talking", 14, WHO[who], how, through="real", short=4, long=100) as kept:
            for _ in range(kept.n):
                with kept.injection() as one:
                    talkers.hear(at_least=1)
                    talkers.hear(seconds=chance.uniform(0, 0.4))
                    victims = [talkers.process] if who != "journal" else []
                    victims += [talkers.journal()] if who != "daemon" else []
                    talkers.kill(*victims)
                    killed = time.monotonic()
                    if who != "journal":
                        talkers.start()
                    if chance.random() < 0.5:  # else the next one strikes those who have not yet caught up
                        before = set(talkers.heard)
                        talkers.hear_until_stored()
                        one.recovery_seconds = time.monotonic() - killed
                        one.n_hidden = len(before - talkers.stored())
            talkers.hear_until_stored()
            talkers.stop()
            kept.injections[-1].n_hidden += len(set(talkers.heard) - talkers.stored())
            kept.notes["messages published"] = len(talkers.heard)

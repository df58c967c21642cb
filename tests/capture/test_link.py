"""The agent's end of the socket, towards a daemon that asks for keys."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import zmq

from streamd import endpoints, keys
from streamd.capture import link as links
from streamd.capture.link import Link
from streamd.counters import Counters
from streamd.errors import KeysError
from streamd.gate import Gate
from streamd.keys import Permissions
from tests.sockets import PATIENCE_SECONDS, a_context, free_port


def test_an_agent_that_is_refused_says_why_and_is_let_in_once_its_key_is_authorised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "is_beyond", lambda endpoint: True)
    monkeypatch.setattr(links, "RETRY_SECONDS", 0.1)
    daemon, agent = keys.make(tmp_path / "daemon"), keys.make(tmp_path / "agent")
    keys.trust(tmp_path / "agent", "127.0.0.1", daemon.public)
    with a_context() as context, context.socket(zmq.ROUTER) as router:
        gate = Gate(context, daemon, Permissions(), Counters())
        endpoint = f"tcp://127.0.0.1:{free_port()}"
        gate.bind("audio", router, [endpoint])
        link = Link(endpoint, "attic", tmp_path / "agent")
        deadline = time.monotonic() + PATIENCE_SECONDS

        def turn() -> None:
            assert time.monotonic() < deadline, link.problem
            gate.on_readable()
            assert not link.was_lost()  # there never was a connection
            link.wait(0.01)

        while not link.problem:
            turn()
        assert link.problem == (
            f"{endpoint}: our key is refused; on 127.0.0.1: `streamd keys authorize '{agent.public}' --speak attic`,"
            " then reload"
        )
        assert not link.send([b"hello"])
        gate.admit(Permissions({agent.public: frozenset({"speak:attic"})}))
        while not link.send([b"hello"]):
            turn()
        while not router.poll(0):
            turn()
        assert link.problem == ""
        assert router.recv_multipart()[1] == b"hello"
        link.close(0)
        gate.close()


def test_without_the_key_of_its_daemon_an_agent_does_not_begin(tmp_path: Path) -> None:
    keys.make(tmp_path)
    with pytest.raises(KeysError, match=r"of the daemon on hall is not known; .*`streamd keys trust hall 'KEY'`"):
        Link("tcp://hall:5556", "attic", tmp_path)

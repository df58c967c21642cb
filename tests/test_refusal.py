from __future__ import annotations

from pathlib import Path

import pytest
import zmq

from streamd import keys, refusal

ENDPOINT = "tcp://hall:5555"


def test_a_refused_key_is_told_with_what_to_do_about_it(tmp_path: Path) -> None:
    ours = keys.make(tmp_path).public
    assert refusal.in_words(zmq.EVENT_HANDSHAKE_FAILED_AUTH, ENDPOINT, "--listen", tmp_path) == (
        f"{ENDPOINT}: our key is refused; on hall: `streamd keys authorize '{ours}' --listen`, then reload"
    )


@pytest.mark.parametrize("kind", [zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL])
def test_a_daemon_that_has_another_key_is_told(tmp_path: Path, kind: int) -> None:
    assert "is the key of hall in `streamd keys list` here the one" in refusal.in_words(kind, ENDPOINT, "", tmp_path)


def test_who_is_let_in_has_no_problem(tmp_path: Path) -> None:
    assert refusal.in_words(zmq.EVENT_HANDSHAKE_SUCCEEDED, ENDPOINT, "", tmp_path) == ""
    assert refusal.in_words(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, "ipc:///run/x", "", tmp_path) == ""

"""Who gets in: real CURVE on real sockets, bound as a daemon binds them."""

from __future__ import annotations

import os
import socket as sockets
import stat
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq

from streamd import endpoints, gate, keys
from streamd.counters import Counters
from streamd.errors import EndpointError
from streamd.gate import MAX_LINES, Gate
from streamd.keys import KeyPair, Permissions
from tests.sockets import PATIENCE_SECONDS, Context, a_context, files_left, free_port, short_folder


def a_pair() -> KeyPair:
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())


DAEMON, LISTENER, AGENT, STRANGER = (a_pair() for _ in range(4))
PERMISSIONS = Permissions(
    {LISTENER.public: frozenset({"listen"}), AGENT.public: frozenset({"speak:attic", "speak:porch"})},
    frozenset({"attic"}),
)


@dataclass
class Door:
    """A ROUTER behind a gate, with one endpoint for those who have keys, and one for this machine."""

    context: Context
    gate: Gate
    socket: zmq.Socket[bytes]
    counters: Counters
    guarded: str
    plain: str

    def counted(self, name: str) -> int:
        self.gate.count()
        return self.counters.read().get(name, 0)

    def work(self, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not until():
            assert time.monotonic() < deadline, self.counters.read()
            assert self.gate.socket is not None
            if self.gate.socket.poll(2):
                self.gate.on_readable()

    def knock(self, endpoint: str, pair: KeyPair | None = None, server: str = DAEMON.public) -> zmq.Socket[bytes]:
        other = self.context.socket(zmq.DEALER)
        other.setsockopt(zmq.LINGER, 0)
        other.setsockopt(zmq.RECONNECT_IVL, -1)  # once is enough
        if pair is not None:
            arm(other, pair, server)
        other.connect(endpoint)
        with suppress(zmq.Again):  # it may have been refused already
            other.send(b"hello", zmq.NOBLOCK)
        return other


def arm(socket: zmq.Socket[bytes], pair: KeyPair, server: str) -> None:
    socket.setsockopt_string(zmq.CURVE_SECRETKEY, pair.secret)
    socket.setsockopt_string(zmq.CURVE_PUBLICKEY, pair.public)
    socket.setsockopt_string(zmq.CURVE_SERVERKEY, server)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    # 127.0.0.2 stands for an address of the network.
    monkeypatch.setattr(endpoints, "is_beyond", lambda endpoint: endpoint.startswith("tcp://127.0.0.2"))
    with short_folder() as folder, a_context() as context:
        counters = Counters()
        gate = Gate(context, DAEMON, PERMISSIONS, counters)
        socket = context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.HANDSHAKE_IVL, 500)
        plain, guarded = f"ipc://{folder}/audio.sock", f"tcp://127.0.0.2:{free_port('127.0.0.2')}"
        gate.bind("audio", socket, [guarded, plain])
        yield Door(context, gate, socket, counters, guarded, plain)
        gate.close()


def test_a_key_that_may_speak_gets_in_and_is_known(door: Door) -> None:
    with door.knock(door.guarded, AGENT):
        door.work(lambda: bool(door.socket.poll(0)))
        sender = door.socket.recv(copy=False)
    assert door.gate.key_of(sender) == AGENT.public
    assert door.counted("connections.accepted") == door.counted("connections.established") == 1
    assert door.counted("auth.refused") == 0


@pytest.mark.parametrize("who", ["listener", "stranger", "expects another daemon", "plain"])
def test_who_may_not_come_in_is_not_heard_and_counted(door: Door, who: str, caplog: pytest.LogCaptureFixture) -> None:
    pair = {"listener": LISTENER, "stranger": STRANGER, "expects another daemon": AGENT, "plain": None}[who]
    server = STRANGER.public if who == "expects another daemon" else DAEMON.public
    with door.knock(door.guarded, pair, server):
        door.work(lambda: door.counted("auth.refused") == 1)
        assert not door.socket.poll(50)
    assert (door.counted("connections.accepted"), door.counted("connections.established")) == (1, 0)
    assert len(caplog.records) == 1
    if who in ("listener", "stranger"):
        assert pair is not None
        assert f"key '{pair.public}' from 127.0.0.1" in caplog.text


def test_this_machine_needs_no_key_and_has_none(door: Door) -> None:
    with door.knock(door.plain):
        door.work(lambda: bool(door.socket.poll(0)))
        sender = door.socket.recv(copy=False)
    assert door.gate.key_of(sender) is None


@pytest.mark.parametrize(
    "claim",
    [AGENT.public.encode(), bytes(32) + AGENT.public.encode(), b"\xff", b""],
    ids=["a key", "bytes and a key", "no text", "nothing"],
)
def test_who_claims_a_key_without_showing_it_has_none(door: Door, claim: bytes) -> None:
    with sockets.socket(sockets.AF_UNIX) as liar:
        liar.connect(door.plain.removeprefix("ipc://"))
        liar.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))  # ZMTP 3.0
        said = {b"Socket-Type": b"DEALER", b"User-Id": claim}
        ready = b"\x05READY" + b"".join(
            bytes([len(name)]) + name + struct.pack(">I", len(value)) + value for name, value in said.items()
        )
        liar.sendall(bytes([4, len(ready)]) + ready)
        liar.settimeout(PATIENCE_SECONDS)
        theirs = b""
        while b"Identity" not in theirs:  # the end of their own READY, before which nothing may be said
            theirs += liar.recv(4096)
        liar.sendall(b"\x00\x05hello")
        door.work(lambda: bool(door.socket.poll(0)))
        sender = door.socket.recv(copy=False)
        assert door.socket.recv() == b"hello"
    assert door.gate.key_of(sender) is None


def test_more_connections_than_can_be_counted_are_let_go_of_and_the_next_ones_counted(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def came(n: int) -> list[zmq.Socket[bytes]]:
        peers = [door.knock(door.plain) for _ in range(n)]
        for _ in peers:
            assert door.socket.poll(1000 * PATIENCE_SECONDS)
            door.socket.recv_multipart()
        return peers

    peers = came(20)
    with monkeypatch.context() as patched:
        patched.setattr(gate, "MAX_COUNTED_AT_ONCE", 10)
        counted = [door.counted(f"connections.{name}") for name in ("accepted", "established")]
        assert sum(counted) == 10
        assert door.counted("connections.uncounted") == 1
    before = door.counted("connections.established")
    peers += came(3)
    door.work(lambda: door.counted("connections.established") == before + 3)
    assert door.counted("connections.uncounted") == 1
    for peer in peers:
        peer.close()


@pytest.mark.parametrize("n_files", [0, 1])
def test_a_flood_that_leaves_no_file_is_let_go_of_and_who_connects_after_it_is_counted(
    door: Door, monkeypatch: pytest.MonkeyPatch, n_files: int
) -> None:
    peers = [door.knock(door.plain) for _ in range(20)]
    for _ in peers:
        assert door.socket.poll(1000 * PATIENCE_SECONDS)
        door.socket.recv_multipart()
    with monkeypatch.context() as patched, files_left(n_files):
        patched.setattr(gate, "MAX_COUNTED_AT_ONCE", 10)
        door.gate.count()
        counted = door.counters.read()
        assert counted["connections.accepted"] + counted["connections.established"] == 10
        assert counted["connections.uncounted"] == 1
    door.gate.count()
    before = door.counted("connections.established")
    peers.append(door.knock(door.plain))
    door.work(lambda: door.counted("connections.established") == before + 1)
    for peer in peers:
        peer.close()


def test_who_asks_for_control_is_heard_no_more_once_its_key_is_taken_away(door: Door) -> None:
    may_ask = frozenset({"control"})
    door.gate.admit(Permissions({LISTENER.public: may_ask, AGENT.public: may_ask}))
    server = door.context.socket(zmq.ROUTER)
    endpoint = f"tcp://127.0.0.2:{free_port('127.0.0.2')}"
    door.gate.bind("control", server, [endpoint])
    with door.context.socket(zmq.DEALER) as asker, server:
        arm(asker, AGENT, DAEMON.public)
        asker.connect(endpoint)
        asker.send(b"status")
        door.work(lambda: bool(server.poll(0)))
        server.recv_multipart()
        refused = door.counted("auth.refused")
        door.gate.admit(Permissions({LISTENER.public: may_ask}))
        asker.send(b"reload")  # by the open connection, or by the one that comes in its place
        door.work(lambda: bool(server.poll(0)) or door.counted("auth.refused") > refused)
        assert not server.poll(50)


def test_nobody_gets_in_while_nobody_answers(door: Door) -> None:
    with door.knock(door.guarded, AGENT):
        assert not door.socket.poll(700)  # longer than a handshake may take
        assert door.counted("connections.established") == 0


def test_permissions_may_change_while_it_runs(door: Door) -> None:
    with door.knock(door.guarded, STRANGER):
        door.work(lambda: door.counted("auth.refused") == 1)
    door.gate.admit(Permissions({STRANGER.public: frozenset({"speak:porch"})}))
    with door.knock(door.guarded, STRANGER):
        door.work(lambda: bool(door.socket.poll(0)))


def test_an_endpoint_that_is_still_cut_off_holds_up_neither_another_revocation_nor_the_other_endpoints(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = frozenset({"listen", "control"})
    publisher, control = door.context.socket(zmq.XPUB), door.context.socket(zmq.ROUTER)
    asked, told = (f"tcp://127.0.0.2:{free_port('127.0.0.2')}" for _ in range(2))
    door.gate.admit(Permissions({pair.public: both for pair in (LISTENER, AGENT, STRANGER)}))
    door.gate.bind("events", publisher, [told])
    door.gate.bind("control", control, [asked])
    bind = endpoints.bind

    def bind_what_is_there(socket: zmq.Socket[bytes], endpoint: str) -> None:
        if endpoint == told:
            raise EndpointError(f"{endpoint}: can't listen there: Cannot assign requested address")
        bind(socket, endpoint)

    with monkeypatch.context() as patched:
        patched.setattr(endpoints, "bind", bind_what_is_there)  # as while Wi-Fi is down
        door.gate.admit(Permissions({pair.public: both for pair in (LISTENER, AGENT)}))
        door.gate.admit(Permissions({LISTENER.public: both}))
        with door.context.socket(zmq.DEALER) as asker:
            arm(asker, LISTENER, DAEMON.public)
            asker.connect(asked)
            asker.send(b"status")
            door.work(lambda: (door.gate.count(), bool(control.poll(0)))[1])
    with door.context.socket(zmq.SUB) as ear:
        arm(ear, LISTENER, DAEMON.public)
        ear.subscribe("")
        ear.connect(told)
        door.work(lambda: (door.gate.count(), bool(publisher.poll(0)))[1])
    publisher.close(0)
    control.close(0)


@pytest.mark.parametrize("host", ["*", "lo"])
def test_a_key_can_be_taken_away_where_an_endpoint_names_no_address(
    host: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    # ZeroMQ lets go of what it has bound by its address alone.
    may_ask = frozenset({"control"})
    port = free_port()
    monkeypatch.setattr(endpoints, "is_beyond", lambda endpoint: True)
    with door.context.socket(zmq.ROUTER) as server, door.context.socket(zmq.DEALER) as asker:
        door.gate.admit(Permissions({LISTENER.public: may_ask, AGENT.public: may_ask}))
        door.gate.bind("control", server, [f"tcp://{host}:{port}"])
        arm(asker, AGENT, DAEMON.public)
        asker.connect(f"tcp://127.0.0.1:{port}")
        asker.send(b"status")
        door.work(lambda: bool(server.poll(0)))
        server.recv_multipart()
        refused = door.counted("auth.refused")
        door.gate.admit(Permissions({LISTENER.public: may_ask}))
        # Its connection is cut off, and it comes back.
        door.work(lambda: not server.poll(0) and door.counted("auth.refused") > refused)


def test_a_listener_whose_key_is_taken_away_hears_no_more_and_the_others_are_back(door: Door) -> None:
    public, secret = zmq.curve_keypair()
    other = KeyPair(public.decode(), secret.decode())
    both, one = ({pair.public: frozenset({"listen"}) for pair in pairs} for pairs in ((LISTENER, other), (LISTENER,)))
    door.gate.admit(Permissions(both))
    publisher = door.context.socket(zmq.XPUB)
    publisher.setsockopt(zmq.XPUB_VERBOSE, 1)
    endpoint = f"tcp://127.0.0.2:{free_port('127.0.0.2')}"
    door.gate.bind("events", publisher, [endpoint])
    ears = []
    for pair in (LISTENER, other):
        ears.append(door.context.socket(zmq.SUB))
        arm(ears[-1], pair, DAEMON.public)
        ears[-1].subscribe(pair.public)
        ears[-1].connect(endpoint)
    hellos: list[bytes] = []

    def has_greeted(n: int) -> bool:
        for ear in ears:
            ear.poll(0)  # a subscriber that does nothing does not subscribe again either
        while publisher.poll(0):
            hellos.append(publisher.recv())
        return sum(hello[:1] == b"\x01" for hello in hellos) >= n

    door.work(lambda: has_greeted(2))
    refused = door.counted("auth.refused")
    door.gate.admit(Permissions(one))
    door.work(lambda: has_greeted(3) and door.counted("auth.refused") > refused)
    assert hellos[-1] == b"\x01" + LISTENER.public.encode()
    for pair in (LISTENER, other):
        publisher.send(pair.public.encode())
    assert ears[0].poll(1000 * PATIENCE_SECONDS)
    assert not ears[1].poll(50)
    for each in (publisher, *ears):
        each.close(0)


def test_an_agent_speaks_for_its_own_sources_and_else_is_counted(door: Door) -> None:
    assert door.gate.may_speak(AGENT.public, "attic")
    assert not door.gate.may_speak(AGENT.public, "kitchen")
    assert not door.gate.may_speak(None, "attic")
    assert door.gate.may_speak(None, "kitchen")
    assert door.counted("auth.refused") == 2


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)), b"\xff" + bytes(8) + b"\x7f" * 90])
@pytest.mark.parametrize("at", ["guarded", "plain"])
def test_what_is_no_zeromq_is_accepted_and_never_established(door: Door, data: bytes, at: str) -> None:
    kind = sockets.AF_UNIX if at == "plain" else sockets.AF_INET
    host, _, port = door.guarded.removeprefix("tcp://").partition(":")
    with sockets.socket(kind) as one:
        one.connect(door.plain.removeprefix("ipc://") if at == "plain" else (host, int(port)))
        one.sendall(data)
        door.work(lambda: door.counted("connections.accepted") == 1)
        one.settimeout(PATIENCE_SECONDS)
        if at == "guarded":  # it is cut off, at the latest when a handshake has taken too long
            with_all = b""
            try:
                while piece := one.recv(4096):
                    with_all += piece
            except ConnectionResetError:
                pass
    assert door.counted("connections.established") == 0


def test_strangers_without_end_do_not_fill_the_log(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    for i in range(2 * MAX_LINES):
        door.gate.may_speak(AGENT.public, f"room-{i}")
    assert len(caplog.records) == MAX_LINES
    assert door.counted("auth.refused") == 2 * MAX_LINES


def test_without_keys_nothing_beyond_this_machine_is_bound() -> None:
    with a_context() as context, context.socket(zmq.XPUB) as socket:
        gate = Gate(context, None, Permissions(), Counters())
        assert gate.socket is None
        with pytest.raises(EndpointError, match=r"^tcp://0.0.0.0:5555: beyond this machine it needs keys"):
            gate.bind("events", socket, ["tcp://0.0.0.0:5555"])
        assert socket.closed
        gate.close()


@pytest.mark.parametrize(
    ("folder_mode", "modes"),
    [
        (0o700, {"events": 0o600, "audio": 0o600, "control": 0o600}),
        (0o750, {"events": 0o660, "audio": 0o600, "control": 0o600}),
        (0o755, {"events": 0o600, "audio": 0o600, "control": 0o600}),
    ],
)
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_sockets_are_their_users_and_events_their_groups_if_the_folder_is(
    folder_mode: int, modes: dict[endpoints.Word, int], umask: int
) -> None:
    with short_folder() as folder, a_context() as context:
        folder.chmod(folder_mode)
        gate = Gate(context, None, Permissions(), Counters())
        bound = [context.socket(zmq.ROUTER) for _ in modes]
        before = os.umask(umask)
        try:
            for word, socket in zip(modes, bound, strict=True):
                gate.bind(word, socket, [f"ipc://{folder}/{word}.sock"])
        finally:
            assert os.umask(before) == umask
        assert {word: stat.S_IMODE((folder / f"{word}.sock").stat().st_mode) for word in modes} == modes
        for socket in bound:
            socket.close()
        gate.close()


def test_a_client_is_armed_for_the_daemon_that_its_folder_knows(tmp_path: Path, door: Door) -> None:
    pair = keys.make(tmp_path)
    keys.trust(tmp_path, "127.0.0.2", DAEMON.public)
    door.gate.admit(Permissions({pair.public: frozenset({"speak:porch"})}))
    with door.context.socket(zmq.DEALER) as client:
        endpoints.connect(client, door.guarded, tmp_path)
        client.send(b"hello")
        door.work(lambda: bool(door.socket.poll(0)))

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import zmq

from streamd import control, requests
from streamd.control import MAX_AT_ONCE, MAX_REQUEST_BYTES, ControlServer, ask, ask_reload, statuses
from streamd.counters import Counters
from streamd.errors import EndpointError, MessageError
from streamd.requests import Answer, Refused, Reloading, ReloadReport, Request, Status, StatusRequest
from tests.sockets import PATIENCE_MS, PATIENCE_SECONDS, Context, a_context, short_folder

STATUS = Status(
    version="0.1.0",
    run="3f2a",
    host="pi",
    pid=12,
    uptime_seconds=3.5,
    endpoints={"events": "ipc:///run/streamd/events.sock"},
    sources=[],
    models=[],
    counters={"published.event": 3},
)


@pytest.fixture
def context() -> Iterator[Context]:
    with a_context() as context:
        yield context


@pytest.fixture
def endpoint() -> Iterator[str]:
    with short_folder() as folder:
        yield f"ipc://{folder}/control.sock"


class Daemon:
    """A daemon that answers control and does nothing else, in a thread of its own."""

    def __init__(self, context: Context, endpoint: str, answer: Callable[[Request], Answer]) -> None:
        self.counters = Counters()
        self._stop = threading.Event()
        self._server = ControlServer(context, [endpoint], answer, self.counters)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._server.socket.poll(5):
                self._server.on_readable()
        self._server.close()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def daemon(context: Context, endpoint: str) -> Iterator[Daemon]:
    daemon = Daemon(context, endpoint, lambda request: STATUS)
    yield daemon
    daemon.stop()


def test_a_question_gets_its_answer(daemon: Daemon, endpoint: str) -> None:
    for _ in range(3):
        assert ask(StatusRequest(), endpoint, PATIENCE_SECONDS) == STATUS
    assert daemon.counters.read() == {"control.answered": 3}


@pytest.mark.parametrize(
    "frame",
    [b"", b"[]", b'{"ask": "reboot"}', b"\xff\xfe", b'{"ask": "\xff"}', b'{"ask": "status", "x": ' + b"[" * 60_000],
)
def test_what_is_no_request_is_refused_and_counted(
    context: Context, daemon: Daemon, endpoint: str, frame: bytes
) -> None:
    with context.socket(zmq.REQ) as asker:
        asker.connect(endpoint)
        asker.send(frame)
        assert asker.poll(PATIENCE_MS)
        answer = requests.decode_answer(asker.recv())
        assert isinstance(answer, Refused)
        assert answer.reason.startswith("request that is not understood: ")
    assert daemon.counters.read() == {"control.refused": 1}
    assert ask(StatusRequest(), endpoint, PATIENCE_SECONDS) == STATUS


def test_a_dealer_gets_back_what_it_put_before_its_request(context: Context, daemon: Daemon, endpoint: str) -> None:
    with context.socket(zmq.DEALER) as asker:
        asker.connect(endpoint)
        for address in ([], [b""], [b"question 7", b""]):
            asker.send_multipart([*address, requests.encode(StatusRequest())])
            assert asker.poll(PATIENCE_MS)
            *echo, answer = asker.recv_multipart()
            assert echo == address
            assert requests.decode_answer(answer) == STATUS
    assert daemon.counters.read() == {"control.answered": 3}


def test_a_request_too_large_disturbs_nobody(context: Context, daemon: Daemon, endpoint: str) -> None:
    with context.socket(zmq.REQ) as rude:
        rude.setsockopt(zmq.LINGER, 0)
        rude.connect(endpoint)
        rude.send(b" " * (MAX_REQUEST_BYTES + 1))
        assert ask(StatusRequest(), endpoint, PATIENCE_SECONDS) == STATUS
        assert not rude.poll(0)
    assert daemon.counters.read() == {"control.answered": 1}


def test_a_flood_of_questions_is_answered_a_few_at_a_time(context: Context, endpoint: str) -> None:
    server = ControlServer(context, [endpoint], lambda request: STATUS, counters := Counters())
    with context.socket(zmq.DEALER) as asker:
        asker.connect(endpoint)
        for _ in range(3 * MAX_AT_ONCE):
            asker.send(requests.encode(StatusRequest()))
        assert server.socket.poll(PATIENCE_MS)
        server.on_readable()
        assert 1 <= counters.read()["control.answered"] <= MAX_AT_ONCE
        while counters.read()["control.answered"] < 3 * MAX_AT_ONCE:
            assert server.socket.poll(PATIENCE_MS)
            server.on_readable()
        for _ in range(3 * MAX_AT_ONCE):
            assert asker.poll(PATIENCE_MS)
            asker.recv()
    server.close()


def test_who_asks_and_leaves_holds_nobody_up(context: Context, endpoint: str) -> None:
    server = ControlServer(context, [endpoint], lambda request: STATUS, Counters())
    with context.socket(zmq.REQ) as asker:
        asker.connect(endpoint)
        asker.send(requests.encode(StatusRequest()))
        assert server.socket.poll(PATIENCE_MS)
    server.on_readable()
    server.close()


def test_nobody_who_answers_is_one_clear_line(endpoint: str) -> None:
    with pytest.raises(EndpointError, match=rf"^{endpoint}: no answer within 0.05 s; does a daemon run there\?$"):
        ask(StatusRequest(), endpoint, timeout_seconds=0.05)


def test_without_an_endpoint_it_names_where_it_looked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/nowhere")
    monkeypatch.setattr("streamd.endpoints.SYSTEM_FOLDER", tmp_path)
    with pytest.raises(EndpointError, match=r"no daemon answers at ipc:///nowhere/control.sock \("):
        ask(StatusRequest())


def test_an_answer_of_another_version_is_a_message_error(context: Context, endpoint: str) -> None:
    other = context.socket(zmq.REP)
    other.bind(endpoint)

    def answer() -> None:
        other.recv()
        other.send(b'{"answer": "maybe"}')

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(MessageError, match="answer that is not understood"):
        ask(StatusRequest(), endpoint, PATIENCE_SECONDS)
    thread.join()
    other.close()


def test_an_endpoint_that_cant_be_bound_is_one_clear_line(context: Context) -> None:
    with pytest.raises(EndpointError, match=r"^tcp://256.0.0.1:1: can't listen there: "):
        ControlServer(context, ["tcp://256.0.0.1:1"], lambda request: STATUS, Counters())


@contextmanager
def a_script(context: Context, endpoint: str, answers: Sequence[Answer | None]) -> Iterator[None]:
    """A daemon that gives these answers in turn, None for none at all, and ends."""

    def run(socket: zmq.Socket[bytes]) -> None:
        for answer in answers:
            assert socket.poll(PATIENCE_MS)
            asker, empty, _ = socket.recv_multipart()
            if answer is not None:
                socket.send_multipart([asker, empty, requests.encode(answer)])
        socket.close()

    with context.socket(zmq.ROUTER) as socket:
        socket.bind(endpoint)
        thread = threading.Thread(target=run, args=(socket,))
        thread.start()
        yield
        thread.join()


def reloaded(outcome: str) -> Status:
    return msgspec.structs.replace(STATUS, reload=ReloadReport(number=1, outcome=outcome))  # type: ignore[arg-type]


def test_a_look_without_an_answer_does_not_end_the_wait_for_a_reload(context: Context, endpoint: str) -> None:
    with a_script(context, endpoint, [Reloading(number=1), reloaded("loading"), None, reloaded("done")]):
        assert ask_reload(endpoint, PATIENCE_SECONDS).outcome == "done"


def test_a_daemon_that_is_started_again_ends_the_wait_for_a_reload(context: Context, endpoint: str) -> None:
    other = msgspec.structs.replace(STATUS, run="another")
    with (
        a_script(context, endpoint, [Reloading(number=1), reloaded("loading"), other]),
        pytest.raises(EndpointError, match="started again during the reload"),
    ):
        ask_reload(endpoint, PATIENCE_SECONDS)


def test_a_daemon_that_ends_ends_the_wait_for_a_reload(context: Context, endpoint: str) -> None:
    with (
        a_script(context, endpoint, [Reloading(number=1), reloaded("loading"), None]),
        pytest.raises(EndpointError, match=r"the daemon ended during the reload \(.*\); its log says why$"),
    ):
        ask_reload(endpoint, PATIENCE_SECONDS)


def test_systemctl_reload_waits_longer_than_the_command_it_runs() -> None:
    unit = Path(__file__).parents[1] / "systemd" / "streamd@.service"
    (most,) = [line for line in unit.read_text().splitlines() if line.startswith("TimeoutStartSec=")]
    assert int(most.partition("=")[2]) > control.RELOAD_SECONDS


def test_who_watches_is_told_that_there_is_no_answer_and_goes_on(
    context: Context, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "WATCH_SECONDS", 0.01)
    with a_script(context, endpoint, [None, STATUS]):
        watched = statuses(STATUS, endpoint)
        first, second, third = next(watched), next(watched), next(watched)
    assert first == third == STATUS
    assert isinstance(second, EndpointError)

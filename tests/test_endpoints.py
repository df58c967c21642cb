from __future__ import annotations

import grp
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamd import endpoints
from streamd.config import Endpoints
from streamd.endpoints import MAX_PATH_BYTES, Lock, default_endpoints, find, places, runtime_folder
from streamd.errors import EndpointError
from streamd.subscribe import Subscription
from tests.sockets import Context, a_context, a_publisher, short_folder


@pytest.fixture
def context() -> Iterator[Context]:
    with a_context() as context:
        yield context


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for everything: nothing outside of it is looked at."""
    with short_folder() as folder:
        monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        monkeypatch.setattr(endpoints, "SYSTEM_FOLDER", folder / "system")
        yield folder


def test_the_folder_is_systemds_then_the_sessions_then_a_private_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{folder}/one:{folder}/two")
    assert runtime_folder() == folder / "one"
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    assert runtime_folder() == folder / "run" / "streamd"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert runtime_folder() == folder / f"streamd-{os.getuid()}"
    assert list(folder.iterdir()) == []  # to look makes nothing


def test_a_private_folder_is_made_for_its_user_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    with Lock(runtime_folder(), "x.yaml"):
        assert runtime_folder().stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["open to others", "a link", "a file"])
def test_a_folder_that_somebody_else_may_have_made_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    private = folder / f"streamd-{os.getuid()}"
    if kind == "open to others":
        private.mkdir()
        private.chmod(0o750)
    elif kind == "a link":
        (folder / "elsewhere").mkdir(mode=0o700)
        private.symlink_to(folder / "elsewhere")
    else:
        private.touch(mode=0o600)
    expectation = rf"^{private}: .*; expected a folder of user \d+ that nobody else may enter"
    with pytest.raises(EndpointError, match=expectation):
        runtime_folder()
    with pytest.raises(EndpointError):
        Lock(private, "x.yaml")
    with pytest.raises(EndpointError, match=f"start one with `streamd run`. Not looked into: {expectation[1:]}"):
        find("events")


@pytest.mark.parametrize("has_session", [True, False])
def test_a_folder_that_somebody_else_has_made_hides_no_system_service(
    folder: Path, context: Context, monkeypatch: pytest.MonkeyPatch, has_session: bool
) -> None:
    if not has_session:
        monkeypatch.delenv("XDG_RUNTIME_DIR")
    squatted = folder / f"streamd-{os.getuid()}"
    squatted.mkdir()
    squatted.chmod(0o777)
    thieves = a_publisher(context, default_endpoints(squatted)["events"])
    Subscription().close()  # would wait
    (folder / "system" / "main").mkdir(parents=True)
    system = default_endpoints(folder / "system" / "main")["events"]
    publisher = a_publisher(context, system)
    assert find("events") == system
    with Subscription() as subscription:
        assert subscription.endpoint == system
    publisher.close()
    thieves.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    private = folder / "streamd-0"
    private.mkdir(mode=0o700)
    os.chown(private, 12345, 12345)
    with pytest.raises(EndpointError, match="of user 12345; expected a folder of user 0"):
        runtime_folder()


def test_every_word_has_its_endpoint(folder: Path) -> None:
    assert default_endpoints(folder) == {
        "events": f"ipc://{folder}/events.sock",
        "audio": f"ipc://{folder}/audio.sock",
        "control": f"ipc://{folder}/control.sock",
        "history": f"ipc://{folder}/history.sock",
    }


def test_a_path_too_long_for_a_socket_is_refused_and_the_longest_works(folder: Path, context: Context) -> None:
    longest = folder / ("x" * (MAX_PATH_BYTES - len(f"{folder}/")))
    a_publisher(context, f"ipc://{longest}").close()
    with pytest.raises(EndpointError, match=f"a path of {MAX_PATH_BYTES + 1} bytes; a socket's has at most"):
        a_publisher(context, f"ipc://{longest}x")
    with pytest.raises(EndpointError, match="use a shorter folder"):
        default_endpoints(folder / ("é" * 60))


def test_the_users_own_daemon_is_found_before_the_systems(folder: Path, context: Context) -> None:
    mine, system = places("events")
    with pytest.raises(EndpointError) as caught:
        find("events")
    assert str(caught.value) == (
        f"no daemon answers at {mine} (no such file or directory) or {system} (no such file or directory);"
        " start one with `streamd run`"
    )
    publishers = []
    for endpoint in (system, mine):
        Path(endpoint.removeprefix("ipc://")).parent.mkdir(parents=True)
        publishers.append(a_publisher(context, endpoint))
        assert find("events") == endpoint
    for publisher in publishers:
        publisher.close()


def test_a_system_service_is_found_whatever_its_name(folder: Path, context: Context) -> None:
    porch = default_endpoints(folder / "system" / "porch")["events"]
    (folder / "system" / "porch").mkdir(parents=True)
    (folder / "system" / "attic").mkdir()  # of one that does not run
    publisher = a_publisher(context, porch)
    assert find("events") == porch
    publisher.close()


def test_who_is_of_a_system_service_finds_no_other(
    folder: Path, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "system" / "porch").mkdir(parents=True)
    publisher = a_publisher(context, default_endpoints(folder / "system" / "porch")["control"])
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder / "system" / "main"))
    with pytest.raises(EndpointError, match=f"^no daemon answers at ipc://{folder}/system/main/control.sock "):
        find("control")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder / "a-program-of-yours"))
    assert find("control").endswith("/porch/control.sock")
    publisher.close()


NOBODY = 65534


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_who_may_not_use_a_services_socket_is_told_who_may(folder: Path, context: Context) -> None:
    service = folder / "system" / "main"
    service.mkdir(parents=True)
    folder.chmod(0o755)
    publisher = a_publisher(context, default_endpoints(service)["events"])
    socket = service / "events.sock"
    group = grp.getgrgid(NOBODY).gr_name

    def told_to_daemon() -> str:
        program = f"""if True:
            import os, sys
            from pathlib import Path
            from streamd import endpoints
            os.setgroups([]); os.setgid(1); os.setuid(1)
            endpoints.SYSTEM_FOLDER = Path({str(service.parent)!r})
            os.environ.update(XDG_RUNTIME_DIR="/nonexistent")
            os.environ.pop("RUNTIME_DIRECTORY", None)
            try:
                sys.exit(endpoints.find("events"))
            except endpoints.EndpointError as error:
                sys.exit(str(error))
        """
        result = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, check=False)
        return result.stderr.strip()

    os.chown(socket, NOBODY, NOBODY)
    os.chown(service, NOBODY, NOBODY)
    service.chmod(0o750)
    socket.chmod(0o660)
    assert f"(only group {group} may use it: `sudo adduser daemon {group}`, then log in again)" in told_to_daemon()
    service.chmod(0o755)
    assert f"(only group {group} may use it: " in told_to_daemon()
    socket.chmod(0o600)
    assert "(only user nobody may use it: `sudo -u nobody streamd ...`)" in told_to_daemon()
    socket.chmod(0o666)
    assert told_to_daemon() == f"ipc://{socket}"
    publisher.close()


def test_a_daemon_that_was_started_outside_of_a_session_is_found_from_within_one(
    folder: Path, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as as_cron:
        as_cron.delenv("XDG_RUNTIME_DIR")
        theirs = runtime_folder()
        endpoint = default_endpoints(theirs)["events"]
    theirs.mkdir(mode=0o700)
    publisher = a_publisher(context, endpoint)
    assert find("events") == endpoint
    theirs.chmod(0o755)  # anybody's, as far as we can tell
    with pytest.raises(EndpointError):
        find("events")
    publisher.close()


def test_a_socket_that_a_killed_daemon_left_is_not_found(folder: Path) -> None:
    path = Path(places("events")[0].removeprefix("ipc://"))
    path.parent.mkdir(parents=True)
    program = f"import os, socket; socket.socket(socket.AF_UNIX).bind({str(path)!r}); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    with pytest.raises(EndpointError, match=r"events.sock \(connection refused\)"):
        find("events")


def test_a_second_daemon_is_told_who_holds_the_folder(folder: Path) -> None:
    with Lock(folder / "run", "/etc/kitchen.yaml"), pytest.raises(EndpointError) as caught:
        Lock(folder / "run", "other.yaml")
    assert str(caught.value) == (
        f"{folder}/run is held by another daemon (pid {os.getpid()}, /etc/kitchen.yaml): stop that one,"
        " or set RUNTIME_DIRECTORY to another folder for a second"
    )
    with Lock(folder / "run", "other.yaml"):
        pass  # it is free again


def test_a_killed_daemon_holds_nothing_and_its_sockets_go(folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from streamd.endpoints import Lock;"
        f"lock = Lock(Path({str(folder)!r}), 'x'); print('held', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline() == b"held\n"
    with pytest.raises(EndpointError, match=f"pid {child.pid}, x"):
        Lock(folder, "y")
    (folder / "events.sock").touch()
    child.kill()
    child.communicate()
    with Lock(folder, "y"):
        assert [file.name for file in folder.iterdir()] == ["lock"]


def test_a_folder_that_cant_be_made_is_one_clear_line(folder: Path) -> None:
    (folder / "run").touch()
    with pytest.raises(EndpointError, match=r"lock: Not a directory; set RUNTIME_DIRECTORY to a folder of yours$"):
        Lock(folder / "run" / "streamd", "x.yaml")


@pytest.mark.parametrize("content", [b"", b"\xff", b"12", b'{"pid": "x"}'])
def test_a_lock_that_says_nothing_is_held_by_another_daemon(folder: Path, content: bytes) -> None:
    with Lock(folder, "x.yaml") as lock:
        lock.path.write_bytes(content)
        with pytest.raises(EndpointError, match="is held by another daemon: stop that one"):
            Lock(folder, "y.yaml")


def test_a_socket_that_somebody_listens_at_is_not_taken_over(folder: Path, context: Context) -> None:
    endpoint = f"ipc://{folder}/events"
    first = a_publisher(context, endpoint)
    with pytest.raises(EndpointError, match="another process listens there"):
        a_publisher(context, endpoint)
    first.close()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), ["ipc:///d/events.sock"]),
        (("ipc:///x", "tcp://127.0.0.1:1"), ["ipc:///x", "tcp://127.0.0.1:1"]),
        (("tcp://0.0.0.0:1",), ["ipc:///d/events.sock", "tcp://0.0.0.0:1"]),
        (("tcp://0.0.0.0:1", "tcp://localhost:2"), ["tcp://localhost:2", "tcp://0.0.0.0:1"]),
    ],
)
def test_this_machine_is_always_served_and_first(given: tuple[str, ...], expected: list[str]) -> None:
    found = endpoints.listen_at(Path("/d"), Endpoints(events=given))
    assert list(found["events"]) == expected
    assert found["audio"] == ("ipc:///d/audio.sock",)


def test_control_is_always_where_who_knows_the_folder_alone_finds_it() -> None:
    where = endpoints.listen_at(Path("/d"), Endpoints(control=("ipc:///x",)))["control"]
    assert where == ("ipc:///x", "ipc:///d/control.sock")
    assert endpoints.listen_at(Path("/d"), Endpoints(control=where))["control"] == where


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("ipc:///run/x", False),
        ("tcp://127.0.0.1:5555", False),
        ("tcp://127.9.9.9:5555", False),
        ("tcp://localhost:5555", False),
        ("tcp://[::1]:5555", False),
        ("tcp://0.0.0.0:5555", True),
        ("tcp://*:5555", True),
        ("tcp://[::]:5555", True),
        ("tcp://192.168.1.5:5555", True),
        ("tcp://hall:5555", True),
        ("tcp://hall.lan;192.168.1.5:5555", True),
        ("tcp://127.0.0.1;192.168.1.5:5555", True),
        ("tcp://127.0.0.1.example.org:5555", True),
        ("tcp://eth0:5555", True),
    ],
)
def test_what_lies_beyond_this_machine(endpoint: str, expected: bool) -> None:
    assert endpoints.is_beyond(endpoint) == expected

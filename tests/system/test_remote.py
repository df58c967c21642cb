"""A daemon on one host, agents and listeners on another, and strangers: network namespaces, the real commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from streamd import keys
from streamd.control import ask_reload
from tests import sounds
from tests.running import PATIENCE_SECONDS, RunningDaemon, a_daemon, collect, has_status, wait_for
from tests.two_hosts import Host, two_hosts, why_not

NO_HOSTS = why_not()
pytestmark = pytest.mark.skipif(bool(NO_HOSTS), reason=NO_HOSTS)

EVENTS, AUDIO, CONTROL, HISTORY = 5555, 5556, 5557, 5558
ASKS_HISTORY = """
import sys, zmq
from pathlib import Path
from streamd import endpoints, history
socket = zmq.Context().socket(zmq.REQ)
socket.setsockopt(zmq.LINGER, 0)
endpoints.connect(socket, sys.argv[1], Path(sys.argv[2]))
socket.send(history.encode(history.Since(sources=["attic"])))
print(socket.recv().decode() if socket.poll(2500) else "nothing")
"""


@dataclass(frozen=True)
class Person:
    """Somebody on the other host, with a folder of keys."""

    host: Host
    keys_folder: Path
    public: str

    def streamd(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command of streamd on the other host."""
        return subprocess.Popen(
            [*self.host.command(sys.executable, "-m", "streamd"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )

    def ends(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of streamd on the other host to its end."""
        with self.streamd(*arguments) as process:
            out, err = process.communicate(timeout=PATIENCE_SECONDS)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@dataclass(frozen=True)
class Place:
    """A daemon that hears `attic` and `kitchen` from afar, and who would reach it."""

    daemon: RunningDaemon
    at: str
    keys_folder: Path
    attic: Person
    listener: Person
    stranger: Person
    crow: Path

    def refused(self) -> int:
        return self.daemon.status().counters.get("auth.refused", 0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("remote")
    with two_hosts() as (hall, other):
        ours = folder / "hall" / "streamd" / "keys"
        hall_key = keys.make(ours).public
        people = {}
        for name in ("attic", "listener", "stranger"):
            theirs = folder / name
            people[name] = Person(other, theirs, keys.make(theirs).public)
            keys.trust(theirs, hall.address, hall_key)
        keys.authorize(ours, people["listener"].public, ["listen", "control"], "a phone")
        # The microphone that nobody has makes a source that only others could speak for.
        config = f"""
sources:
  attic: {{remote: true, key: "{people["attic"].public}"}}
  kitchen: {{remote: true}}
models: [{{file: yamnet, labels: {{Crow: {{}}}}}}]
endpoints:
  events: "tcp://{hall.address}:{EVENTS}"
  audio: "tcp://{hall.address}:{AUDIO}"
  control: "tcp://{hall.address}:{CONTROL}"
  history: "tcp://{hall.address}:{HISTORY}"
"""
        crow = sounds.save(folder / "crow.wav", sounds.scene(8, [(3.0, sounds.crow())]))
        environment = {**os.environ, "XDG_CONFIG_HOME": str(folder / "hall")}
        with a_daemon(config, environment, *hall.command()) as daemon:
            daemon.status()  # waits until it answers
            yield Place(daemon, f"tcp://{hall.address}", ours, **people, crow=crow)


def test_with_keys_audio_goes_in_and_events_come_out_on_another_host(place: Place) -> None:
    listening = place.listener.streamd(
        "listen", "--json", "--endpoint", f"{place.at}:{EVENTS}", "--keys", str(place.listener.keys_folder)
    )
    assert listening.stdout is not None
    heard = []
    try:
        for line in listening.stdout:  # the state of a source comes as soon as it is connected
            heard.append(json.loads(line))
            if len(heard) == 2:
                break
        with place.daemon.subscriber() as here:
            spoken = place.attic.ends(
                *("capture", "attic", "--endpoint", f"{place.at}:{AUDIO}", "--keys", str(place.attic.keys_folder)),
                *("--recording", str(place.crow), "--fast"),
            )
            assert (spoken.returncode, spoken.stderr.count("refused")) == (0, 0), spoken.stderr
            collect(here, has_status("ended", "attic"))
        for line in listening.stdout:
            heard.append(json.loads(line))
            if heard[-1]["data"].get("phase") == "offset":
                break
    finally:
        listening.kill()
        listening.communicate()
    told = [message["data"] for message in heard if message["type"].startswith("io.streamd.event.")]
    assert [(event["source"], event["label"], event["phase"]) for event in told] == [
        ("attic", "Crow", "onset"),
        ("attic", "Crow", "offset"),
    ]


def test_history_is_told_to_who_may_listen_and_to_nobody_else(place: Place) -> None:
    def ask(who: Person) -> str:
        arguments = (ASKS_HISTORY, f"{place.at}:{HISTORY}", str(who.keys_folder))
        command = who.host.command(sys.executable, "-c", *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert json.loads(ask(place.listener))["answer"] == "page"
    before = place.refused()
    assert ask(place.stranger) == "nothing\n"
    wait_for(lambda: True if place.refused() > before else None)


def test_status_is_answered_who_may_ask_and_to_nobody_else(place: Place) -> None:
    endpoint = ("--endpoint", f"{place.at}:{CONTROL}")
    asked = place.listener.ends("status", "--json", *endpoint, "--keys", str(place.listener.keys_folder))
    assert json.loads(asked.stdout)["pid"] == place.daemon.process.pid
    before = place.refused()
    forbidden = place.attic.ends("status", *endpoint, "--keys", str(place.attic.keys_folder))
    assert forbidden.returncode == 77
    line = f"our key is refused; on {place.at.removeprefix('tcp://')}: `streamd keys authorize '{place.attic.public}'"
    assert line in forbidden.stderr
    wait_for(lambda: True if place.refused() > before else None)


def test_a_stranger_hears_nothing_is_told_why_and_is_counted(place: Place) -> None:
    before = place.refused()
    listening = place.stranger.streamd(
        "listen", "--endpoint", f"{place.at}:{EVENTS}", "--keys", str(place.stranger.keys_folder)
    )
    try:
        assert listening.stderr is not None
        assert "our key is refused" in listening.stderr.readline()
        with place.daemon.subscriber() as here:
            place.attic.ends(
                *("capture", "attic", "--endpoint", f"{place.at}:{AUDIO}", "--keys", str(place.attic.keys_folder)),
                *("--recording", str(place.crow), "--fast"),
            )
            collect(here, has_status("ended", "attic"))  # here it was heard
    finally:
        listening.kill()
        out, _ = listening.communicate()
    assert out == ""
    wait_for(lambda: True if place.refused() > before else None)


def test_who_has_no_keys_at_all_is_told_so_before_anything_is_sent(place: Place, tmp_path: Path) -> None:
    found = place.stranger.ends("listen", "--endpoint", f"{place.at}:{EVENTS}", "--keys", str(tmp_path))
    assert found.returncode == 77
    assert "both ends need keys" in found.stderr
    assert "`streamd keys new`" in found.stderr


def test_plain_zeromq_without_a_key_gets_nothing_and_is_counted(place: Place) -> None:
    before = place.refused()
    program = (
        "import zmq; s = zmq.Context().socket(zmq.SUB); s.subscribe(b''); s.setsockopt(zmq.LINGER, 0);"
        f"s.connect('{place.at}:{EVENTS}'); print(s.poll(2500))"
    )
    out = subprocess.run(
        place.stranger.host.command(sys.executable, "-c", program), capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == "0"  # heartbeats would have come
    wait_for(lambda: True if place.refused() > before else None)


def test_an_agent_with_the_key_of_attic_may_not_say_that_it_is_kitchen(place: Place) -> None:
    before = place.refused()
    speaking = place.attic.streamd(
        *("capture", "kitchen", "--endpoint", f"{place.at}:{AUDIO}", "--keys", str(place.attic.keys_folder)),
        *("--recording", str(place.crow), "--fast"),
    )
    try:
        assert speaking.stderr is not None
        lines = (line for line in speaking.stderr if "refused" in line)
        assert "this key may not speak for kitchen" in next(lines)
    finally:
        speaking.kill()
        speaking.communicate()
    assert place.refused() > before
    (kitchen,) = (one for one in place.daemon.status().sources if one.name == "kitchen")
    assert (kitchen.n_samples, kitchen.status) == (0, "starting")
    assert f"key '{place.attic.public}' may not speak for kitchen" in place.daemon.log()


def test_who_is_on_the_daemons_host_but_has_no_key_may_not_speak_for_a_source_that_has_one(place: Place) -> None:
    found = subprocess.Popen(
        [
            *(
                sys.executable,
                "-m",
                "streamd",
                "capture",
                "attic",
                "--endpoint",
                f"ipc://{place.daemon.folder}/audio.sock",
            ),
            *("--recording", str(place.crow), "--fast"),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert found.stderr is not None
        assert any("who has no key may not speak for attic" in line for line in found.stderr)
    finally:
        found.kill()
        found.communicate()


def test_after_a_reload_who_was_authorised_meanwhile_gets_in_and_whose_key_was_taken_away_is_out(place: Place) -> None:
    authorized = place.keys_folder / "authorized"
    before = authorized.read_text()
    listening = place.stranger.streamd(
        "listen", "--endpoint", f"{place.at}:{EVENTS}", "--keys", str(place.stranger.keys_folder)
    )
    try:
        assert listening.stderr is not None
        assert listening.stdout is not None
        assert any("our key is refused" in line for line in listening.stderr)
        keys.authorize(place.keys_folder, place.stranger.public, ["listen"])
        assert not ask_reload(place.daemon.control_at).mistakes
        assert listening.stdout.readline()
        authorized.write_text(before)
        assert not ask_reload(place.daemon.control_at).mistakes
        assert any("our key is refused" in line for line in listening.stderr)
    finally:
        listening.kill()
        listening.communicate()

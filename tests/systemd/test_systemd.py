"""The package and its units in a real systemd, set up by the very commands of docs/systemd.md."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import TypeVar

import psutil
import pytest

from tests.systemd.private_root import ROOT, CannotBootError, PrivateSystem, booted, pristine_root, refuse_if_hopeless

pytestmark = pytest.mark.timeout(900)  # the first test makes the root, if there is none yet, and the package

PAGE = (ROOT / "docs" / "systemd.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
MAIN = "streamd@main.service"
HEARD = ("Knock", "Doorbell", "Baby cry", "Crow")
"""What is in the shipped recording; its table of truth has it, too."""

SET_UP = ("apt install", "demo.flac", "enable --now streamd@main", "adduser")
"""What the page has before somebody listens, each known by a part of it."""

_T = TypeVar("_T")


def block(part: str) -> str:
    """Return the one block of commands of the page that has this in it."""
    (found,) = [one for one in BLOCKS if part in one]
    return found


def test_the_readme_has_the_pages_commands_in_their_order() -> None:
    (section,) = re.findall(r"^## As a service\n(.*?)^## ", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (commands,) = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    rest = "".join(BLOCKS)
    for line in commands.splitlines():
        command = line.partition("     #")[0]
        assert f"{command}\n" in rest, command
        rest = rest.partition(f"{command}\n")[2]


def test_no_unit_empties_dev_shm_where_the_daemon_of_the_same_user_has_its_backlog() -> None:
    units = list((ROOT / "systemd").rglob("*.service"))
    assert len(units) == 3
    for unit in units:
        assert not re.search(r"^RemoveIPC=", unit.read_text(), re.MULTILINE), unit


def test_every_command_of_the_page_is_run_by_a_test_here() -> None:
    parts = re.findall(r"""(?:follow\(system, |block\()["']([^"']+)["']""", Path(__file__).read_text())
    assert {block(part) for part in [*parts, *SET_UP]} == set(BLOCKS)


@pytest.fixture(scope="module")
def system() -> Iterator[PrivateSystem]:
    """A fresh machine, on which user alice has followed the page as far as to hear something."""
    try:
        refuse_if_hopeless()
        pristine = pristine_root()
    except CannotBootError as reason:
        pytest.skip(f"no systemd of its own can be booted here: {reason}")
    # As the page has it, but for the environment, which is there: the test runs in it.
    make = ["make", "--assume-old=.venv/ready-to-run", *block("make deb").split()[1:]]
    for older in ROOT.glob("dist/streamd_*.deb"):
        older.unlink()
    made = subprocess.run(make, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert made.returncode == 0, made.stdout
    with booted(pristine) as system:
        system.run("sh", "-c", "echo 127.0.1.1 $(hostname) >> /etc/hosts")
        system.run("useradd", "--create-home", "alice")
        system.run("useradd", "--create-home", "bob")
        system.run("sh", "-c", "echo 'alice ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/alice")
        for part in SET_UP:
            follow(system, part)
        yield system


def follow(system: PrivateSystem, part: str) -> str:
    """Do what the page says, as alice, in the folder of the checkout."""
    commands = f"set -e; cd /srv/streamd; {block(part)}"
    return system.run("env", "XDG_RUNTIME_DIR=/run/user/1000", "bash", "-c", commands, user="alice", seconds=300)


def until(find: Callable[[], _T | None], seconds: float = 60) -> _T:
    """Return what find returns as soon as it is something."""
    deadline = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return found


def first_event(system: PrivateSystem, seconds: float = 45) -> str:
    """Listen as alice does by the page, until a sound is told."""
    command = ["sh", "-c", f"cd; {block('streamd listen')}"]
    lines: Queue[str] = Queue()
    said = []
    with subprocess.Popen(
        system.command(*command, user="alice"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as listener:

        def read() -> None:
            for line in listener.stdout or ():
                lines.put(line)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            deadline = time.monotonic() + seconds
            while True:
                said.append(lines.get(timeout=max(0.0, deadline - time.monotonic())))
                if any(label in said[-1] for label in HEARD):
                    return said[-1]
        except Empty:
            pytest.fail(f"nothing was heard, but: {said}")
        finally:
            for process in psutil.Process(listener.pid).children(recursive=True):
                process.kill()
            reader.join()


def main_pid(system: PrivateSystem) -> int:
    """The daemon, as its systemd knows it."""
    return int(system.show(MAIN, "MainPID"))


def children(system: PrivateSystem, module: str) -> list[int]:
    """The daemon's children that run a module, such as streamd.capture."""
    pid = main_pid(system)
    each = (
        f"for p in $(cat /proc/{pid}/task/{pid}/children); do grep -q {module} /proc/$p/cmdline && echo $p; done; true"
    )
    return [int(one) for one in system.run("sh", "-c", each).split()]


def demo_again(system: PrivateSystem) -> None:
    """Have the service hear the shipped recording."""
    follow(system, "demo.flac")
    system.run("systemctl", "restart", MAIN)


def test_the_page_gives_a_running_service_that_an_ordinary_user_hears(system: PrivateSystem) -> None:
    assert system.show(MAIN, "ActiveState") == "active"
    assert system.show(MAIN, "StatusText") == "hears demo"
    assert "yes" not in system.run("id", "alice")
    assert first_event(system)


def test_who_is_outside_the_group_is_told_which_group_it_is(system: PrivateSystem) -> None:
    modes = system.run(
        "sh", "-c", "stat --format='%n %a' /run/streamd/main/*.sock; stat --format='%n %a' /run/streamd/main"
    )
    assert {Path(name).name: mode for name, mode in (line.split() for line in modes.splitlines())} == {
        "main": "750",
        "events.sock": "660",
        "history.sock": "660",
        "audio.sock": "600",
        "control.sock": "600",
    }
    said = system.try_to_run("timeout", "5", "streamd", "listen", user="bob").stdout
    assert "/run/streamd/main/events.sock (only group streamd may use it: `sudo adduser bob streamd`" in said
    said = system.try_to_run("streamd", "status", user="alice").stdout
    assert "/run/streamd/main/control.sock (only user streamd may use it" in said
    assert "main" in system.run("sudo", "-u", "streamd", "streamd", "status")


def test_systemd_finds_nothing_to_say_about_the_units(system: PrivateSystem) -> None:
    assert system.run("systemd-analyze", "verify", "streamd@main.service", "streamd-capture@attic.service") == ""
    assert system.run("systemd-tmpfiles", "--create", "streamd.conf") == ""


@pytest.mark.parametrize(
    ("unit", "limit"), [("streamd@main.service", 20), ("streamd-capture@attic.service", 20), ("ipc-only", 10)]
)
def test_little_is_exposed(system: PrivateSystem, unit: str, limit: int) -> None:
    if unit == "ipc-only":
        system.run("install", "-D", "-t", "/run/ipc", "/lib/systemd/system/streamd@.service")
        drop_in = "/usr/share/streamd/drop-ins/ipc-only.conf"
        system.run("install", "-D", "-t", "/run/ipc/streamd@.service.d", drop_in)
        unit = "/run/ipc/streamd@.service"
    else:
        unit = f"/lib/systemd/system/{unit.replace('main', '').replace('attic', '')}"
    told = system.try_to_run("systemd-analyze", "security", "--offline=yes", f"--threshold={limit}", unit)
    *_, exposure = told.stdout.strip().splitlines()
    assert told.returncode == 0, exposure
    (number,) = re.findall(r"exposure level for .*: ([\d.]+)", exposure)
    assert f" {number}" in PAGE or "capture" in unit  # what the page promises is what it is


def test_the_sandbox_is_on_for_the_daemon_and_its_agents(system: PrivateSystem) -> None:
    for pid in (main_pid(system), *children(system, "streamd.capture"), *children(system, "streamd.journal")):
        status = system.run("cat", f"/proc/{pid}/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert (fields["NoNewPrivs"], fields["Seccomp"], fields["CapBnd"]) == ("1", "2", "0" * 16)
        inside = ["nsenter", f"--target={pid}", "--mount", "--", "sh", "-c"]
        assert system.run(*inside, "ls /home") == ""
        for folder in ("/usr/lib/streamd", "/etc/streamd", "/var/lib"):
            assert "Read-only" in system.try_to_run(*inside, f"touch {folder}/x").stdout
        for folder in ("/run/streamd/main", "/var/lib/streamd/main", "/var/cache/streamd/main"):
            system.run(*inside, f"touch {folder}/x && rm {folder}/x")


def test_thirty_agents_have_room(system: PrivateSystem) -> None:
    def tasks(pid: int) -> int:
        return len(system.run("ls", f"/proc/{pid}/task").split())

    (agent,) = children(system, "streamd.capture")
    (journal,) = children(system, "streamd.journal")
    n_tasks = 20  # of a command that an agent starts, such as ffmpeg
    assert tasks(main_pid(system)) + 30 * (tasks(agent) + n_tasks) + tasks(journal) < int(system.show(MAIN, "TasksMax"))


def test_an_agent_that_is_killed_is_back_and_the_service_never_noticed(system: PrivateSystem) -> None:
    daemon, (agent,) = main_pid(system), children(system, "streamd.capture")
    system.run("sh", "-c", f"kill -KILL {agent}")
    until(lambda: [one for one in children(system, "streamd.capture") if one != agent])
    until(lambda: system.show(MAIN, "StatusText") == "hears demo")
    assert main_pid(system) == daemon
    assert system.show(MAIN, "ActiveState") == "active"
    assert system.show(MAIN, "NRestarts") == "0"
    assert first_event(system)


def test_a_reload_changes_the_sources_or_is_refused_with_the_reason(system: PrivateSystem) -> None:
    daemon = main_pid(system)
    follow(system, "kitchen: {}")
    assert system.show(MAIN, "StatusText").startswith("kitchen: ")  # and why nothing is heard: there is no microphone
    system.run("sh", "-c", "echo 'sources: {kitchen: {microphon: USB}}' > /etc/streamd/main.yaml")
    assert system.try_to_run("systemctl", "reload", MAIN).returncode != 0
    assert "did you mean 'microphone'?" in system.run("journalctl", "--unit", MAIN)
    assert system.show(MAIN, "ActiveState") == "active"
    follow(system, "demo.flac")
    system.run("systemctl", "reload", MAIN)
    until(lambda: system.show(MAIN, "StatusText") == "hears demo")
    assert main_pid(system) == daemon
    assert first_event(system)


def test_a_daemon_that_hangs_is_killed_by_the_watchdog_and_started_again(system: PrivateSystem) -> None:
    drop_in = "/run/systemd/system/streamd@main.service.d/quick.conf"
    system.run("sh", "-c", f"mkdir -p $(dirname {drop_in}); printf '[Service]\\nWatchdogSec=4\\n' > {drop_in}")
    system.run("systemctl", "daemon-reload")
    demo_again(system)
    n_before, daemon = int(system.show(MAIN, "NRestarts")), main_pid(system)
    time.sleep(6)  # longer than the watchdog waits: a daemon that works is left alone
    assert main_pid(system) == daemon
    backlog = f"/dev/shm/streamd-{system.run('id', '--user', 'streamd')}/kept"  # what the journal has yet to confirm
    system.run("runuser", "-u", "streamd", "touch", backlog)
    system.run("sh", "-c", f"kill -STOP {daemon}")
    until(lambda: int(system.show(MAIN, "NRestarts")) == n_before + 1)
    until(lambda: system.show(MAIN, "StatusText") == "hears demo")
    assert main_pid(system) != daemon
    journal = system.run("journalctl", "--unit", MAIN)
    assert "Watchdog timeout" in journal
    assert "in loop" in journal  # where it hung
    assert system.run("ls", backlog) == backlog
    system.run("rm", drop_in)
    system.run("systemctl", "daemon-reload")


def test_a_mistake_in_the_configuration_keeps_it_down_with_a_line_and_no_loop(system: PrivateSystem) -> None:
    system.run("sh", "-c", "echo 'source: {}' > /etc/streamd/wrong.yaml")
    assert system.try_to_run("systemctl", "start", "streamd@wrong").returncode != 0
    assert system.show("streamd@wrong", "ActiveState") == "failed"
    assert "wrong.yaml:1: " in system.run("journalctl", "--unit", "streamd@wrong")


def test_an_upgrade_with_a_mistake_in_the_configuration_is_an_upgrade(system: PrivateSystem) -> None:
    system.run("sh", "-c", "echo 'source: {}' > /etc/streamd/main.yaml")
    said = system.run("sh", "-c", "/var/lib/dpkg/info/streamd.postinst configure 0.0.1 2>&1")
    assert "streamd: not every service has started again" in said
    assert system.show(MAIN, "ActiveState") == "failed"
    demo_again(system)


def test_without_any_network_it_hears_as_well(system: PrivateSystem) -> None:
    follow(system, "drop-ins/ipc-only.conf")
    demo_again(system)
    assert first_event(system)
    pid = main_pid(system)
    assert system.run("nsenter", f"--target={pid}", "--net", "ls", "/proc/self/net/dev")
    assert system.run("readlink", f"/proc/{pid}/ns/net") != system.run("readlink", "/proc/1/ns/net")


def test_a_users_own_service_runs_in_that_users_session(system: PrivateSystem) -> None:
    system.run("loginctl", "enable-linger", "alice")
    until(lambda: system.try_to_run("test", "-S", "/run/user/1000/systemd/private").returncode == 0)
    assert "active (running)" in follow(system, "systemctl --user")
    session = ["env", "XDG_RUNTIME_DIR=/run/user/1000"]
    assert system.run(*session, "systemd-analyze", "verify", "--user", "streamd.service", user="alice") == ""
    assert system.run("stat", "--format=%a", "/run/user/1000/streamd") == "700"


def test_an_agent_of_another_machine_runs_as_a_service_with_keys(system: PrivateSystem) -> None:
    # One machine plays both, over an address that isn't loopback.
    system.run_beside("ip", "address", "add", "192.0.2.1/32", "dev", "lo")
    system.run("sh", "-c", "echo 192.0.2.1 hall >> /etc/hosts")
    keys = ["runuser", "-u", "streamd", "--", "streamd", "keys"]
    there = ["--keys", "/etc/streamd/keys"]
    system.run(*keys, "new", *there)
    (key,) = re.findall(r"'(\S{40})'", system.run(*keys, "list", *there))
    system.run(*keys, "trust", "hall", key, *there)
    system.run(*keys, "authorize", key, "--speak", "attic", *there)
    config = "{sources: {attic: {remote: true}}, endpoints: {audio: 'tcp://192.0.2.1:5556'}}"
    system.run("sh", "-c", f'echo "{config}" > /etc/streamd/hall.yaml')
    check = ["streamd", "check", "-c", "/etc/streamd/hall.yaml"]
    assert system.try_to_run(*check, user="alice").returncode == 78  # she has no keys
    assert "no mistakes" in system.run("runuser", "-u", "streamd", "--", *check, *there)
    system.run("systemctl", "start", "streamd@hall")
    follow(system, "streamd-capture@attic")
    until(lambda: "no microphone" in system.show("streamd@hall", "StatusText"))  # the agent says so
    options = "OPTIONS=--endpoint tcp://hall:5556 --recording /usr/share/streamd/demo.flac --repeat"
    system.run("sh", "-c", f"echo '{options}' > /etc/streamd/capture-attic.conf")
    system.run("systemctl", "restart", "streamd-capture@attic")
    until(lambda: system.show("streamd@hall", "StatusText") == "hears attic")
    system.run("systemctl", "stop", "streamd-capture@attic", "streamd@hall")


def test_a_stop_leaves_no_process(system: PrivateSystem) -> None:
    cgroup = system.cgroup / system.show(MAIN, "ControlGroup").lstrip("/")
    assert (cgroup / "cgroup.procs").read_text()
    system.run("systemctl", "stop", MAIN)
    assert system.show(MAIN, "Result") == "success"
    assert not cgroup.exists() or not (cgroup / "cgroup.procs").read_text()


def test_the_package_goes_as_it_came(system: PrivateSystem) -> None:
    system.run("systemctl", "start", MAIN)
    follow(system, "apt remove")
    assert system.show(MAIN, "ActiveState") == "inactive"
    assert system.try_to_run("sh", "-c", "ls /usr/lib/streamd /usr/bin/streamd").returncode != 0
    assert system.run("cat", "/etc/streamd/main.yaml")
    link = "/etc/systemd/system/multi-user.target.wants/streamd@main.service"
    system.run("test", "-L", link)
    system.run("dpkg", "--purge", "streamd")
    assert system.try_to_run("test", "-L", link).returncode != 0

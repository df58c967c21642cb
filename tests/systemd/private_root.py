"""A real systemd on a root file system of its own: made once by debootstrap, booted in namespaces, gone afterwards.

Never on the machine's own root, which systemd would tidy up at boot: `boot` leaves it before systemd begins.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent

RELEASES = {11: "bookworm", 13: "trixie"}
"""Minor version of Python 3 → the Debian that has it: the environment in a .deb is for one."""
PACKAGES = "systemd,dbus,libpam-systemd,sudo,python3,libportaudio2"
"""What a fresh machine has beyond the least Debian, and what streamd's package asks for: there is no network inside."""
MOUNTS = """set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/lower /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
mount -t cgroup2 cgroup2 /mnt/lower
mount -t proc proc /mnt/work"""
"""What `boot` needs to be allowed."""
MAKE_SECONDS = 400
"""On two idle cores it takes 40 s."""
TOOLS = ("debootstrap", "unshare", "nsenter", "setpriv", "ip", "dpkg-deb")


class CannotBootError(Exception):
    """There is no private systemd here, and why."""


def refuse_if_hopeless() -> None:
    """Raise CannotBootError if this machine lacks a right or a program for it."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise CannotBootError(f"it needs {', '.join(missing)}; `make test` as root installs them")
    if os.geteuid() != 0:
        raise CannotBootError("only root may mount and make namespaces")
    if sys.version_info.minor not in RELEASES:
        raise CannotBootError(f"no Debian comes with Python 3.{sys.version_info.minor}")
    tried = subprocess.run([*_unshare(), "sh", "-c", MOUNTS], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        raise CannotBootError(f"no right to new namespaces and mounts: {tried.stderr.strip()}")
    try:
        Path(tempfile.mkdtemp(prefix="streamd-test-", dir=_cgroup2())).rmdir()
    except OSError as error:
        raise CannotBootError(f"no right to new control groups: {error}") from error


def pristine_root() -> Path:
    """Return the root that is never booted itself; the first call makes it, and the next find it.

    It lies in `$STREAMD_TEST_CACHE`, or in the user's own cache.
    """
    cache = Path(os.environ.get("STREAMD_TEST_CACHE") or Path.home() / ".cache" / "streamd-tests")
    release = RELEASES[sys.version_info.minor]
    name = f"{release}-{hashlib.sha256(PACKAGES.encode()).hexdigest()[:8]}"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (cache / name).exists():
            making = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=cache))
            making.chmod(0o755)
            command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", release, making]
            log = cache / f"{name}.log"
            with log.open("w") as output:
                # Ended if a mirror answers that slowly: no test may hold up the others for ever.
                ended = ["timeout", str(MAKE_SECONDS), *command]
                made = subprocess.run(ended, stdout=output, stderr=output, stdin=subprocess.DEVNULL, check=False)
            if made.returncode != 0:
                shutil.rmtree(making, ignore_errors=True)
                *_, last = ["it says nothing", *log.read_text().splitlines()]
                raise CannotBootError(f"debootstrap failed ({last}); a mirror of Debian is needed once")
            making.rename(cache / name)
    return cache / name


class PrivateSystem:
    """A booted systemd."""

    def __init__(self, pid: int, cgroup: Path) -> None:
        self._pid = pid
        self.cgroup = cgroup
        """Where the machine outside sees its control groups."""

    def run(self, *command: str, user: str = "root", seconds: float = 60) -> str:
        """Run a command in it and return what it printed; AssertionError with all it said if it fails."""
        result = self.try_to_run(*command, user=user, seconds=seconds)
        assert result.returncode == 0, f"{command}: {result.returncode}\n{result.stdout}"
        return result.stdout.strip()

    def try_to_run(self, *command: str, user: str = "root", seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command in it, whatever comes of it; output and errors are one text."""
        return subprocess.run(
            self.command(*command, user=user),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=seconds,
            check=False,
        )

    def command(self, *command: str, user: str = "root") -> list[str]:
        """Return the command that runs a command in it, as an ordinary user's session or as root."""
        enter = ["nsenter", f"--target={self._pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        clean = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
        session = [] if user == "root" else ["runuser", "-u", user, "--", "env", f"USER={user}", f"HOME=/home/{user}"]
        return [*enter, *clean, *session, *command]

    def run_beside(self, *command: str) -> None:
        """Run a command of this machine in its network."""
        subprocess.run(["nsenter", f"--target={self._pid}", "--net", *command], check=True)

    def show(self, unit: str, field: str) -> str:
        """Return a field of a unit, as systemd has it now."""
        return self.run("systemctl", "show", "--value", f"--property={field}", unit)


@contextmanager
def booted(pristine: Path) -> Iterator[PrivateSystem]:
    """Boot it; when the block ends, every process of it is killed and nothing is left."""
    cgroup = Path(tempfile.mkdtemp(prefix="streamd-test-", dir=_cgroup2()))
    cgroup.chmod(0o755)  # ordinary users have groups in it
    with tempfile.TemporaryDirectory(prefix="streamd-root-") as scratch:
        # Dies with this process, however that ends.
        begin = f'echo $$ > {cgroup}/cgroup.procs && exec setpriv --pdeathsig KILL "$@"'
        process = subprocess.Popen(
            ["sh", "-c", begin, "sh", *_unshare(), HERE / "boot", pristine, scratch, ROOT],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            system = PrivateSystem(_only_child(process), cgroup)
            _wait_until_booted(system, process)
            yield system
        finally:
            process.kill()  # and with it, by --kill-child, the first process in there, and all others
            process.wait()
            _remove(cgroup)


def _unshare() -> Sequence[str]:
    spaces = ("--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup")
    return ["unshare", "--fork", *spaces, "--propagation", "private", "--kill-child"]


def _cgroup2() -> Path:
    """Return where the machine's control groups of version 2 are."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2" and "rw" in options.split(","):
            return Path(where)
    raise CannotBootError("no control groups of version 2 are mounted that may be written to")


def _only_child(process: subprocess.Popen[bytes]) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 10
    while not (found := children.read_text().split()):
        assert process.poll() is None, "no namespaces; see above"
        assert time.monotonic() < deadline, "unshare starts nothing"
        time.sleep(0.01)
    return int(found[0])


def _wait_until_booted(system: PrivateSystem, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    state = ""
    while state not in ("running", "degraded"):
        assert process.poll() is None, "the private system ended while it booted; see above"
        assert time.monotonic() < deadline, f"it does not boot: {state}"
        time.sleep(0.1)
        state = system.try_to_run("systemctl", "is-system-running").stdout.strip()


def _remove(cgroup: Path) -> None:
    """Remove a control group whose processes were killed, with all in it; the kernel may need a moment."""
    deadline = time.monotonic() + 10
    for folder in [*sorted(cgroup.rglob("*/"), key=lambda one: -len(one.parts)), cgroup]:
        while True:
            try:
                folder.rmdir()
                break
            except OSError:
                assert time.monotonic() < deadline, f"{folder} can't be removed"
                time.sleep(0.05)

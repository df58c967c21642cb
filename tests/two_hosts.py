"""Two hosts with a cable between them, as network namespaces of this machine; it needs the right to make them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Host:
    """A network namespace with one address."""

    name: str
    address: str

    def command(self, *arguments: str) -> list[str]:
        """Return a command line that runs a program there."""
        return ["ip", "netns", "exec", self.name, *arguments]

    def cable(self, state: str) -> None:
        """Plug the cable in (up) or pull it out (down)."""
        _ip("-n", self.name, "link", "set", "cable", state)


def why_not() -> str:
    """Return why there can be no two hosts here, or ""."""
    if shutil.which("ip") is None:
        return "no program ip (iproute2)"
    name = f"try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no right to make network namespaces: {made.stderr.strip()}"
    _ip("netns", "del", name)
    return ""


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Make two hosts that reach each other and nobody else; at the end they are gone."""
    left, right = (Host(f"sd{os.getpid()}{side}", f"10.77.0.{i}") for i, side in enumerate("ab", 1))
    made = []
    try:
        for host in (left, right):
            _ip("netns", "add", host.name)
            made.append(host)
        _ip("-n", left.name, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", right.name)
        for host in made:
            _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "cable")
            _ip("-n", host.name, "link", "set", "lo", "up")
            host.cable("up")
        yield left, right
    finally:
        for host in made:
            _ip("netns", "del", host.name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)

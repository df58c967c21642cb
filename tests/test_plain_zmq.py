from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import samples
from tests.sockets import a_context, a_publisher, let_work, short_folder

EXAMPLE = Path(__file__).parents[1] / "examples" / "plain_zmq.py"


@pytest.mark.parametrize("topic", [None, "event/kitchen/dog/"])
def test_the_plain_example_prints_what_is_heard(topic: str | None) -> None:
    with short_folder() as folder, a_context() as context:
        (folder / "streamd").mkdir()
        endpoint = f"ipc://{folder}/streamd/events.sock"
        publisher = a_publisher(context, endpoint)
        command = [sys.executable, str(EXAMPLE), *([endpoint, topic] if topic else [])]
        environment = os.environ | {"XDG_RUNTIME_DIR": str(folder)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as program:
            let_work(publisher, lambda: (topic or "event/").encode() in publisher._subscribed)
            bark = samples.onset(publisher)
            publisher.send(samples.onset(publisher, label="Cattle") if topic else samples.state(publisher))
            publisher.send(bark)
            assert program.stdout is not None
            assert program.stdout.readline() == "2026-01-01T10:00:00.423456Z kitchen Dog onset 0.75\n"
            program.terminate()
        publisher.close()


def test_the_plain_example_needs_nothing_of_streamd_and_few_lines() -> None:
    lines = EXAMPLE.read_text().splitlines()
    assert len(lines) < 40
    assert not any(line.startswith(("import streamd", "from streamd")) for line in lines)

"""Commands: real programs behind a real agent, and the header of a WAV stream."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import wave
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from streamd.blocks import Bye, Hello, Waiting
from streamd.capture import command, specs, wav
from streamd.capture.specs import Command, Microphone, Recording
from streamd.errors import DeviceError, UsageError
from tests.agents import SOURCE, AudioSocket, running_agent

RATE = 16_000
LATER = "sleep 1;"
"""What a program writes before the daemon wants it is lost, as it should be: it is live."""


def ramp(n_samples: int) -> np.ndarray:
    """Samples that say where they lie."""
    return np.arange(n_samples).astype(np.int16)


def python(program: str) -> tuple[str, ...]:
    """A command that runs a Python program."""
    return (sys.executable, "-c", program)


def test_raw_pcm_arrives_sample_for_sample_and_the_end_is_told(tmp_path: Path) -> None:
    (tmp_path / "ramp.raw").write_bytes(ramp(RATE).tobytes())
    program = f"{LATER} cat {tmp_path}/ramp.raw; echo last words >&2; exit 3"
    with (
        AudioSocket() as daemon,
        running_agent(daemon.endpoint, Command(arguments=("sh", "-c", program), sample_rate=RATE)),
    ):
        first = daemon.expect(Hello)
        assert (first.live, first.native_rate) == (True, RATE)
        daemon.want(first)
        blocks, bye = daemon.blocks_until_bye()
        np.testing.assert_array_equal(daemon.samples(first.take), ramp(RATE))
        assert blocks[-1].first_sample == 12 * 1280
        assert (bye.reason, bye.detail) == ("device", "sh ended with code 3: last words")
        assert daemon.expect(Waiting).detail == bye.detail
        assert daemon.expect_after_others(Hello, 3).take != first.take, "it is started again"


def test_a_program_that_writes_no_more_but_lives_is_told_of_and_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "STALL_SECONDS", 0.5)
    program = "printf abcd; exec sleep 600"
    running = command.CommandInput(Command(arguments=("sh", "-c", program), sample_rate=RATE), "attic", lambda: False)
    with pytest.raises(DeviceError, match="sh has written nothing for 0 s; it is started again"):
        read_on(running)
    assert running.clock.position == 2
    running.close()


def test_a_device_that_a_wrapper_holds_is_free_again_after_a_stall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "STALL_SECONDS", 0.5)
    record = f"flock --nonblock {tmp_path}/device sh -c 'head -c 16000 /dev/zero; sleep 600'"
    spec = Command(arguments=("sh", "-c", f"{record} || echo busy >&2; true"), sample_rate=RATE)
    for _ in range(3):
        running = command.CommandInput(spec, "attic", lambda: False)
        with pytest.raises(DeviceError, match="has written nothing"):
            read_on(running)
        assert running.clock.position == 8000
        running.close()


@pytest.mark.parametrize(
    ("program", "n_processes"),
    [
        ("echo begun; sleep 600 | cat", 3),
        ("sh -c 'trap \"\" TERM; sleep 600; sleep 600' & wait", 3),
        ("sleep 600 >/dev/null 2>&1 & exit", 1),
    ],
    ids=["a pipeline", "one that heeds no SIGTERM", "one that outlived its script"],
)
def test_nothing_of_a_command_is_left_when_it_is_closed(program: str, n_processes: int) -> None:
    running = command.CommandInput(Command(arguments=("sh", "-c", program), sample_rate=RATE), "attic", lambda: False)
    session = in_session(running._running._process.pid, n_processes)
    running.close()
    assert not left(session)


def read_on(running: command.CommandInput) -> None:
    """Read until the program has ended or hangs."""
    while True:
        running.read(RATE)


def left(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended in two seconds; their remains are those of whoever inherits them."""
    deadline = time.monotonic() + 2
    while (alive := [one for one in processes if runs(one)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive


def runs(process: psutil.Process) -> bool:
    """Whether a process has not yet ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def in_session(leader: int, n: int) -> list[psutil.Process]:
    """The processes of a session, once there are this many."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = []
        for process in psutil.process_iter():
            with suppress(ProcessLookupError):
                if os.getsid(process.pid) == leader and runs(process):
                    found.append(process)
        if len(found) == n:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not {n} processes: {found}")


def test_channels_of_raw_pcm_are_mixed(tmp_path: Path) -> None:
    stereo = np.stack([ramp(RATE), ramp(RATE) + 2], axis=1).astype(np.int16)
    (tmp_path / "stereo.raw").write_bytes(stereo.tobytes())
    program = f"{LATER} cat {tmp_path}/stereo.raw"
    spec = Command(arguments=("sh", "-c", program), sample_rate=RATE, n_channels=2)
    with AudioSocket() as daemon, running_agent(daemon.endpoint, spec):
        hello = daemon.expect(Hello)
        daemon.want(hello)
        daemon.blocks_until_bye()
        np.testing.assert_array_equal(daemon.samples(hello.take), ramp(RATE) + 1)


def test_a_wav_stream_says_its_own_format(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([ramp(44_100)] * 2, axis=1), 44_100)
    program = f"head -c 44 {tmp_path}/a.wav; {LATER} tail -c +45 {tmp_path}/a.wav"
    spec = Command(arguments=("sh", "-c", program))
    with AudioSocket() as daemon, running_agent(daemon.endpoint, spec):
        hello = daemon.expect(Hello)
        assert hello.native_rate == 44_100
        daemon.want(hello, sample_rate=44_100, n_samples=4410)
        daemon.blocks_until_bye()
        np.testing.assert_array_equal(daemon.samples(hello.take), ramp(44_100))


def test_a_program_faster_than_real_time_is_held_to_it() -> None:
    spec = Command(arguments=("cat", "/dev/zero"), sample_rate=RATE)
    with AudioSocket() as daemon, running_agent(daemon.endpoint, spec):
        daemon.want(daemon.expect(Hello))
        began = time.monotonic()
        blocks = daemon.blocks(37)  # three seconds, of which one may come at once
        assert 1.5 < time.monotonic() - began < 4
        assert not any(block.n_lost for block in blocks)


def test_what_can_not_be_run_or_heard_is_waited_for_with_the_reason() -> None:
    for arguments, expected in (
        (("no-such-program",), "can't start no-such-program: No such file or directory"),
        (("echo", "this is no WAV at all"), "echo wrote no WAV header; give sample_rate"),
        (("true",), "true ended with code 0"),
        (python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), "was killed by SIGKILL"),
        (python("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 1)"), "was killed by signal 35"),
    ):
        with AudioSocket() as daemon, running_agent(daemon.endpoint, Command(arguments=arguments)):
            assert expected in daemon.expect(Waiting).detail


def test_what_a_program_says_is_passed_on_with_the_name_of_the_source() -> None:
    spec = Command(arguments=("sh", "-c", "echo one >&2; printf 'two\\r\\nthree' >&2; exec sleep 1"), sample_rate=RATE)
    with AudioSocket() as daemon, running_agent(daemon.endpoint, spec) as agent:
        daemon.want(daemon.expect(Hello))
        daemon.expect_after_others(Bye)
        agent.terminate()
        _, told = agent.communicate(timeout=5)
        assert [line for line in told.splitlines() if "captures" not in line][:3] == [
            "kitchen: one",
            "kitchen: two",
            "kitchen: three",
        ]


def test_progress_that_a_program_writes_over_itself_is_not_logged_but_its_last_is_known() -> None:
    # As ffmpeg does without -nostats, also where there is no terminal.
    says = [r"ready\n", *(rf"time=00:00:0{n}\r" for n in range(5)), r"time\r", r"\nlate\r", r"bad frame\r\n"]
    says += [r"time=00:00:06\r", r"time=00:00:07\r"]
    program = "".join(f"printf '{one}' >&2; sleep 0.05;" for one in says)
    with (
        AudioSocket() as daemon,
        running_agent(daemon.endpoint, Command(arguments=("sh", "-c", program), sample_rate=RATE)) as agent,
    ):
        daemon.want(daemon.expect(Hello))
        assert daemon.expect_after_others(Bye).detail == "sh ended with code 0: time=00:00:07"
        agent.terminate()
        _, told = agent.communicate(timeout=5)
        assert told.splitlines() == ["kitchen: ready", "kitchen: time", "kitchen: bad frame"]


@pytest.mark.parametrize("as_group", [False, True], ids=["alone", "as a group"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_pipeline_dies_with_its_agent(how: signal.Signals, as_group: bool) -> None:
    """By the supervisor, Ctrl-C, a terminal that goes; an agent by hand has nobody else who cleans up."""
    pipeline = ("sh", "-c", "sleep 600 | cat")
    with AudioSocket() as daemon:
        by_hand = (sys.executable, "-m", "streamd", "capture", SOURCE, "--endpoint", daemon.endpoint)
        agent = subprocess.Popen((*by_hand, "--sample-rate", str(RATE), "--command", *pipeline), process_group=0)
        try:
            daemon.expect(Hello, 30)
            deadline = time.monotonic() + 10
            while len(family := psutil.Process(agent.pid).children(recursive=True)) < 4:
                assert time.monotonic() < deadline, "a guard, a shell and the two that it has started"
                time.sleep(0.02)
            (os.killpg if as_group else os.kill)(agent.pid, how)
            agent.wait(5)
            assert not left(family)
        finally:
            agent.kill()
            agent.wait()


def test_killing_the_daemon_leaves_neither_agent_nor_command(tmp_path: Path) -> None:
    spec = Command(arguments=python("import time; time.sleep(60)"), sample_rate=RATE)
    program = f"""
import subprocess, sys, time, os
from streamd.capture.specs import decode
command = [sys.executable, "-m", "streamd.capture", "kitchen", "ipc://{tmp_path}/a", {specs.encode(spec)!r}]
subprocess.Popen([*command, "--child-of", str(os.getpid())], stdin=subprocess.PIPE, start_new_session=True)
time.sleep(60)
"""
    with psutil.Popen(python(program), cwd=Path(__file__).parents[2]) as daemon:
        deadline = time.monotonic() + 10
        while len(family := daemon.children(recursive=True)) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(family) == 3, "the agent, the command and its guard"
        daemon.kill()
        _, alive = psutil.wait_procs(family, timeout=3)
        assert not alive


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_32", "FLOAT"])
@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
def test_headers_as_libsndfile_writes_them_are_understood(kind: str, subtype: str) -> None:
    samples = np.random.default_rng(1).uniform(-0.9, 0.9, (1000, 2))
    opened = io.BytesIO()
    soundfile.write(opened, samples, 48_000, format=kind, subtype=subtype)
    data = opened.getvalue()
    found = wav.parse_header(data)
    assert found is not None
    header, begin = found
    assert (header.sample_rate, header.n_channels) == (48_000, 2)
    assert header.n_bytes == 1000 * header.frame_bytes
    heard = header.samples(data[begin : begin + header.n_bytes])
    np.testing.assert_allclose(heard, samples, atol=1 / 32768)
    assert all(wav.parse_header(data[:n]) is None for n in range(begin)), "a part of a header is waited for"


@pytest.mark.parametrize("length", [0, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF - 36])
def test_a_length_that_nobody_knew_is_endless(length: int) -> None:
    opened = io.BytesIO()
    with wave.open(opened, "wb") as written:
        written.setparams((1, 2, RATE, 0, "NONE", ""))
        written.writeframes(b"")
    data = opened.getvalue()[:-4] + length.to_bytes(4, "little")
    found = wav.parse_header(data)
    assert found is not None
    assert found[0].n_bytes is None


def test_a_wav_of_another_kind_is_refused_with_what_was_expected() -> None:
    for subtype in ("PCM_U8", "PCM_24", "ULAW", "DOUBLE"):
        opened = io.BytesIO()
        soundfile.write(opened, np.zeros(10), RATE, format="WAV", subtype=subtype)
        with pytest.raises(DeviceError, match="expected PCM of 16 or 32 bits, or floats of 32"):
            wav.parse_header(opened.getvalue())


@given(st.binary(max_size=200), st.integers(0, 44))
def test_bytes_of_a_stranger_break_nothing(noise: bytes, kept: int) -> None:
    opened = io.BytesIO()
    soundfile.write(opened, np.zeros(10), RATE, format="WAV", subtype="PCM_16")
    with suppress(DeviceError):
        wav.parse_header(opened.getvalue()[:kept] + noise)


@pytest.mark.parametrize(
    "spec",
    [
        Microphone(),
        Microphone(name="USB", channel=2, sample_rate=48_000),
        Recording(path="a.wav", repeat=True, fast=True),
        Command(arguments=("ffmpeg", "-i", "x")),
        Command(arguments=("cat",), sample_rate=8_000, n_channels=2),
    ],
)
def test_specs_go_to_json_and_back(spec: specs.Spec) -> None:
    assert specs.decode(specs.encode(spec)) == spec


def test_a_spec_that_is_none_is_refused() -> None:
    for text in ("", "{}", '{"kind": "Recording"}', '{"kind": "Microphone", "volume": 11}'):
        with pytest.raises(UsageError, match="says not what to capture"):
            specs.decode(text)

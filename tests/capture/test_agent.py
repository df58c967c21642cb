"""The agent in a process of its own, against a real ROUTER."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from streamd.blocks import Block, Bye, Hello, Waiting
from streamd.capture.agent import STOPPED
from streamd.capture.recording import read_recording
from streamd.capture.specs import Command, Recording
from tests.agents import AudioSocket, ended, running_agent
from tests.running import wait_for

RATE = 16_000


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two seconds and a bit of noise, 48 kHz stereo."""
    noise = np.random.default_rng(1).standard_normal((100_001, 2)) * 0.1
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise, 48_000)
    return path


def test_a_recording_played_fast_arrives_as_the_samples_that_replay_reads(recording: Path) -> None:
    with AudioSocket() as daemon, running_agent(daemon.endpoint, Recording(path=str(recording), fast=True)) as agent:
        hello = daemon.expect(Hello)
        assert (hello.sources, hello.native_rate, hello.live) == (("kitchen",), 48_000, False)
        assert not daemon.has_message(0.3), "no block before it is wanted"
        daemon.want(hello)
        blocks, bye = daemon.blocks_until_bye()
        assert (bye.take, bye.reason) == (hello.take, "end")
        whole = np.concatenate(list(read_recording(recording, RATE)))
        np.testing.assert_array_equal(daemon.samples(hello.take), whole)
        assert [block.first_sample for block in blocks] == list(range(0, len(whole), 1280))
        assert ended(agent)[0] == 0


def test_a_recording_in_real_time_is_live_and_dated_by_its_samples(recording: Path) -> None:
    with AudioSocket() as daemon, running_agent(daemon.endpoint, Recording(path=str(recording))) as agent:
        hello = daemon.expect(Hello)
        assert hello.live
        daemon.want(hello)
        began = time.monotonic()
        blocks, _ = daemon.blocks_until_bye()
        took = time.monotonic() - began
        assert 1.9 < took < 4
        for block in blocks:
            assert block.monotonic - blocks[0].monotonic == pytest.approx(block.first_sample / RATE, abs=1e-6)
            assert block.captured_at - block.monotonic == pytest.approx(time.time() - time.monotonic(), abs=0.05)
        assert sum(len(pcm) for pcm in daemon.pcm[hello.take]) == -(-100_001 // 3)
        assert ended(agent)[0] == 0


def test_a_repeated_recording_is_one_unbroken_take(recording: Path) -> None:
    spec = Recording(path=str(recording), repeat=True, fast=True)
    with AudioSocket() as daemon, running_agent(daemon.endpoint, spec):
        hello = daemon.expect(Hello)
        daemon.want(hello, sample_rate=48_000, n_samples=10_000)
        blocks = daemon.blocks(25)
        assert [block.first_sample for block in blocks] == list(range(0, 250_000, 10_000))
        played = daemon.samples(hello.take)
        np.testing.assert_array_equal(played[:100_001], played[100_001:200_002])


def test_two_rates_are_two_takes_side_by_side(recording: Path) -> None:
    with AudioSocket() as daemon, running_agent(daemon.endpoint, Recording(path=str(recording), fast=True)):
        hello = daemon.expect(Hello)
        daemon.want(hello)
        daemon.want(hello, 32_000, 5000, "other")
        daemon.blocks_until_bye()
        for take, rate in ((hello.take, 16_000), ("other", 32_000)):
            np.testing.assert_array_equal(daemon.samples(take), np.concatenate(list(read_recording(recording, rate))))


def test_a_changed_want_begins_a_new_take(recording: Path) -> None:
    spec = Recording(path=str(recording), repeat=True)
    with AudioSocket() as daemon, running_agent(daemon.endpoint, spec):
        first = daemon.expect(Hello)
        daemon.want(first)
        daemon.blocks(2)
        daemon.want(first)  # the same again changes nothing
        assert [block.first_sample for block in daemon.blocks(2)] == [2560, 3840]
        daemon.want(first, n_samples=640)
        second = daemon.expect_after_others(Hello)
        assert second.take != first.take
        daemon.want(second, n_samples=640)
        assert [block.first_sample for block in daemon.blocks(2)] == [0, 640]


def test_a_hello_without_an_answer_is_said_again_as_another_take(recording: Path) -> None:
    with AudioSocket() as daemon, running_agent(daemon.endpoint, Recording(path=str(recording), fast=True)) as agent:
        first = daemon.expect(Hello)
        second = daemon.expect(Hello)
        assert second.take != first.take
        daemon.want(first)
        assert not daemon.has_message(0.5), "an answer to an earlier hello is no answer"
        daemon.want(second)
        daemon.blocks_until_bye()
        code, told = ended(agent)
        assert code == 0
        assert "no daemon answers at ipc://" in told


def test_a_refused_agent_says_why_once_and_asks_again(recording: Path) -> None:
    with AudioSocket() as daemon, running_agent(daemon.endpoint, Recording(path=str(recording), fast=True)) as agent:
        daemon.refuse(daemon.expect(Hello), "no source of that name")
        again = daemon.expect(Hello)
        daemon.want(again)
        daemon.blocks_until_bye()
        code, told = ended(agent)
        assert code == 0
        assert told.count("kitchen: refused: no source of that name") == 1


def test_an_agent_that_was_there_first_and_outlives_the_daemon_says_hello_to_each(recording: Path) -> None:
    with AudioSocket() as first:
        endpoint = first.endpoint
    with running_agent(endpoint, Recording(path=str(recording), repeat=True)):
        Path(endpoint.removeprefix("ipc://")).parent.mkdir()
        takes = set()
        for _ in range(3):
            with AudioSocket(endpoint=endpoint) as daemon:
                hello = daemon.expect(Hello)
                daemon.want(hello)
                assert [block.first_sample for block in daemon.blocks(3)] == [0, 1280, 2560]
                takes.add(hello.take)
        assert len(takes) == 3


def test_what_is_not_live_waits_for_a_slow_daemon_and_loses_nothing(recording: Path) -> None:
    spec = Recording(path=str(recording), fast=True)
    with AudioSocket(queue=2) as daemon, running_agent(daemon.endpoint, spec) as agent:
        hello = daemon.expect(Hello)
        daemon.want(hello, n_samples=160)
        daemon.blocks(5)
        time.sleep(3)  # longer than a live agent keeps audio
        blocks, _ = daemon.blocks_until_bye()
        assert all(not block.n_lost for block in blocks)
        np.testing.assert_array_equal(daemon.samples(hello.take), np.concatenate(list(read_recording(recording, RATE))))
        assert ended(agent)[0] == 0


def test_live_audio_that_nobody_takes_is_lost_in_long_runs_and_counted_exactly(tmp_path: Path) -> None:
    rate, n_seconds = 192_000, 6  # so fast that what the kernel holds between two processes is soon full
    where = np.arange(n_seconds * rate) // 40  # a sample's value tells its place
    path = tmp_path / "counting.wav"
    soundfile.write(path, where.astype(np.int16), rate)
    with AudioSocket(queue=1) as daemon, running_agent(daemon.endpoint, Recording(path=str(path))):
        hello = daemon.expect(Hello)
        daemon.want(hello, sample_rate=rate, n_samples=9600)
        blocks = daemon.blocks(10)
        time.sleep(4)
        more, bye = daemon.blocks_until_bye()
        blocks += more
        assert bye.reason == "end"
        losses = [block for block in blocks if block.n_lost]
        assert {block.flags for block in losses} == {("agent_queue",)}
        # The kernel takes a few blocks more when a heartbeat tries to get through, so there may be a second run.
        assert len(losses) <= 2
        assert all(block.n_lost >= rate for block in losses), "no single holes"
        position = 0
        for block, pcm in zip(blocks, daemon.pcm[hello.take], strict=True):
            position += block.n_lost
            assert block.first_sample == position
            np.testing.assert_array_equal(pcm, where[position : position + len(pcm)])
            position += len(pcm)
        assert position == len(where)


def test_sigterm_says_bye_and_ends_at_once(recording: Path) -> None:
    silent = Command(arguments=("sleep", "60"))
    for spec in (
        Recording(path=str(recording), repeat=True),
        silent,
        Command(arguments=("cat", "/dev/zero"), sample_rate=RATE),
    ):
        with AudioSocket() as daemon, running_agent(daemon.endpoint, spec) as agent:
            if spec == silent:
                wait_for(lambda: "sleep" in [child.name() for child in psutil.Process(agent.pid).children()] or None)
            else:
                daemon.want(daemon.expect(Hello))
                daemon.blocks(3)
            began = time.monotonic()
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(5) == STOPPED
            assert time.monotonic() - began < 1
            if spec != silent:
                assert daemon.expect_after_others(Bye).reason == "shutdown"


def test_a_hangup_sent_to_the_whole_service_interrupts_no_agent_nor_its_command() -> None:
    spec = Command(arguments=("cat", "/dev/zero"), sample_rate=RATE)
    with AudioSocket() as daemon, running_agent(daemon.endpoint, spec) as agent:
        daemon.want(daemon.expect(Hello))
        daemon.blocks(1)
        process = psutil.Process(agent.pid)
        for one in (process, *process.children(recursive=True)):
            one.send_signal(signal.SIGHUP)
        daemon.blocks(20)  # of the same take, without a bye
        assert len(process.children()) == 2


def test_an_agent_in_a_terminal_ends_with_it(recording: Path) -> None:
    with AudioSocket() as daemon:
        command = ["capture", "kitchen", "--recording", str(recording), "--repeat", "--endpoint", daemon.endpoint]
        with subprocess.Popen([sys.executable, "-m", "streamd", *command], stderr=subprocess.DEVNULL) as agent:
            daemon.expect(Hello)
            agent.send_signal(signal.SIGHUP)
            assert agent.wait(5) == -signal.SIGHUP


def test_a_daemon_that_closes_the_pipe_ends_its_agent(recording: Path) -> None:
    with AudioSocket() as daemon, running_agent(daemon.endpoint, Recording(path=str(recording), repeat=True)) as agent:
        daemon.want(daemon.expect(Hello))
        daemon.blocks(1)
        assert agent.stdin is not None
        agent.stdin.close()
        agent.stdin = None
        assert agent.wait(3) == STOPPED


def test_a_recording_that_is_none_ends_the_agent_and_the_daemon_is_told_why(tmp_path: Path) -> None:
    path = tmp_path / "text.wav"
    path.write_text("no audio")
    with AudioSocket() as daemon, running_agent(daemon.endpoint, Recording(path=str(path))) as agent:
        why = f"{path}: this can't be read as a recording; expected WAV, FLAC, OGG or MP3"
        assert daemon.expect(Waiting).detail == why
        assert ended(agent) == (65, "")  # the daemon says it: here too, every line would come twice


def test_damage_inside_a_recording_ends_the_take_and_says_where(tmp_path: Path) -> None:
    samples = np.zeros(RATE, np.float32)
    samples[8000] = np.nan
    path = tmp_path / "nan.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    with AudioSocket() as daemon, running_agent(daemon.endpoint, Recording(path=str(path), fast=True)) as agent:
        daemon.want(daemon.expect(Hello))
        blocks, bye = daemon.blocks_until_bye()
        assert blocks
        assert bye.reason == "device"
        assert "at 0.50 s: found NaN" in bye.detail
        assert ended(agent)[0] == 65


def test_blocks_of_the_first_take_say_what_the_agent_is(recording: Path) -> None:
    with AudioSocket() as daemon, running_agent(daemon.endpoint, Recording(path=str(recording))):
        hello = daemon.expect(Hello)
        daemon.want(hello, block_take="mine")
        block = daemon.expect(Block)
        assert (block.take, block.sample_rate, block.n_lost, block.flags) == ("mine", RATE, 0, ())
        assert hello.device == str(recording)
        assert hello.clock_id


def test_an_agent_loads_only_what_its_input_needs() -> None:
    program = "import sys, streamd.capture.agent, streamd.capture.specs; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"soxr", "soundfile", "sounddevice", "onnxruntime", "scipy", "rich", "asyncio", "zmq.asyncio", "yaml"}
    assert heavy & set(told) == set()


def test_an_agent_that_hangs_in_a_library_is_ended_by_the_kernel(tmp_path: Path) -> None:
    # A library that never returns, and whose call no handler of Python's can interrupt.
    (tmp_path / "sounddevice.py").write_text("import ctypes\nwhile True: ctypes.CDLL(None).pause()")
    program = """
from streamd.capture import agent
from streamd.capture.specs import Microphone
agent.HANG_SECONDS = 0.5
agent.run("kitchen", Microphone(), "ipc:///tmp/nobody-is-here")
"""
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    hung = subprocess.run([sys.executable, "-c", program], env=environment, check=False, timeout=10)
    assert hung.returncode == -signal.SIGALRM


def test_wrong_arguments_are_one_line() -> None:
    for arguments, expected in (
        (["kitchen"], "expected SOURCE ENDPOINT SPEC"),
        (["Kitchen", "ipc:///tmp/x", '{"kind":"Microphone"}'], "source name 'Kitchen'; expected lower-case"),
        (["kitchen", "nowhere", '{"kind":"Microphone"}'], "nowhere: no endpoint to connect to"),
        (["kitchen", "ipc:///tmp/x", "{}"], "says not what to capture"),
    ):
        command = [sys.executable, "-m", "streamd.capture", *arguments]
        told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        assert told.returncode in {64, 69}
        assert len(told.stderr.splitlines()) == 1
        assert expected in told.stderr

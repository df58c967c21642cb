"""A channel without a signal: noticed where there still are channels, and told in the header of every block."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from streamd.blocks import MAX_DEAD_CHANNELS, Hello
from streamd.capture.audio import mono
from streamd.capture.channels import ALIVE_LOOKS, DEAD_LOOKS, Channels
from streamd.capture.specs import Recording
from tests.agents import AudioSocket, running_agent

RATE = 16_000


def noise(seconds: float, n_channels: int = 2, rms: float = 1e-3) -> NDArray[np.float32]:
    chance = np.random.default_rng(0)
    return (rms * chance.standard_normal((round(seconds * RATE), n_channels))).astype(np.float32)


def without(channel: int, audio: NDArray[np.float32], left: float = 0.0) -> NDArray[np.float32]:
    """What is left of audio when a cable breaks."""
    audio = audio.copy()
    audio[:, channel - 1] = left
    return audio


def hear(channels: Channels, audio: NDArray[np.float32]) -> list[tuple[int, ...]]:
    """Return what is said after each read of 0.1 s, each change once."""
    said = [channels.dead]
    for begin in range(0, len(audio), RATE // 10):
        channels.mix(audio[begin : begin + RATE // 10])
        if channels.dead != said[-1]:
            said.append(channels.dead)
    return said


@pytest.mark.parametrize("left", [0.0, 0.2])
def test_a_channel_that_dies_and_comes_back_is_told_twice(left: float) -> None:
    dead = without(2, noise(2 * DEAD_LOOKS), left)
    audio = np.concatenate([noise(10), dead, noise(2 * ALIVE_LOOKS), without(2, noise(DEAD_LOOKS / 2))])
    assert hear(Channels(RATE), audio) == [(), (2,), ()]


def test_a_click_does_not_make_a_channel_alive() -> None:
    dead = without(1, noise(DEAD_LOOKS + 1))
    assert hear(Channels(RATE), np.concatenate([dead, noise(1), dead, noise(1), dead])) == [(), (1,)]


def test_of_many_dead_channels_no_more_are_named_than_a_block_may_name() -> None:
    audio = np.zeros(((DEAD_LOOKS + 1) * RATE, MAX_DEAD_CHANNELS + 2), np.float32)
    audio[:, :1] = noise(DEAD_LOOKS + 1, 1)
    assert hear(Channels(RATE), audio)[-1] == tuple(range(2, MAX_DEAD_CHANNELS + 2))


def test_silence_and_quiet_channels_are_not_dead() -> None:
    quiet = noise(3 * DEAD_LOOKS)
    quiet[:, 1] *= 0.1  # of which a few steps of 16 bits are left
    assert hear(Channels(RATE), quiet) == [()]
    assert hear(Channels(RATE), np.zeros((100 * RATE, 2), np.float32)) == [()]
    assert hear(Channels(RATE), without(1, noise(100, n_channels=1))) == [()]


def test_what_is_heard_is_the_mean_as_before() -> None:
    audio = without(2, noise(30, n_channels=4))
    channels = Channels(RATE)
    np.testing.assert_array_equal(channels.mix(audio), mono(audio))


def test_an_agent_tells_of_a_dead_channel_in_its_blocks(tmp_path: Path) -> None:
    audio = np.concatenate([noise(5), without(2, noise(DEAD_LOOKS + 5))])
    soundfile.write(tmp_path / "half.wav", audio, RATE)
    spec = Recording(path=str(tmp_path / "half.wav"), fast=True)
    with AudioSocket() as daemon, running_agent(daemon.endpoint, spec):
        daemon.want(daemon.expect(Hello))
        blocks, _ = daemon.blocks_until_bye()
    said = [block.dead_channels for block in blocks]
    assert said == sorted(said)
    assert (said[0], said[-1]) == ((), (2,))

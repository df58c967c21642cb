"""Targets: each output says what is new in it, on the manifest's grid of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from streamd.logmel import LogMelSpec, log_mel  # noqa: E402
from training.design.crnn import Crnn  # noqa: E402
from training.design.receptive_field import n_cold_outputs, n_frames_seen  # noqa: E402
from training.design.targets import grid, least_seconds  # noqa: E402
from training.design.vgg import Vgg  # noqa: E402
from training.prepare.clips import Clip  # noqa: E402
from training.prepare.simulation.scene import Placed  # noqa: E402

SPEC = LogMelSpec(n_mels=16)
N_SAMPLES = 40_000
N_FRAMES = (N_SAMPLES - SPEC.win_length) // SPEC.hop_length + 1


def placed(label, onset, offset):
    return Placed(label, onset, offset, Clip(Path("x.wav"), label, None, None, None, None))


def independently(sounds, labels, time_stride, delay_seconds):
    """By going through samples: an output is on if any sample since the middle of the last one's newest window is."""
    delay = round(delay_seconds * SPEC.sample_rate)
    n_outputs = N_FRAMES // time_stride
    found = np.zeros((n_outputs, len(labels)))
    for i, label in enumerate(labels):
        on = np.zeros(N_SAMPLES, bool)
        for sound in sounds:
            if sound.label == label:
                on[sound.onset_sample : sound.offset_sample] = True
        for output in range(n_outputs):
            newest = (output + 1) * time_stride - 1
            end = newest * SPEC.hop_length + SPEC.win_length // 2 - delay
            begin = end - time_stride * SPEC.hop_length
            found[output, i] = on[max(0, begin) : max(0, end)].any()
    return found


@pytest.mark.parametrize("delay_seconds", [0.0, 0.08, 0.16])
@pytest.mark.parametrize("n_blocks", [1, 3])
def test_targets_are_those_found_by_going_through_the_samples(n_blocks, delay_seconds):
    network = Vgg(16, 2, n_blocks)
    lies = grid(network, SPEC, ("a", "b"), delay_seconds)
    random = np.random.default_rng(4)
    scenes = []
    for _ in range(20):
        onsets = random.integers(0, N_SAMPLES - 9000, 3)
        scenes.append([placed("ab"[i % 2], int(on), int(on + random.integers(1, 9000))) for i, on in enumerate(onsets)])
    found = lies.targets(scenes, N_FRAMES // network.time_stride)
    expected = [independently(sounds, ("a", "b"), network.time_stride, delay_seconds) for sounds in scenes]
    np.testing.assert_array_equal(found.numpy(), expected)
    assert found.any()


def test_a_click_of_one_sample_has_a_target_and_lies_in_the_newest_windows_of_that_output():
    network = Vgg(16, 1, 3)
    lies = grid(network, SPEC, ("click",))
    for at in (4_000, 4_321, 12_345, 20_159):
        audio = np.zeros(N_SAMPLES, np.float32)
        audio[at] = 0.9
        loud = np.nonzero(log_mel(audio, SPEC).max(axis=1) > -60)[0]
        (on,) = lies.targets([[placed("click", at, at + 1)]], N_FRAMES // 4)[0, :, 0].nonzero()
        newest = range(4 * int(on), 4 * int(on) + 4)
        assert set(newest) & set(loud)
        # The output before it could not have said more than that something begins at the very edge of a window.
        assert not lies.targets([[placed("click", at, at + 1)]], N_FRAMES // 4)[0, : int(on)].any()


def test_outputs_that_see_no_whole_field_or_answer_for_the_scene_before_are_left_out():
    network = Vgg(16, 1, 3)
    prompt, late = grid(network, SPEC, ("a",)), grid(network, SPEC, ("a",), 0.16)
    assert prompt.n_masked(is_fresh=True) == n_cold_outputs(network.layers)
    assert prompt.n_masked(is_fresh=False) == 0
    # 160 ms before the first output's stretch there are four more of 40 ms, bar the half window that it is ahead.
    assert late.n_masked(is_fresh=False) == 4
    assert late.n_masked(is_fresh=True) == max(4, n_cold_outputs(network.layers))


def test_scenes_are_to_be_three_receptive_fields_long():
    network = Crnn(16, 1)
    seconds = least_seconds(network, SPEC)
    frames = (round(seconds * SPEC.sample_rate) - SPEC.win_length) // SPEC.hop_length + 1
    assert frames == 3 * n_frames_seen(network.layers)


def test_strange_labels_and_a_look_into_the_future_are_refused():
    network = Vgg(16, 1, 1)
    with pytest.raises(ValueError, match="label 'b'"):
        grid(network, SPEC, ("a",)).targets([[placed("b", 1, 2)]], 4)
    with pytest.raises(ValueError, match="2 labels"):
        grid(network, SPEC, ("a", "b"))
    with pytest.raises(ValueError, match="the future"):
        grid(network, SPEC, ("a",), -0.1)

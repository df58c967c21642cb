"""Where there is sound: found on signals whose active part is known."""

from __future__ import annotations

import numpy as np
import pytest

from training.prepare.simulation.activity import active_rms, active_samples

SAMPLE_RATE = 16_000


def tone(seconds, amplitude):
    return (amplitude * np.sin(np.arange(round(seconds * SAMPLE_RATE)) / 3)).astype(np.float32)


def test_a_tone_between_silences_is_active_where_it_is():
    audio = np.concatenate([np.zeros(8000), tone(0.5, 0.1), np.zeros(16_000)]).astype(np.float32)
    active = active_samples(audio, SAMPLE_RATE)
    assert active[8000:16_000].all()
    assert not active[:8000].any()
    assert not active[16_000:].any()


@pytest.mark.parametrize(("down_db", "counts"), [(27, True), (33, False)])
def test_what_is_30_db_below_the_loud_part_is_pause(down_db, counts):
    audio = np.concatenate([tone(1, 0.5), tone(1, 0.5 * 10 ** (-down_db / 20))])
    assert active_samples(audio, SAMPLE_RATE)[-8000:].all() == counts


def test_the_level_does_not_depend_on_silence_around():
    sound = tone(0.3, 0.2)
    padded = np.concatenate([np.zeros(4800), sound, np.zeros(160_000)]).astype(np.float32)
    assert active_rms(padded, SAMPLE_RATE) == pytest.approx(active_rms(sound, SAMPLE_RATE), rel=1e-6)
    assert active_rms(sound, SAMPLE_RATE) == pytest.approx(0.2 / np.sqrt(2), rel=0.01)


def test_silence_has_no_active_sample_and_no_level():
    silence = np.zeros(1234, np.float32)
    assert not active_samples(silence, SAMPLE_RATE).any()
    assert active_rms(silence, SAMPLE_RATE) == 0

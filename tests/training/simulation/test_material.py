"""Material: what cannot be simulated from is refused where it comes in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.prepare.clips import Clip
from training.prepare.simulation.material import Material, Sound
from training.prepare.simulation.room import room_of


def clip(label):
    return Clip(Path("a.wav"), label, None, None, None, None)


def test_background_and_empty_clips_are_no_sounds():
    with pytest.raises(ValueError, match=r"a\.wav is background"):
        Sound(clip(None), np.ones(5, np.float32))
    with pytest.raises(ValueError, match=r"a\.wav has no samples"):
        Sound(clip("kick"), np.zeros(0, np.float32))


def test_rooms_have_the_rate_of_the_material():
    room = room_of("hall", np.array([1, 0.5], np.float32), 16_000)
    assert Material(16_000, rooms=[room]).rooms
    with pytest.raises(ValueError, match="room hall is at 16000 Hz, the material at 44100"):
        Material(44_100, rooms=[room])

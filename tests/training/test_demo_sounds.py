"""The shipped recording holds, at the times of its list, the very sounds that the script makes."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from streamd import demo, shipped
from training.prepare import demo_sounds
from training.prepare.demo_recording import QUIET_DB
from training.prepare.demo_sounds import SAMPLE_RATE, Samples

MADE = {
    "Knock": demo_sounds.knocking(5),
    "Doorbell": demo_sounds.doorbell(),
    "Baby cry, infant cry": demo_sounds.crying_baby(4),
    "Vehicle horn, car horn, honking": demo_sounds.car_horn(),
    "Smoke detector, smoke alarm": demo_sounds.smoke_alarm(2),
    "Telephone": demo_sounds.telephone(2),
}


@pytest.mark.parametrize("label", MADE)
def test_only_the_noise_of_the_room_is_left_where_a_made_sound_is_taken_away(label: str) -> None:
    made: Samples = MADE[label]
    audio, rate = soundfile.read(shipped.demo_file("demo.flac"))
    assert rate == SAMPLE_RATE
    begin = next(round(sound.onset_seconds * rate) for sound in demo.sounds() if sound.label == label)
    # The list rounds to 10 ms.
    shifts = range(-rate // 100, rate // 100 + 1)
    shift = max(shifts, key=lambda n: float(audio[begin + n : begin + n + len(made)] @ made))
    heard = audio[begin + shift : begin + shift + len(made)]
    left = heard - made * (heard @ made) / (made @ made)
    assert 20 * np.log10(left.std()) == pytest.approx(QUIET_DB, abs=1.0)

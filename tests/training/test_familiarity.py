"""What is seen, interpolated or extrapolated: told from hand-made ranges and rooms."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("scipy")

from training.expect.familiarity import Condition, Trained, noises, trained_on
from training.expect.grid import DISTANCES_M, RT60_SECONDS, SNRS_DB, core_grid, middle_of, whole_grid
from training.prepare.simulation.ambience import KINDS as NOISE_KINDS
from training.prepare.simulation.ambience import AmbienceRange
from training.prepare.simulation.chance import Range
from training.prepare.simulation.material import Material
from training.prepare.simulation.microphone import KINDS, MicrophoneRange
from training.prepare.simulation.mix import MixRange
from training.prepare.simulation.noise import NoiseRange
from training.prepare.simulation.recipe import DRY, Recipe
from training.prepare.simulation.room import Room, RoomRange

RATE = 8_000
RECIPE = Recipe(
    mix=MixRange(snr_db=Range(0.0, 20.0), clean=0.1),
    ambience=AmbienceRange(kinds=("coloured", "babble"), coloured=NoiseRange(exponents=(0.0, 1.0))),
    microphone=MicrophoneRange(kinds=("flat", "phone")),
    room=RoomRange(dry=0.2),
)
SPEECH = np.ones(100, np.float32)
PLACE = np.ones(100, np.float32)


def room(rt60: float, distance: float | None, method: str = "hybrid") -> Room:
    return Room("room", "hall", np.ones(1, np.float32), RATE, 0, rt60, method, distance)


ROOMS = [room(0.2 + 0.01 * i, 1.0 + 0.05 * i) for i in range(41)]
"""RT60 from 0.2 to 0.6 s, distances from 1 to 3 m."""
MATERIAL = Material(RATE, rooms=ROOMS, speech=SPEECH)
TRAINED = trained_on(RECIPE, MATERIAL)
MIDDLE = Condition(noise="pink", snr_db=10.0, rt60_seconds=0.4, distance_m=2.0, microphone="flat")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "seen"),
        ({"snr_db": 1.0}, "seen"),
        ({"snr_db": 0.5}, "interpolated"),
        ({"snr_db": 0.0}, "interpolated"),
        ({"snr_db": -0.1}, "extrapolated"),
        ({"snr_db": -5.0}, "extrapolated"),
        ({"snr_db": 19.5}, "interpolated"),
        ({"snr_db": 30.0}, "interpolated"),  # between 20 dB and the tenth of all scenes that had no noise
        ({"snr_db": math.inf, "noise": "none"}, "seen"),
        ({"rt60_seconds": 0.0}, "seen"),
        ({"rt60_seconds": 0.1}, "interpolated"),  # between no room and the driest
        ({"rt60_seconds": 0.21}, "interpolated"),
        ({"rt60_seconds": 0.23}, "seen"),
        ({"rt60_seconds": 0.59}, "interpolated"),
        ({"rt60_seconds": 0.61}, "extrapolated"),
        ({"distance_m": 1.05}, "interpolated"),
        ({"distance_m": 0.9}, "extrapolated"),
        ({"distance_m": 4.0}, "extrapolated"),
        ({"distance_m": 4.0, "rt60_seconds": 0.0}, "seen"),  # without a room it is a matter of level
        ({"noise": "white"}, "seen"),
        ({"noise": "brown"}, "extrapolated"),
        ({"noise": "babble"}, "seen"),
        ({"noise": "hum"}, "extrapolated"),
        ({"noise": "recorded"}, "extrapolated"),
        ({"microphone": "phone"}, "seen"),
        ({"microphone": "laptop"}, "extrapolated"),
        ({"room_method": "noise"}, "extrapolated"),
        ({"room_method": "noise", "rt60_seconds": 0.0}, "seen"),
        ({"snr_db": 0.5, "microphone": "far"}, "extrapolated"),  # as strange as the strangest thing in it
    ],
)
def test_a_condition_is_as_familiar_as_its_strangest_part(changed, expected):
    assert TRAINED.familiarity(replace(MIDDLE, **changed)) == expected


def test_what_a_rare_end_of_the_scale_makes_of_itself_is_interpolated_and_what_never_was_extrapolated():
    def clean(share: float) -> Trained:
        return trained_on(replace(RECIPE, mix=MixRange(snr_db=Range(0.0, 20.0), clean=share)), MATERIAL)

    quiet = replace(MIDDLE, noise="none", snr_db=math.inf)
    assert clean(0.02).familiarity(quiet) == "interpolated"
    assert clean(0.0).familiarity(quiet) == "extrapolated"
    assert clean(0.0).familiarity(replace(MIDDLE, snr_db=30.0)) == "extrapolated"


def test_without_a_simulator_only_the_bare_clip_was_seen():
    trained = trained_on(DRY, MATERIAL)
    assert trained.familiarity(Condition()) == "seen"
    for strange in (
        Condition(noise="white", snr_db=20.0),
        Condition(rt60_seconds=0.3),
        Condition(microphone="flat"),
    ):
        assert trained.familiarity(strange) == "extrapolated"


def test_noise_that_the_material_can_not_make_was_not_drawn_whatever_the_recipe_says():
    assert set(noises(RECIPE.ambience, replace(MATERIAL, speech=SPEECH[:0]))) == {"white", "pink"}
    all_kinds = noises(AmbienceRange(), replace(MATERIAL, backgrounds=[PLACE]))
    assert set(all_kinds) == {"white", "pink", "brown"} | (set(NOISE_KINDS) - {"coloured"})


def test_rooms_whose_distance_or_decay_nobody_knows_do_not_count():
    rooms = [*ROOMS, room(math.nan, 9.0), room(0.3, None)]
    trained = trained_on(RECIPE, replace(MATERIAL, rooms=rooms))
    assert trained.rt60_seconds.high == pytest.approx(0.6)
    assert trained.distance_m.high == 9.0


def test_the_middle_is_what_training_saw():
    assert middle_of(TRAINED) == Condition("pink", 10.0, 0.3, 2.0, "flat")
    assert middle_of(trained_on(DRY, MATERIAL)) == Condition("none", math.inf, 0.0, 2.0, "none")
    odd = Recipe(ambience=AmbienceRange(kinds=("hum",)), microphone=MicrophoneRange(kinds=("far",)))
    assert middle_of(trained_on(odd, MATERIAL)) == Condition("hum", 10.0, 0.3, 2.0, "far")


def test_the_whole_grid_has_every_axis_and_the_core_a_dozen_of_its_conditions():
    material = replace(MATERIAL, backgrounds=[PLACE])
    whole, core = whole_grid(TRAINED, material), core_grid(TRAINED, material)
    assert len(set(whole)) == len(whole)
    assert set(core) <= set(whole)
    assert len(core) == 12
    assert core[0] == middle_of(TRAINED)
    assert {one.snr_db for one in whole} == set(SNRS_DB)
    assert {one.rt60_seconds for one in whole} == set(RT60_SECONDS)
    assert {one.distance_m for one in whole} == set(DISTANCES_M)
    assert {one.microphone for one in whole} == set(KINDS)
    assert len({one.noise for one in whole if one.snr_db == 0}) == len(NOISE_KINDS) + 2
    # The core looks at what training never drew.
    assert {"brown", "hum", "speech-shaped", "recorded"} & {one.noise for one in core}
    assert any(one.microphone not in RECIPE.microphone.kinds for one in core)


def test_trained_without_a_simulator_has_a_grid_around_the_bare_clip():
    trained = trained_on(DRY, MATERIAL)
    core = core_grid(trained, MATERIAL)
    assert core[0] == Condition()
    assert len(core) >= 10
    assert all(one.snr_db == math.inf for one in core if one.noise == "none")
    assert sum(trained.familiarity(one) == "seen" for one in core) == 1

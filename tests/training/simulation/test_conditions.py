"""What a test plays was never drawn in training: by content, and by name."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from streamd.errors import DataError
from training.expect.familiarity import trained_on
from training.prepare.clips import Clip
from training.prepare.groups import find_groups
from training.prepare.simulation import plan
from training.prepare.simulation.ambience import Ambience, AmbienceRange
from training.prepare.simulation.babble import Babble
from training.prepare.simulation.composites import Composite
from training.prepare.simulation.conditions import NO_SPEECH, Conditions, for_training, for_unseen
from training.prepare.simulation.microphone import KINDS as MICROPHONES
from training.prepare.simulation.microphone import Microphone, MicrophoneRange
from training.prepare.simulation.recipe import Recipe
from training.prepare.simulation.room import RoomRange
from training.prepare.simulation.sounds import backgrounds_of, sounds_of
from training.prepare.split import split

RATE = 8000
N_ITEMS = 150


def noise(seconds, seed):
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("rooms")


@pytest.fixture(scope="module")
def both(tmp_path_factory, cache):
    """A data set of ten kits and one long recording of the place, split, and what is made of its parts."""
    data = tmp_path_factory.mktemp("data")
    clips = []
    for i in range(10):
        path = data / f"kit{i}.wav"
        soundfile.write(path, noise(0.4, i), RATE)
        clips.append(Clip(path, "snare", None, None, f"kit {i}", None))
    soundfile.write(data / "place.wav", noise(90, 99), RATE)
    clips.append(Clip(data / "place.wav", None, None, None, "place", None))
    [parts] = split(find_groups(clips))
    speech = noise(8, 100).astype(np.float32)
    given = [(sounds_of(part, RATE), backgrounds_of(part, RATE)) for part in (parts.training, parts.test)]
    halves = np.split(speech, 2)
    return (
        for_training(*given[0], halves[0], RATE, cache, n_halls=4),
        for_unseen(*given[1], halves[1], RATE, cache, n_halls=4),
    )


def contents(conditions: Conditions):
    """Hashes of all audio, half a second at a time where it is longer: a part would be found in the whole, too."""
    material = conditions.material
    arrays = [one.audio for one in material.sounds] + [one.response for one in material.rooms]
    arrays += [material.speech, *material.backgrounds]
    n = RATE // 2
    pieces = [array[begin : begin + n] for array in arrays for begin in range(0, len(array), n)]
    return {hashlib.sha256(np.round(piece * 32_768).astype(np.int16).tobytes()).hexdigest() for piece in pieces}


def drawn(conditions: Conditions):
    """All plans of some items: what chance gave them."""
    return [plan.draw(conditions.recipe, conditions.material, 1, f"{conditions.name}/{i}") for i in range(N_ITEMS)]


def microphones(plans):
    return {effect.kind for one in plans for effect in one.recorded if isinstance(effect, Microphone)}


def noises(plans):
    """Kinds of noise; a place by what its first two layers are."""
    found = [one.ambience.noise for one in plans if one.ambience]
    return {
        tuple(type(layer.noise).__name__ for layer in one.layers) if isinstance(one, Composite) else type(one).__name__
        for one in found
    }


def test_no_sample_of_a_test_is_in_training(both):
    training, unseen = both
    assert len(contents(training)) > 20
    assert len(contents(unseen)) > 20
    assert not contents(training) & contents(unseen)
    assert not {one.clip.path for one in training.material.sounds} & {one.clip.path for one in unseen.material.sounds}


def test_rooms_of_a_test_are_of_another_method_and_other_halls(both):
    halls = [{room.hall for room in one.material.rooms} for one in both]
    assert [len(one) for one in halls] == [4, 4]
    assert not halls[0] & halls[1]
    assert {hall.split("-")[0] for hall in halls[0]} == {"hybrid"}
    assert {hall.split("-")[0] for hall in halls[1]} == {"noise"}


def test_microphones_and_noises_of_a_test_are_never_drawn_in_training(both):
    training, unseen = (drawn(one) for one in both)
    assert microphones(training) == {"flat", "phone", "electret", "far"}
    assert microphones(unseen) == {"laptop"}
    recorded = {"Recorded"}  # which are other recordings
    assert noises(training) & noises(unseen) == recorded
    assert {"ColouredNoise", "SpeechShapedNoise", "Hum", "Babble"} < noises(training)
    assert len(noises(unseen)) == 2


def test_half_of_the_noise_in_training_is_recorded_where_the_place_was_recorded(both):
    found = [type(one.ambience.noise).__name__ for one in drawn(both[0]) if one.ambience]
    assert found.count("Recorded") / len(found) == pytest.approx(0.5, abs=0.12)


def test_without_recordings_all_noise_is_generated_and_without_speech_nobody_talks(cache):
    for make in (for_training, for_unseen):
        conditions = make([], [], NO_SPEECH, RATE, cache, n_halls=1)
        ambiences = [one.ambience for one in drawn(conditions) if one.ambience]
        assert ambiences
        for ambience in ambiences:
            layers = getattr(ambience.noise, "layers", [ambience])
            assert not any(isinstance(layer.noise, Babble) for layer in layers)
            assert isinstance(ambience, Ambience)


def test_other_seeds_are_other_rooms(cache):
    rooms = [for_unseen([], [], NO_SPEECH, RATE, cache, seed=seed, n_halls=2).material.rooms for seed in (1, 2)]
    assert not {room.hall for room in rooms[0]} & {room.hall for room in rooms[1]}


def test_half_of_the_rooms_in_training_are_recorded_where_somebody_recorded_some(cache, tmp_path):
    for name in ("bath", "hall"):
        soundfile.write(tmp_path / f"{name}.wav", noise(0.2, len(name)), RATE)
    recipe = replace(Recipe(), room=RoomRange(dry=0.0, recorded=str(tmp_path)))
    training, unseen = (
        make([], [], NO_SPEECH, RATE, cache, n_halls=4, recipe=recipe) for make in (for_training, for_unseen)
    )
    methods = [plan.draw(training.recipe, training.material, 3, f"item {i}").room.method for i in range(N_ITEMS)]
    assert methods.count("recorded") / N_ITEMS == pytest.approx(0.5, abs=0.12)
    assert set(methods) == {"recorded", "hybrid"} == trained_on(training.recipe, training.material).room_methods
    assert {room.method for room in unseen.material.rooms} == {"noise"}
    dry = replace(recipe, room=None)
    assert for_training([], [], NO_SPEECH, RATE, cache, n_halls=4, recipe=dry).material.rooms == []


def test_a_recipe_with_one_microphone_and_one_noise_keeps_them_and_is_tested_with_others(cache):
    recipe = replace(Recipe(), room=None, microphone=MicrophoneRange(("laptop",)), ambience=AmbienceRange(("cafe",)))
    training = for_training([], [], NO_SPEECH, RATE, cache, recipe=recipe)
    unseen = for_unseen([], [], NO_SPEECH, RATE, cache, recipe=recipe)
    assert microphones(drawn(training)) == {"laptop"}
    assert len(microphones(drawn(unseen)) & (set(MICROPHONES) - {"laptop"})) == 1
    assert not noises(drawn(training)) & noises(drawn(unseen))
    assert training.material.rooms == unseen.material.rooms == []


def test_noise_that_cannot_be_made_is_told_before_anything_long(cache):
    recipe = replace(Recipe(), ambience=AmbienceRange(("recorded",)))
    with pytest.raises(DataError, match="none of the noises recorded can be made"):
        for_training([], [], NO_SPEECH, RATE, cache, recipe=recipe)

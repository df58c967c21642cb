"""The claim's table and picture, from outcomes whose truth is known; the training takes minutes and is not run here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from examples.claim.compare import CLEAN, QUIET, RECIPE, conditions, picture, pooled, recognised, rows
from training.expect.event_match import Sound
from training.expect.familiarity import trained_on
from training.expect.heard import Heard
from training.expect.play import LabelledStream, Played
from training.prepare.simulation.conditions import for_training

GROUPS = tuple(f"kit {i // 10}" for i in range(60))


def heard(share: float, seed: int) -> Heard:
    return Heard(tuple((np.random.default_rng(seed).random(60) < share).tolist()), GROUPS)


def outcomes(seed: int):
    """Both recognise 80 % where it is quiet; what was trained clean falls to 20 % in any noise."""
    noisy = {one: 0.2 if one.snr_db < 20 else 0.8 for one in conditions(has_speech=True)}
    return {
        "clean": {one: heard(share, seed) for one, share in noisy.items()},
        "simulated": {one: heard(0.8, seed) for one in noisy},
    }


def test_the_same_clip_at_any_place_is_told_by_the_highest_posterior_while_it_lasts():
    posteriors = np.array([[0.9, 0.1], [0.2, 0.3], [0.1, 0.7], [0.95, 0.0]], np.float32)
    stream = LabelledStream("kit 1", np.zeros(4000, np.int16), (Sound("snare", 1.5, 2.5),), "kit 1")
    played = Played(stream, posteriors, np.array([1.0, 2.0, 2.5, 4.0]), ())
    assert recognised([played], ["kick", "snare"], 0.1).heard == (True,)
    assert recognised([played], ["snare", "kick"], 0.1).heard == (False,)
    # Two hops behind its end a posterior still speaks of it.
    assert recognised([played], ["snare", "kick"], 0.8).heard == (True,)


def test_the_table_has_both_parts_and_the_interval_of_their_difference_over_all_seeds(tmp_path):
    drew = trained_on(RECIPE, for_training([], [], np.zeros(0, np.float32), 16_000, tmp_path, n_halls=0).material)
    familiar = {one: drew.familiarity(one) for one in conditions(has_speech=True)}
    table = rows([outcomes(0), outcomes(1)], familiar)
    quiet, drowned = table[0], next(row for row in table if row["condition"] == "white noise, -5 dB")
    assert quiet["condition"] == "clean"
    assert quiet["difference"] == 0
    assert quiet["difference_interval_95"][0] < 0 < quiet["difference_interval_95"][1]
    assert quiet["clean"]["n_sounds"] == 120
    assert drowned["difference"] == pytest.approx(0.6, abs=0.1)
    assert drowned["difference_interval_95"][0] > 0.4
    assert len(drowned["of_each_seed"]["clean"]) == 2


def test_all_sounds_of_all_seeds_are_pooled_with_their_groups():
    both = pooled([heard(0.5, 0), heard(0.5, 1)])
    assert len(both.heard) == 120
    assert both.groups == GROUPS * 2


def test_clean_training_has_levels_and_speeds_and_nothing_of_the_air_or_the_microphone():
    assert CLEAN.level is not None
    assert CLEAN.speed is not None
    assert (CLEAN.mix, CLEAN.room, CLEAN.microphone, CLEAN.self_noise) == (None,) * 4


def test_the_grid_changes_one_thing_at_a_time():
    for one in conditions(has_speech=False)[1:]:
        changed = [
            name for name in ("noise", "rt60_seconds", "microphone") if getattr(one, name) != getattr(QUIET, name)
        ]
        assert len(changed) == 1
    assert not any(one.noise == "babble" for one in conditions(has_speech=False))
    assert replace(QUIET, noise="babble", snr_db=0.0) in conditions(has_speech=True)


def test_the_picture_is_an_svg_with_a_panel_for_each_noise(tmp_path):
    familiar = {one: "extrapolated" if one.noise == "hum" else "seen" for one in conditions(has_speech=True)}
    picture(rows([outcomes(0)], familiar), 0.3, tmp_path / "claim.svg")
    text = (tmp_path / "claim.svg").read_text()
    assert text.count("SNR, dB") == len({one.noise for one in conditions(has_speech=True)} - {"none"})
    assert "hum: never drawn" in text
    assert "white: never drawn" not in text

"""Chance: repeatable, and a stage's own."""

from __future__ import annotations

import pytest

from training.prepare.simulation.chance import Range, generator


def test_seed_item_and_stage_give_the_same_draws_again():
    assert generator(1, "item", "room").random() == generator(1, "item", "room").random()


def test_another_seed_item_or_stage_gives_other_draws():
    all_of_them = {(1, "a", "room"), (2, "a", "room"), (1, "b", "room"), (1, "a", "mix"), (1, "ar", "oom")}
    assert len({generator(*one).random() for one in all_of_them}) == len(all_of_them)


def test_draws_are_the_same_on_every_machine():
    assert generator(7, "kick/0003", "mix").integers(2**32, size=2).tolist() == [1355600044, 456758714]


def test_a_range_gives_values_between_its_ends():
    rng = generator(1, "item", "gain")
    values = [Range(-6, 3).draw(rng) for _ in range(1000)]
    assert -6 <= min(values) < -5.9
    assert 2.9 < max(values) <= 3


def test_an_empty_range_is_refused():
    with pytest.raises(ValueError, match="from 2 to 1 is empty"):
        Range(2, 1)

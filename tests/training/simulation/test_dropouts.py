"""Drop-outs: silence where they are, nothing moved."""

from __future__ import annotations

import numpy as np
import pytest

from training.prepare.simulation.chance import generator
from training.prepare.simulation.dropouts import Dropouts, DropoutsRange, draw


def test_there_is_silence_in_the_holes_and_nothing_else_changes():
    audio = np.ones(16_000, np.float32)
    out = Dropouts(((0.25, 0.5), (0.99, 1.5))).apply(audio, 16_000)
    assert np.flatnonzero(out == 0).tolist() == [*range(4000, 8000), *range(15_840, 16_000)]
    assert audio.all()  # what was given stays as it was


def test_a_bad_link_has_as_many_a_minute_as_the_range_says():
    rng = generator(1, "a", "dropouts")
    drawn = [draw(rng, DropoutsRange(on=1.0), 60.0) for _ in range(300)]
    assert np.mean([len(one.holes) for one in drawn]) == pytest.approx(32.5, rel=0.1)
    lengths = [end - begin for one in drawn for begin, end in one.holes]
    assert min(lengths) >= 0.002
    assert max(lengths) <= 0.04


def test_most_links_are_good():
    rng = generator(1, "a", "dropouts")
    assert sum(draw(rng, DropoutsRange(), 10.0) is not None for _ in range(1000)) < 100

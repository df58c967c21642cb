"""How far a condition lies from what training drew: seen, interpolated or extrapolated.

Networks are robust within the variance they have seen. So a recall is worth as much as the answer to this question,
and the answer comes from the recipe and the material that training drew from, never from what somebody remembers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from training.expect.report import Familiarity
from training.prepare.simulation.ambience import KINDS, AmbienceRange
from training.prepare.simulation.chance import Range
from training.prepare.simulation.material import Material
from training.prepare.simulation.recipe import Recipe
from training.prepare.simulation.shoebox import Method

CORE = (0.05, 0.95)
"""Between these quantiles of what was drawn a value is *seen*: in a run of a thousand scenes there were dozens on
either side of it. A value nearer to an end was rare, and one beyond was never there."""
_ORDER: tuple[Familiarity, ...] = get_args(Familiarity)

NO_NOISE, NO_MICROPHONE = "none", "none"
"""What a condition without the stage is called."""

COLOURS = {0.0: "white", 1.0: "pink", 2.0: "brown"}
"""Names of noise whose power falls as 1 / frequency ** exponent."""


@dataclass(frozen=True)
class Condition:
    """What a sound is heard in: a cell of the matrix."""

    noise: str = NO_NOISE
    """A name of `noises`."""
    snr_db: float = math.inf
    """Infinite without noise."""
    rt60_seconds: float = 0.0
    """0 without a room."""
    distance_m: float = 2.0
    """Of no effect without a room: then only the level tells how far a sound is."""
    microphone: str = NO_MICROPHONE
    """A kind of microphone.KINDS."""
    room_method: Method = "hybrid"
    """How the room is computed; of no effect without one."""


@dataclass(frozen=True)
class Spread:
    """How training drew one quantity: a number that most scenes have, or an end of the scale that some have instead.

    The end of the scale is no noise at all (an SNR without bound), or no room (an RT60 of 0).
    """

    low: float
    """Least value that was drawn, as are the next three in their order; NaN where none ever was."""
    core_low: float
    core_high: float
    high: float
    end: float | None = None
    """The value of the end; None where the quantity has none."""
    end_share: float = 0.0
    """Part of the scenes that have it."""

    def familiarity(self, value: float) -> Familiarity:
        """Return how familiar a value is."""
        if value == self.end:
            return "seen" if self.end_share >= CORE[0] else "interpolated" if self.end_share > 0 else "extrapolated"
        if self.core_low <= value <= self.core_high:
            return "seen"
        ends = [self.low, self.high] + ([self.end] if self.end is not None and self.end_share > 0 else [])
        return "interpolated" if not math.isnan(self.low) and min(ends) <= value <= max(ends) else "extrapolated"


NEVER = Spread(math.nan, math.nan, math.nan, math.nan)
"""Of a quantity that was never drawn."""


@dataclass(frozen=True)
class Trained:
    """Everything that training drew, as far as a condition of the matrix names it."""

    snr_db: Spread
    rt60_seconds: Spread
    distance_m: Spread
    noises: frozenset[str]
    microphones: frozenset[str]
    room_methods: frozenset[str]

    def familiarity(self, condition: Condition) -> Familiarity:
        """Return how familiar a condition is: as familiar as the strangest thing in it."""
        parts = [self.snr_db.familiarity(condition.snr_db), self.rt60_seconds.familiarity(condition.rt60_seconds)]
        named: list[tuple[str, frozenset[str]]] = [(condition.microphone, self.microphones)]
        if condition.snr_db < math.inf:
            named.append((condition.noise, self.noises))
        if condition.rt60_seconds > 0:
            named.append((condition.room_method, self.room_methods))
            parts.append(self.distance_m.familiarity(condition.distance_m))
        parts += ["seen" if name in drawn else "extrapolated" for name, drawn in named]
        return max(parts, key=_ORDER.index)


def trained_on(recipe: Recipe, material: Material) -> Trained:
    """Return what training drew, from its recipe and material."""
    has_room = recipe.room is not None and len(material.rooms) > 0
    dry = recipe.room.dry if recipe.room and has_room else 1.0
    # A dead room has no decay to measure and says nothing of reverberation; how far it is can still be known.
    times = [room.rt60_seconds for room in material.rooms if not math.isnan(room.rt60_seconds)]
    distances = [room.distance_m for room in material.rooms if room.distance_m is not None]
    clean = recipe.mix.clean if recipe.mix else 1.0
    return Trained(
        snr_db=_of_range(recipe.mix.snr_db if recipe.mix and clean < 1 else None, math.inf, clean),
        rt60_seconds=_of_values(times if dry < 1 else (), 0.0, dry),
        distance_m=_of_values(distances if dry < 1 else ()),
        noises=frozenset(noises(recipe.ambience, material) if clean < 1 else ()),
        microphones=frozenset(recipe.microphone.kinds if recipe.microphone else {NO_MICROPHONE}),
        room_methods=frozenset(room.method for room in material.rooms) if dry < 1 else frozenset(),
    )


def noises(range_: AmbienceRange, material: Material) -> Mapping[str, AmbienceRange]:
    """Return the range of each noise that a range can draw from some material, by name.

    Coloured noise has a name for each colour; the other kinds are called as they are.
    """
    missing = {"babble": not len(material.speech), "recorded": not material.backgrounds}
    found: dict[str, AmbienceRange] = {}
    for kind in KINDS:
        if kind not in range_.kinds or missing.get(kind):
            continue
        if kind != "coloured":
            found[kind] = replace(range_, kinds=(kind,), from_a_point=0.0)
            continue
        for exponent in range_.coloured.exponents:
            colour = COLOURS.get(exponent, f"1/f^{exponent:g}")
            only = replace(range_.coloured, exponents=(exponent,))
            found[colour] = replace(range_, kinds=(kind,), coloured=only, from_a_point=0.0)
    return found


def _of_range(range_: Range | None, end: float, end_share: float) -> Spread:
    if range_ is None:
        return Spread(NEVER.low, NEVER.core_low, NEVER.core_high, NEVER.high, end, end_share)
    core_low, core_high = (range_.low + part * (range_.high - range_.low) for part in CORE)
    return Spread(range_.low, core_low, core_high, range_.high, end, end_share)


def _of_values(values: Iterable[float], end: float | None = None, end_share: float = 0.0) -> Spread:
    found: Sequence[float] = sorted(values)
    if not found:
        return Spread(NEVER.low, NEVER.core_low, NEVER.core_high, NEVER.high, end, end_share)
    core_low, core_high = np.quantile(found, CORE).tolist()
    return Spread(found[0], core_low, core_high, found[-1], end, end_share)

"""Which cells the robustness matrix has: a middle, and what differs from it in one thing, or in noise and its level."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import product
from typing import TypeVar

from training.expect.familiarity import NO_MICROPHONE, NO_NOISE, Condition, Trained, noises
from training.prepare.simulation.ambience import AmbienceRange
from training.prepare.simulation.material import Material
from training.prepare.simulation.microphone import KINDS

SNRS_DB = (-5.0, 0.0, 5.0, 10.0, 20.0, math.inf)
"""From a sound that drowns to one without noise."""
RT60_SECONDS = (0.0, 0.3, 0.6, 1.0)
"""Out of doors or close by; a furnished room; an office or kitchen; a bathroom or stairwell."""
DISTANCES_M = (0.5, 1.0, 2.0, 4.0)
"""Twice as far each time: the direct path falls by 6 dB, and the room's answer stays."""

T = TypeVar("T")


def middle_of(trained: Trained) -> Condition:
    """Return the condition that others differ from: the nearest to an ordinary place that training saw.

    Pink noise at 10 dB, a furnished room, two metres, a flat microphone; what was not seen is replaced by the next.
    """
    snrs = [snr for snr in SNRS_DB if trained.snr_db.familiarity(snr) == "seen"]
    times = [seconds for seconds in RT60_SECONDS if trained.rt60_seconds.familiarity(seconds) == "seen"]
    distances = [metres for metres in DISTANCES_M if trained.distance_m.familiarity(metres) == "seen"]
    snr_db = _first((10.0, 5.0, 20.0, 0.0, -5.0, math.inf), snrs)
    noise = _first(("pink", "white", "brown", "speech-shaped", *sorted(trained.noises)), trained.noises)
    return Condition(
        noise=noise if snr_db < math.inf else NO_NOISE,
        snr_db=snr_db,
        rt60_seconds=_first((0.3, 0.6, 0.0, 1.0), times),
        distance_m=_first((2.0, 1.0, 4.0, 0.5), distances),
        microphone=_first(("flat", *KINDS, NO_MICROPHONE), trained.microphones),
    )


def whole_grid(trained: Trained, material: Material) -> list[Condition]:
    """Return every noise at every SNR, every RT60, every microphone and every distance: some sixty conditions.

    Args:
        trained: what training drew: the middle depends on it.
        material: what evaluation plays: which noises there are depends on it.
    """
    middle = middle_of(trained)
    kinds = noises(AmbienceRange(), material)
    found = [middle, _clean(middle)]
    found += [replace(middle, noise=kind, snr_db=snr) for kind, snr in product(kinds, SNRS_DB) if snr < math.inf]
    found += [replace(middle, rt60_seconds=seconds) for seconds in RT60_SECONDS]
    found += [replace(middle, microphone=kind) for kind in KINDS]
    found += [replace(_in_room(middle), distance_m=metres) for metres in DISTANCES_M]
    return list(dict.fromkeys(found))


def core_grid(trained: Trained, material: Material) -> list[Condition]:
    """Return a dozen conditions: the ends of each axis, and what training never drew.

    Between the ends recall changes in one direction, as a rule; the whole grid shows where. Kinds of noise are compared
    where the noise is as loud as the sound: there they differ most. Of all microphones the telephone has the narrowest
    band.
    """
    middle = middle_of(trained)
    kinds = noises(AmbienceRange(), material)
    colour = "pink" if middle.noise == NO_NOISE else middle.noise
    never_played = [kind for kind in kinds if kind not in trained.noises]
    others = [kind for kind in dict.fromkeys([*never_played, "recorded", "babble", "hum"]) if kind in kinds]
    never_heard = [kind for kind in KINDS if kind not in trained.microphones]
    found = [middle, _clean(middle)]
    found += [replace(middle, noise=colour, snr_db=snr) for snr in (20.0, 0.0, -5.0)]
    found += [replace(middle, noise=kind, snr_db=0.0) for kind in others if kind != colour][:2]
    found += [replace(middle, rt60_seconds=seconds) for seconds in (0.0, 1.0)]
    found += [replace(middle, microphone=kind) for kind in dict.fromkeys(["phone", *never_heard, "far"])][:2]
    found += [replace(_in_room(middle), distance_m=DISTANCES_M[-1])]
    return list(dict.fromkeys(found))


def _clean(middle: Condition) -> Condition:
    return replace(middle, noise=NO_NOISE, snr_db=math.inf)


def _in_room(middle: Condition) -> Condition:
    """Return the middle in a room, where it is in none: there is nothing to tell distances by without one."""
    return middle if middle.rt60_seconds > 0 else replace(middle, rt60_seconds=RT60_SECONDS[1])


def _first(wanted: Sequence[T], allowed: Collection[T]) -> T:
    """Return the first wanted one that is allowed; the first of all where none is."""
    return next((one for one in wanted if one in allowed), wanted[0])

"""A room: what of a sound arrives at a place, by an impulse response that was measured or computed elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.prepare.simulation.audio import Audio
from training.prepare.simulation.convolve import convolved

DIRECT_SECONDS = 0.0025
"""What arrives this soon around the strongest sample is the direct path: a reflection so close behind came a way
less than 0.9 m longer, and a response between two samples or through a loudspeaker is spread over several."""


@dataclass(frozen=True, eq=False)
class Room:
    """An impulse response whose direct path has the energy 1, so that a room changes no level that counts."""

    name: str
    hall: str
    """Responses of one hall are places in the same room."""
    response: Audio
    """(n_samples,)"""
    sample_rate: int
    direct_sample: int
    """By how much the direct path is late: labels move with it."""
    rt60_seconds: float
    """As measured on the response; nan where it has no decay to measure."""
    method: str = "recorded"
    """How the response was made: by somebody in a room, or a method of shoebox.py."""
    distance_m: float | None = None
    """From the sound to the microphone; None where nobody knows."""

    def apply(self, audio: Audio, sample_rate: int) -> Audio:
        """Return audio (n_samples,) as heard in the room, `direct_sample` late; the last echoes are cut off."""
        if sample_rate != self.sample_rate:
            raise ValueError(f"room {self.name} is at {self.sample_rate} Hz, the audio at {sample_rate}; resample one")
        return convolved(audio, self.response)


def room_of(name: str, response: Audio, sample_rate: int, hall: str | None = None) -> Room:
    """Return the room of an impulse response (n_samples,), of any level; ValueError if it is silent.

    hall: the same for all responses that were taken in one room; None for one that stands alone.
    """
    if not np.any(response):
        raise ValueError(f"the impulse response {name} is silent; expected a direct path")
    direct_sample = int(np.argmax(np.abs(response)))
    reach = round(DIRECT_SECONDS * sample_rate)
    direct = response[max(0, direct_sample - reach) : direct_sample + reach + 1]
    scaled = response / np.sqrt(np.sum(np.square(direct, dtype=np.float64)))
    rt60_seconds = reverberation_seconds(response, sample_rate)
    of_hall = name if hall is None else hall
    return Room(name, of_hall, scaled.astype(np.float32), sample_rate, direct_sample, rt60_seconds)


def reverberation_seconds(response: Audio, sample_rate: int) -> float:
    """Return RT60, extrapolated from the fall between -5 and -35 dB (T30 of ISO 3382); nan without such a fall.

    The decay is the energy still to come at each sample (Schroeder, JASA 37, 1965).
    """
    still_to_come = np.cumsum(np.square(response[::-1], dtype=np.float64))[::-1]
    with np.errstate(divide="ignore"):
        decay_db = 10 * np.log10(still_to_come / still_to_come[0])
    falling = np.flatnonzero((decay_db <= -5) & (decay_db >= -35))
    # One step down is a direct path with nothing behind it, not a decay.
    if len(falling) < 2 or np.ptp(decay_db[falling]) < 20:
        return float("nan")
    slope = np.polyfit(falling / sample_rate, decay_db[falling], 1)[0]
    return float(-60 / slope)


def places_around(room: Room | None, rooms: Sequence[Room]) -> list[Audio]:
    """Return the responses of the other places in the hall of a room; of its own, if no other is known; none if dry."""
    if room is None:
        return []
    return [one.response for one in rooms if one.hall == room.hall and one is not room] or [room.response]


@dataclass(frozen=True)
class RoomRange:
    """Where a room comes from: one of the given ones, each as likely."""

    dry: float = 0.2
    """Fraction of items without a room: a microphone close by must stay inside of what was heard in training."""
    recorded: str | None = None
    """A folder of impulse responses that somebody recorded; training draws from them as often as from computed ones."""


def draw(rng: np.random.Generator, range_: RoomRange, rooms: Sequence[Room]) -> Room | None:
    """Return one of the rooms; None for a dry item, or if there are no rooms."""
    is_dry = rng.uniform() < range_.dry
    room = rooms[int(rng.integers(len(rooms)))] if rooms else None
    return None if is_dry else room

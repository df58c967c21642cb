"""Rooms that were never built: boxes drawn by chance, and the impulse responses of places in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from training.prepare.simulation.audio import Audio
from training.prepare.simulation.chance import Range, draw_seed

SOUND_SPEED = 343.0
"""In m/s, at 20 °C."""
WALL_METRES = 0.3
"""Nothing stands closer to a wall than this: at a wall it and its first image would be one."""

Point = tuple[float, float, float]
Method = Literal["hybrid", "noise"]


@dataclass(frozen=True)
class Shoebox:
    """A box with a microphone and places to make a sound at; lengths in metres."""

    size: Point
    absorption: float
    """Fraction of the energy that the walls keep at each reflection."""
    scattering: float
    """Fraction of what they give back that goes in any direction, and not as from a mirror."""
    microphone: Point
    places: tuple[Point, ...]
    """The first for a sound, the others for noises in the same room; any may be either."""
    seed: int
    """Of rays and noise."""

    @property
    def expected_rt60(self) -> float:
        """RT60 in seconds of a diffuse field in the room (Eyring, JASA 1, 1930): the promise, not the measurement."""
        return float(0.161 * np.prod(self.size) / (-self._surface * np.log(1 - self.absorption)))

    def distance(self, place: int) -> float:
        """Return how far a place is from the microphone, in metres."""
        return float(np.linalg.norm(np.subtract(self.places[place], self.microphone)))

    def direct_sample(self, place: int, sample_rate: int) -> int:
        """Return at which sample of a response the direct path arrives.

        By geometry: far from the source several reflections that arrive together can be stronger than it.
        """
        return round(self.distance(place) / SOUND_SPEED * sample_rate)

    @property
    def _surface(self) -> float:
        x, y, z = self.size
        return 2 * (x * y + x * z + y * z)

    def hybrid(self, sample_rate: int) -> list[Audio]:
        """Return a response (n_samples,) for each place: image sources to the third order, then rays, in air.

        By pyroomacoustics (Scheibler, Bezzam and Dokmanić, ICASSP 2018). Image sources alone never scatter, and between
        even walls their late echoes fall too slowly.
        """
        import pyroomacoustics as pra

        pra.random.seed(self.seed)
        # With more threads sums are rounded otherwise, and machines with more cores made other rooms.
        pra.constants.set("num_threads", 1)
        materials = pra.Material(self.absorption, self.scattering)
        room = pra.ShoeBox(
            self.size, fs=sample_rate, materials=materials, max_order=3, ray_tracing=True, air_absorption=True
        )
        room.set_sound_speed(SOUND_SPEED)
        room.add_microphone(list(self.microphone))
        for place in self.places:
            room.add_source(list(place))
        room.compute_rir()
        # Its filters for parts of a sample are symmetric, and make everything late by half their length.
        late = pra.constants.get("frac_delay_length") // 2
        return [np.asarray(response[late:], np.float32) for response in room.rir[0]]

    def noise(self, sample_rate: int) -> list[Audio]:
        """Return a response (n_samples,) for each place: the direct path, and noise that falls exponentially behind it.

        The theory of a diffuse field (Kuttruff, Room Acoustics, 5): 60 dB in `expected_rt60`, and so much energy that
        it is equal to that of the direct path at the critical distance. It shares nothing with `hybrid`: a model that
        was trained with one is tested with the other.
        """
        rng = np.random.default_rng(self.seed)
        equivalent_area = self._surface * self.absorption / (1 - self.absorption)
        n_tail = round(1.2 * self.expected_rt60 * sample_rate)
        decay = 10 ** (-3 * np.arange(n_tail) / (self.expected_rt60 * sample_rate))
        responses = []
        for place in range(len(self.places)):
            tail = rng.standard_normal(n_tail) * decay
            energy = 16 * np.pi * self.distance(place) ** 2 / equivalent_area
            tail *= np.sqrt(energy / np.sum(tail**2))
            direct_sample = self.direct_sample(place, sample_rate)
            response = np.zeros(direct_sample + 1 + n_tail)
            response[direct_sample] = 1
            response[direct_sample + 1 :] = tail
            responses.append(response.astype(np.float32))
        return responses


METHODS: dict[Method, Callable[[Shoebox, int], list[Audio]]] = {"hybrid": Shoebox.hybrid, "noise": Shoebox.noise}
"""How responses are computed. Training draws from the first; evaluation keeps the second, so that it is new there."""


@dataclass(frozen=True)
class ShoeboxRange:
    """What boxes are drawn from: from a tiled bathroom to a furnished living room or a meeting room."""

    length: Range = Range(2.0, 9.0)
    width: Range = Range(2.0, 6.0)
    height: Range = Range(2.3, 3.5)
    absorption: Range = Range(0.1, 0.5)
    """From plaster and glass to carpet, curtains and beds; with these sizes RT60 lies between 0.1 and 1.4 s."""
    scattering: Range = Range(0.05, 0.5)
    """From bare walls to shelves."""
    least_distance: float = 0.5
    """Between the microphone and a place, in metres: the radius of the sphere that catches rays. Sounds that are
    closer are dry."""
    n_places: int = 2
    """One for the sound, one for the noise."""


def draw(rng: np.random.Generator, range_: ShoeboxRange) -> Shoebox:
    """Return a box with everything in its place."""
    size = (range_.length.draw(rng), range_.width.draw(rng), range_.height.draw(rng))
    if min(size) < 2 * WALL_METRES + range_.least_distance:
        raise ValueError(f"a room of {size} m has no space for {range_.least_distance} m between two points in it")

    def point() -> Point:
        x, y, z = (float(rng.uniform(WALL_METRES, side - WALL_METRES)) for side in size)
        return x, y, z

    absorption, scattering, microphone = range_.absorption.draw(rng), range_.scattering.draw(rng), point()
    places: list[Point] = []
    while len(places) < range_.n_places:
        place = point()
        if np.linalg.norm(np.subtract(place, microphone)) >= range_.least_distance:
            places.append(place)
    return Shoebox(size, absorption, scattering, microphone, tuple(places), draw_seed(rng))

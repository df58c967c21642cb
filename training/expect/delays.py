"""How long after a sound begins and ends the decision says so: measured on sounds placed at known times.

The manifest carries both medians, in samples; the detector takes them off, so that an event lies where its
sound lies. Placed are sounds that can be made from a formula, and YAMNet's own reference of a crow; streams of labelled
sounds are measured by `stream_delays`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamd.decision import DecisionSpec
from streamd.detector import Detector
from streamd.model import Model

SAMPLE_RATE = 16_000
N_PLACES = 16
"""Each sound is placed at so many positions within a hop."""
NOISE = 2.0
"""Standard deviation of the noise around a sound, in least significant bits."""

CROW = Path(__file__).parents[2] / "tests" / "data" / "yamnet_reference.npz"


@dataclass(frozen=True)
class Placed:
    """A sound and the label it should be given."""

    label: str
    samples: NDArray[np.float64]
    """Shape (n,), in -1…1; begins and ends with the sound."""


@dataclass(frozen=True)
class Delays:
    """Medians over all placed sounds that were heard, in samples, and their spread."""

    onset: int
    offset: int
    onset_quartiles: tuple[int, int]
    offset_quartiles: tuple[int, int]
    n_heard: int
    n_placed: int
    sample_rate: int = SAMPLE_RATE

    @classmethod
    def of(
        cls, late_onsets: Sequence[int], late_offsets: Sequence[int], n_placed: int, sample_rate: int = SAMPLE_RATE
    ) -> Delays:
        """Return the medians and quartiles of how late onsets and offsets were, in samples; at least one of each.

        A decision can't be taken before its sound: a median below 0 is 0.
        """
        on, off = (
            [max(0, round(float(at))) for at in np.percentile(late, [25, 50, 75])]
            for late in (late_onsets, late_offsets)
        )
        return cls(on[1], off[1], (on[0], on[2]), (off[0], off[2]), len(late_onsets), n_placed, sample_rate)

    def as_expected(self) -> dict[str, Any]:
        """Return what the manifest says of them, in seconds."""

        def seconds(samples: tuple[int, int]) -> list[float]:
            return [round(one / self.sample_rate, 3) for one in samples]

        return {
            "n_placed": self.n_placed,
            "n_heard": self.n_heard,
            "onset_delay_seconds_quartiles": seconds(self.onset_quartiles),
            "offset_delay_seconds_quartiles": seconds(self.offset_quartiles),
        }


def measure(model: Model, decisions: Mapping[str, DecisionSpec]) -> Delays:
    """Place every sound at several positions within a hop and compare the events with the truth.

    Args:
        model: with delays of 0 in its manifest, so that the detector gives the bare ends of hops.
        decisions: by label.

    Raises:
        ValueError: the manifest has delays already, or no sound was heard.
    """
    facts = model.manifest
    if facts.onset_delay or facts.offset_delay:
        raise ValueError("delays are measured on a model whose manifest says 0 for both")
    sounds = placed_sounds()
    late_onset, late_offset = [], []
    for seed, sound in enumerate(sounds):
        for place in range(N_PLACES):
            begin = 4 * SAMPLE_RATE + place * facts.hop_samples // N_PLACES
            for onset, offset in _first_event(model, sound, decisions[sound.label], begin, seed):
                late_onset.append(onset - begin)
                late_offset.append(offset - begin - len(sound.samples))
    if not late_onset:
        raise ValueError("none of the placed sounds was heard")
    return Delays.of(late_onset, late_offset, len(sounds) * N_PLACES)


def _first_event(model: Model, sound: Placed, spec: DecisionSpec, begin: int, seed: int) -> list[tuple[int, int]]:
    """Return onset and offset, in samples, of the first event that a placed sound gives; empty if it gives none."""
    after = round((spec.min_silence_seconds + 3) * SAMPLE_RATE)
    audio = np.random.default_rng(seed).normal(0, NOISE, begin + len(sound.samples) + after)
    audio[begin : begin + len(sound.samples)] += 32767 * sound.samples
    detector = Detector(model, {sound.label: spec})
    detector.start("placed")
    detector.push("placed", np.clip(np.rint(audio), -32768, 32767).astype(np.int16))
    found = [detection for hop in detector.step() for detection in hop.detections] + detector.flush()
    offsets = {one.number: one.offset_sample for one in found if one.offset_sample is not None}
    return [(one.onset_sample, offsets[one.number]) for one in found if one.offset_sample is None][:1]


def placed_sounds() -> list[Placed]:
    """Return the sounds: an alarm's three beeps, a car alarm, a horn, a ringing tone, a crow."""
    with np.load(CROW) as arrays:
        crow = arrays["crow/waveform"].astype(np.float64)
    return [
        Placed("Smoke detector, smoke alarm", three_beeps()),
        Placed("Smoke detector, smoke alarm", three_beeps()[: SAMPLE_RATE // 2]),
        Placed("Car alarm", car_alarm(3.0)),
        Placed("Vehicle horn, car horn, honking", horn(0.8)),
        Placed("Vehicle horn, car horn, honking", horn(2.0)),
        Placed("Telephone", ringing(2.0)),
        Placed("Crow", crow),
    ]


def three_beeps(frequency: float = 3100.0, level: float = 0.3) -> NDArray[np.float64]:
    """Return one group of a smoke alarm (ISO 8201): three beeps of 0.5 s, 0.5 s apart; 2.5 s in all."""
    beep = level * np.sin(2 * np.pi * frequency * _time(0.5)) * _edges(0.5)
    rest = np.zeros(SAMPLE_RATE // 2)
    return np.concatenate([beep, rest, beep, rest, beep])


def car_alarm(seconds: float) -> NDArray[np.float64]:
    """Return a car alarm's sweeps from 1.5 to 2.4 kHz, four a second."""
    frequency = 1500 + 900 * ((4 * _time(seconds)) % 1)
    return 0.3 * np.sin(2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE) * _edges(seconds)


def horn(seconds: float) -> NDArray[np.float64]:
    """Return a car horn: square waves of 400 and 500 Hz."""
    time = _time(seconds)
    notes = sum(np.sign(np.sin(2 * np.pi * frequency * time)) for frequency in (400.0, 500.0))
    return np.asarray(0.15 * notes * _edges(seconds))


def ringing(seconds: float) -> NDArray[np.float64]:
    """Return a telephone's ringing tone: 440 and 480 Hz."""
    time = _time(seconds)
    return np.asarray(0.2 * (np.sin(2 * np.pi * 440 * time) + np.sin(2 * np.pi * 480 * time)) * _edges(seconds))


def _time(seconds: float) -> NDArray[np.float64]:
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _edges(seconds: float) -> NDArray[np.float64]:
    """A ramp of 5 ms at both ends: a switched tone would click."""
    n = round(seconds * SAMPLE_RATE)
    position = np.minimum(np.arange(n), np.arange(n)[::-1]) / (0.005 * SAMPLE_RATE)
    return np.minimum(1.0, position)

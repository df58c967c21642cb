"""Sounds of a house made from sines and noise, for the demo: a network takes them for the real thing.

All return float samples (n_samples,) at SAMPLE_RATE, of any level.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000

Samples = NDArray[np.float64]


def silence(seconds: float) -> Samples:
    """Return digital silence."""
    return np.zeros(round(seconds * SAMPLE_RATE))


def room(dry: Samples, reverberation_seconds: float, level: float, seed: int = 1) -> Samples:
    """Return a sound with a room around it: a tail of decaying noise, 60 dB down after the given time."""
    n = round(reverberation_seconds * SAMPLE_RATE)
    response = np.random.default_rng(seed).standard_normal(n) * np.exp(np.log(1e-3) * np.arange(n) / n)
    response *= level / np.linalg.norm(response)
    wet = np.convolve(dry, response)
    wet[: len(dry)] += dry
    return wet


def faded(sound: Samples, in_seconds: float, out_seconds: float) -> Samples:
    """Return a sound without clicks at its ends."""
    ramps = [np.sin(np.linspace(0, np.pi / 2, round(s * SAMPLE_RATE))) ** 2 for s in (in_seconds, out_seconds)]
    result = sound.copy()
    result[: len(ramps[0])] *= ramps[0]
    result[-len(ramps[1]) :] *= ramps[1][::-1]
    return result


def smoke_alarm(n_threes: int) -> Samples:
    """Return a smoke alarm's three beeps and a pause (temporal-three of ISO 8201), n_threes times."""
    beep = faded(_harmonics(3290.0, 0.5, (1.0, 0.06)), 0.005, 0.005)
    three = np.concatenate([*[beep, silence(0.5)] * 3, silence(1.0)])
    return room(np.tile(three, n_threes)[: -len(silence(1.5))], 0.3, 0.2)


def doorbell() -> Samples:
    """Return two chime bars, struck one after the other, twice."""
    decay = 0.35
    bars = [
        _struck([(hz, 1.0, decay), (2.76 * hz, 0.39, 0.3 * decay), (5.4 * hz, 0.16, 0.1 * decay)], 1.85)
        for hz in (750.0, 595.5)
    ]
    ding_dong = _mixed([(0.0, bars[0]), (0.815, bars[1])])
    return room(np.tile(ding_dong, 2), 0.33, 0.24)


def telephone(n_rings: int) -> Samples:
    """Return an old telephone: one clapper between two bells."""
    rng = np.random.default_rng(2)
    strikes_a_second, ring_seconds = 29.0, 1.2
    click = round(0.004 * SAMPLE_RATE)
    strikes = []
    for i in range(round(strikes_a_second * ring_seconds)):
        hz = (1399.0, 1813.0)[i % 2]
        partials = [
            (hz, 1.0, 0.075),
            (2.1 * hz, 0.6, 0.045),
            (3.3 * hz, 0.4, 0.03),
            (min(4.6 * hz, 7900.0), 0.3, 0.015),
        ]
        bell = _struck(partials, 0.6)
        bell[:click] += 0.095 * rng.standard_normal(click)
        strikes.append((i / strikes_a_second, bell))
    ring = _mixed(strikes)
    return room(np.concatenate([ring, *[silence(1.13), ring] * (n_rings - 1)]), 0.4, 0.23)


def knocking(n_knocks: int) -> Samples:
    """Return knuckles on a wooden door: short low modes and a thud of noise."""
    rng = np.random.default_rng(5)
    ratios = np.array([1.0, 1.7, 2.4, 3.3, 4.6, 6.3, 8.9])
    amplitudes = (1.0, 0.9, 0.8, 0.6, 0.5, 0.4, 0.3)
    modes = [(115 * r, a, 0.021 / np.sqrt(r)) for r, a in zip(ratios, amplitudes, strict=True)]
    knocks = []
    for i in range(n_knocks):
        thud = _band(rng.standard_normal(len(silence(0.1))), 0, 3000) * np.exp(-_time(0.1) / 0.0096)
        knocks.append((0.28 * i, (_struck(modes, 0.1) + 0.7 * thud) * rng.uniform(0.8, 1.0)))
    return room(_mixed(knocks), 0.18, 0.28)


def crying_baby(n_cries: int) -> Samples:
    """Return a baby's cries: a pitch that rises and falls under three formants, and breaths between."""
    rng = np.random.default_rng(336)
    parts = []
    for _ in range(n_cries):
        pitches = np.array([0.8, 1.26, 1.26, 1.0, 0.82]) * 422 * rng.uniform(0.95, 1.05)
        parts.append(_voiced(pitches, 0.82, ((1200, 114, 1.0), (2730, 184, 0.8), (4775, 450, 0.6)), rng))
        breath = _band(rng.standard_normal(len(silence(0.24))), 1500, 4500)
        parts.append(0.033 * breath * np.hanning(len(breath)))
    return room(np.concatenate(parts[:-1]), 0.3, 0.3)


def car_horn() -> Samples:
    """Return two short honks and a longer one: two tones, a third apart and rich in harmonics."""
    amplitudes = [k**-0.413 for k in range(1, 13)]
    pause = silence(0.2)

    def honk(seconds: float) -> Samples:
        both = _harmonics(431.6, seconds, amplitudes) + _harmonics(545.1, seconds, amplitudes)
        return faded(both, 0.005, 0.005)

    return room(np.concatenate([honk(0.3), pause, honk(0.3), pause, honk(0.64)]), 0.5, 0.375)


def _time(seconds: float) -> Samples:
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _struck(partials: Sequence[tuple[float, float, float]], seconds: float) -> Samples:
    """Return what rings after a blow: partials of (hertz, amplitude, decay to 1/e in seconds)."""
    t = _time(seconds)
    ringing = np.zeros(len(t))
    for hz, amplitude, decay in partials:
        ringing += amplitude * np.sin(2 * np.pi * hz * t) * np.exp(-t / decay)
    return ringing * np.minimum(1.0, t / 0.001)


def _harmonics(hz: float, seconds: float, amplitudes: Sequence[float]) -> Samples:
    t = _time(seconds)
    tone = np.zeros(len(t))
    for k, amplitude in enumerate(amplitudes, 1):
        tone += amplitude * np.sin(2 * np.pi * hz * k * t)
    return tone


def _voiced(
    pitches: Samples, seconds: float, formants: Sequence[tuple[float, float, float]], rng: np.random.Generator
) -> Samples:
    """Return a voice whose pitch moves through `pitches`; formants are (hertz, bandwidth, amplitude)."""
    t = _time(seconds)
    # Slow random steps: no throat holds a pitch still.
    walk = np.cumsum(rng.standard_normal(len(t)))
    walk -= np.linspace(0, walk[-1], len(t))
    hz = np.interp(t, np.linspace(0, seconds, len(pitches)), pitches) * (1 + 8e-5 * walk)
    phase = 2 * np.pi * np.cumsum(hz) / SAMPLE_RATE
    voice = np.zeros(len(t))
    for k in range(1, 40):
        gain = np.sum([a / (1 + ((k * hz - f) / b) ** 2) for f, b, a in formants], axis=0)
        voice += np.where(k * hz < 7800, gain * np.sin(k * phase) / k**0.5, 0.0)
    return faded(voice / np.abs(voice).max(), 0.05, 0.05)


def _band(noise: Samples, low_hz: float, high_hz: float) -> Samples:
    """Return noise with nothing below or above a band, at unit level."""
    spectrum = np.fft.rfft(noise)
    hz = np.fft.rfftfreq(len(noise), 1 / SAMPLE_RATE)
    spectrum[(hz < low_hz) | (hz > high_hz)] = 0
    band: Samples = np.fft.irfft(spectrum, len(noise))
    band /= band.std()
    return band


def _mixed(parts: Sequence[tuple[float, Samples]]) -> Samples:
    """Return sounds, each beginning at its second, added up."""
    starts = [round(at * SAMPLE_RATE) for at, _ in parts]
    mix = np.zeros(max(start + len(sound) for start, (_, sound) in zip(starts, parts, strict=True)))
    for start, (_, sound) in zip(starts, parts, strict=True):
        mix[start : start + len(sound)] += sound
    return mix

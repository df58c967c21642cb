"""G.711 against Python's own, against values of the standard's tables, and for what a line does to a band."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest

from training.prepare.simulation.chance import generator
from training.prepare.simulation.codec import Codec, CodecRange, decode, draw, encode

ALL = np.arange(-32_768, 32_768).astype(np.int16)
CODES = np.arange(256, dtype=np.uint8)


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python 3.13 came without audioop")
@pytest.mark.parametrize(("law", "name"), [("mu", "ulaw"), ("a", "alaw")])
def test_every_sample_and_every_code_is_that_of_python(law, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import audioop

    encoded = getattr(audioop, f"lin2{name}")(ALL.tobytes(), 2)
    assert np.array_equal(encode(ALL, law), np.frombuffer(encoded, np.uint8))
    decoded = getattr(audioop, f"{name}2lin")(CODES.tobytes(), 2)
    assert np.array_equal(decode(CODES, law), np.frombuffer(decoded, np.int16))


# Values at the decoder's output, from the ends of the segments in tables 2a and 1a, in 16 bits (times 4 and times 8).
MU_TABLE = {0x80: 8031, 0x8F: 4191, 0x9F: 2079, 0xAF: 1023, 0xBF: 495, 0xCF: 231, 0xDF: 99, 0xEF: 33, 0xFE: 2, 0xFF: 0}
A_TABLE = {0xFF: 4032, 0xF0: 2112, 0xEF: 2016, 0xE0: 1056, 0xDF: 1008, 0xD0: 528, 0xB0: 132, 0x9F: 63, 0x81: 3, 0x80: 1}


def test_codes_give_the_values_of_the_standards_tables():
    for code, value in MU_TABLE.items():
        for sign, bit in ((1, 0), (-1, 0x80)):
            assert decode(np.array([code ^ bit], np.uint8), "mu")[0] == sign * 4 * value
    for code, value in A_TABLE.items():  # table 1a lists them before every other bit is inverted
        for sign, bit in ((1, 0), (-1, 0x80)):
            assert decode(np.array([code ^ bit ^ 0x55], np.uint8), "a")[0] == sign * 8 * value


@pytest.mark.parametrize("law", ["mu", "a"])
def test_what_is_decoded_is_coded_as_the_same_again(law):
    values = decode(CODES, law)
    assert np.array_equal(decode(encode(values, law), law), values)


@pytest.mark.parametrize("law", ["mu", "a"])
@pytest.mark.parametrize("db", [-10, -20, -30])
def test_a_voice_band_tone_keeps_the_ratio_to_its_noise_that_g_711_has_at_all_levels(law, db):
    n = np.arange(32_000)
    tone = (10 ** (db / 20) * np.sin(2 * np.pi * 1013 * n / 16_000)).astype(np.float32)
    out = Codec(law).apply(tone, 16_000)
    inner = slice(2000, -2000)
    error = out[inner] - tone[inner]
    ratio_db = 10 * np.log10(np.mean(tone[inner] ** 2) / np.mean(error**2))
    assert 34 < ratio_db < 42


@pytest.mark.parametrize("sample_rate", [8000, 16_000, 22_050, 44_100])
def test_the_length_stays_and_nothing_is_left_above_the_line(sample_rate):
    audio = (0.1 * generator(1, "a", "b").standard_normal(sample_rate + 7)).astype(np.float32)
    out = Codec("mu").apply(audio, sample_rate)
    assert out.shape == audio.shape
    assert out.dtype == np.float32
    power = np.abs(np.fft.rfft(out * np.hanning(len(out)))) ** 2
    hz = np.fft.rfftfreq(len(out), 1 / sample_rate)
    assert power[hz > 4100].sum() < 1e-4 * power.sum()


def test_one_item_in_ten_comes_over_a_line_and_both_laws_are_drawn():
    rng = generator(1, "a", "codec")
    drawn = [draw(rng, CodecRange()) for _ in range(2000)]
    assert sum(one is not None for one in drawn) / 2000 == pytest.approx(0.1, abs=0.02)
    assert {one.law for one in drawn if one} == {"mu", "a"}

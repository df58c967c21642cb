"""How far a count can be trusted: intervals of rates and of recalls, and what may be said of alarms per hour."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2, norm

LEVEL = 0.95
"""Of every interval here, as in most papers."""
N_RESAMPLES = 1000
"""Of a bootstrap: the standard error of a limit is then 2 % of the interval's width (2.5 % quantile of a normal)."""


def poisson_interval(count: int, hours: float) -> tuple[float, float]:
    """Return the exact 95 % interval of a rate in 1/h (Garwood 1936): 0 events in 6 hours may still be 0.61 an hour."""
    low = chi2.ppf((1 - LEVEL) / 2, 2 * count) / 2 if count else 0.0
    return float(low) / hours, float(chi2.ppf((1 + LEVEL) / 2, 2 * count + 2)) / 2 / hours


def poisson_bound(count: int, hours: float) -> float:
    """Return the rate in 1/h that is not exceeded, at 95 %: 3/hours where nothing was counted (exactly 2.996)."""
    return float(chi2.ppf(LEVEL, 2 * count + 2)) / 2 / hours


def wilson_interval(count: int, of: int) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion (Wilson 1927): 5 of 5 may still be 57 %.

    For things that don't depend on each other; sounds of one source do: see bootstrap_recall.
    """
    z2 = float(norm.ppf((1 + LEVEL) / 2)) ** 2
    middle = (count + z2 / 2) / (of + z2)
    half = math.sqrt(z2 * (count * (of - count) / of + z2 / 4)) / (of + z2)
    # At the ends the formula gives 0 and 1 but for rounding.
    return (0.0 if count == 0 else middle - half, 1.0 if count == of else middle + half)


def bootstrap_recall(heard: Sequence[bool], groups: Sequence[str], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of a recall whose sounds come in groups: percentiles over groups drawn anew.

    Ten sounds of one recording are heard or missed together, so groups are drawn, never sounds (Efron and Tibshirani,
    "An Introduction to the Bootstrap", 1993, chapter 8). Groups are few, and percentiles of few are too narrow; so
    the interval is never narrower than Wilson's. Where every sound was heard, or none, drawing again can't tell
    anything: then it is Wilson's with each group counted once. In the simulations of tests/training/test_intervals.py
    it holds the truth in 90 % of the trials with 12 groups, in 94 % with 25.

    Args:
        heard: for each sound, whether it was.
        groups: the group of each sound: recording, speaker, kit.
        seed: of the draws.

    Raises:
        ValueError: no sound, as many groups as sounds are not given, or a single group.
    """
    if not heard or len(heard) != len(groups):
        raise ValueError(f"{len(heard)} sounds and {len(groups)} groups; expected one group for each of some sounds")
    names, which = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"all sounds are of {names[0]}; what one group says of others can't be told: add a second")
    n_sounds = np.bincount(which)
    n_heard = np.bincount(which, weights=heard)
    if n_heard.sum() in (0, len(heard)):
        return wilson_interval(len(names) if all(heard) else 0, len(names))
    drawn = np.random.default_rng(seed).integers(len(names), size=(N_RESAMPLES, len(names)))
    recalls = n_heard[drawn].sum(axis=1) / n_sounds[drawn].sum(axis=1)
    low, high = np.percentile(recalls, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    least, most = wilson_interval(int(n_heard.sum()), len(heard))
    return min(float(low), least), max(float(high), most)


def alarms_per_hour(count: int, hours: float, promise: float | None = None) -> str:
    """Return what may be said of false alarms after so many in so many hours, as a sentence.

    A rate is stated only as far as the hours allow: none in T hours bounds it by 3/T and is never "0 an hour". Bounds
    and missing hours are rounded up.

    Args:
        count: false alarms.
        hours: hours of audio in which the sound was absent; at least 0.
        promise: false alarms an hour that somebody wants to rely on; the sentence then says whether that is shown,
            and how many more hours without an alarm would show it.
    """
    if hours <= 0:
        return "False alarms were not measured: there was no audio without the sound."
    if count:
        low, high = poisson_interval(count, hours)
        interval = f"95 % interval {_number(low)} to {_rounded_up(high)}"
        said = f"{_alarms(count)} in {hours:.3g} h: {_number(count / hours)} an hour, {interval}"
    else:
        said = f"No false alarm in {hours:.3g} h: at most {_rounded_up(poisson_bound(0, hours))} an hour, at 95 %"
    if promise is None:
        return said + "."
    if poisson_bound(count, hours) <= promise:
        return f"{said}; {promise:g} an hour is kept."
    if poisson_interval(count, hours)[0] > promise:
        return f"{said}; {promise:g} an hour is not kept."
    missing = poisson_bound(count, 1.0) / promise - hours
    return f"{said}; to promise {promise:g} an hour takes {_rounded_up(missing)} h more without one."


def _alarms(count: int) -> str:
    return "1 false alarm" if count == 1 else f"{count} false alarms"


def _number(value: float) -> str:
    """Two significant digits, without an exponent where a person reads numbers: 0.012, 1.5, 37, 140."""
    digits = max(0, 1 - math.floor(math.log10(value)))
    return f"{value:.{digits}f}"


def _rounded_up(value: float) -> str:
    """The same, and never less than the value."""
    scale = 10.0 ** max(0, 1 - math.floor(math.log10(value)))
    return _number(math.ceil(value * scale - 1e-9) / scale)

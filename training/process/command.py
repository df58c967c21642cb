"""`python -m training process DATA`: what the network gets to see of a data set, as lines, pictures and sounds."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamd.errors import DataError
from streamd.logmel import LogMelSpec
from training.prepare.command import Known, know
from training.prepare.labels import LabelRecipe
from training.prepare.simulation.conditions import NO_SPEECH, for_training
from training.prepare.simulation.recipe import Recipe
from training.prepare.simulation.reduced import reduced
from training.prepare.simulation.sounds import backgrounds_of, sounds_of
from training.prepare.trim import Trim
from training.process import pictures, plot_style
from training.process.compare import Row, compare, table
from training.process.examples import by_label, examples_of, true_rate, wide_enough
from training.process.listen import write_scenes
from training.process.probe import Probe, probe
from training.process.range_of_interest import RESAMPLER_ROOM, range_of_interest, suggested_rate
from training.process.separability import centre_hz, separability

N_HALLS_HEARD = 12
"""Rooms for clips to listen to: as many as clips by default; training has more."""


@dataclass(frozen=True)
class Processed:
    """What the network gets to see."""

    spec: LogMelSpec
    band_hz: NDArray[np.float64]
    """Centre of each mel band, (n_mels,)."""
    separability: NDArray[np.float64]
    """Of each band, 0.5 to 1, (n_mels,); all 0.5 where there is nothing to compare with."""
    probe: Probe | None
    """None where groups are too few, or there is nothing to compare with."""
    suggested: LogMelSpec | None
    """The spec with fmin, fmax and sample rate of the range of interest; None where nothing can be said."""
    suggestion: str
    """The same in a sentence."""


def process(
    known: Known, spec: LogMelSpec, out: Path | None = None, trim: Trim | None = None
) -> Generator[str, None, Processed]:
    """Yield which bands carry the information of a data set, and what that asks for; return it as data in the end.

    Args:
        known: what `prepare` found out.
        spec: the log-mel that a network would be given.
        out: a folder for the picture; None: none is drawn.
        trim: as for prepare.

    Raises:
        RecordingError: a recording can't be read.
    """
    clips = [clip for group in known.groups for clip in group.clips]
    measured = known.audit.measured
    seen = separability(examples_of(clips, spec.sample_rate, trim), spec)
    if seen is None:
        done = _nothing_to_compare(spec)
        yield done.suggestion
        return done
    hz = centre_hz(spec)
    best = int(np.argmax(seen))
    yield (
        f"a band's level alone puts two clips of different kinds in order in {seen.mean():.0%} of pairs"
        f" (mean over {spec.n_mels} bands), at {hz[best]:.0f} Hz in {seen[best]:.0%}; 50% is chance"
    )
    rate = true_rate(clips, measured)
    wide = wide_enough(clips, measured, rate)
    if len(wide) < len(clips):
        yield f"{len(clips) - len(wide)} of {len(clips)} clips hold less than {rate} Hz can, and are left out below"
    examples = examples_of(wide, rate, trim)
    found = probe(examples, rate)
    yield found.sentence if found else "too few groups of some label for a probe: two are needed, five are better"
    suggested, suggestion = _suggestion(by_label(examples), rate, spec, found)
    yield suggestion
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        picture = out / "bands.png"
        with plot_style.style():
            edges = (suggested.fmin, suggested.fmax) if suggested else None
            plot_style.save(pictures.of_bands(spec, seen, found, edges), picture)
        yield f"{picture}: the bands of {spec.fmin:g} to {spec.fmax:g} Hz, each alone"
    return Processed(spec, hz, seen, found, suggested, suggestion)


def see(
    data: Path,
    out: Path,
    layout: str | None = None,
    labels: LabelRecipe | None = None,
    trim: Trim | None = None,
    spec: LogMelSpec | None = None,
    recipe: Recipe | None = None,
    *,
    compare_all: bool = False,
    n_scenes: int = 0,
    cache: Path | None = None,
) -> Iterator[str]:
    """Yield all that can be seen of a data set: bands; if asked for, the table, and clips to listen to.

    Args:
        data: the folder.
        out: a folder for pictures and clips.
        layout: a preset's name; None: what it looks like.
        labels: those that a recipe joins, renames or drops.
        trim: how a sound is told from its clip's floor.
        spec: the log-mel; None: the default.
        recipe: of the simulator.
        compare_all: whether other representations are compared, which takes minutes.
        n_scenes: simulated clips to write.
        cache: a folder in which computed rooms are kept; None: one in `out`.

    Raises:
        DataError: nothing can be trained on it, or compared.
        RecordingError: a recording can't be read.
    """
    spec = spec or LogMelSpec()
    known = know(data, layout, labels, trim)
    yield f"{data}: {sum(len(group.clips) for group in known.groups)} clips of {len(known.groups)} groups"
    yield from process(known, spec, out, trim)
    if compare_all:
        yield from compared(known, spec, trim)
    if n_scenes:
        yield from listened(known, spec, n_scenes, out, cache or out / "rooms", recipe, trim)


def compared(known: Known, spec: LogMelSpec, trim: Trim | None = None) -> Generator[str, None, list[Row]]:
    """Yield the talk's table on a data set, a line for each representation as it is known; return its rows.

    Raises:
        DataError: nothing to compare: one label alone, or one group of some label.
        RecordingError: a recording can't be read.
    """
    clips = [clip for group in known.groups for clip in group.clips]
    examples = examples_of(clips, spec.sample_rate, trim)
    rows: list[Row] = []

    def kept() -> Iterator[Row]:
        for row in compare(examples, spec):
            rows.append(row)
            yield row

    try:
        yield from table(kept(), 1 / max(1, len(by_label(examples))))
    except ValueError as error:
        raise DataError(f"{known.data}: {error}") from error
    return rows


def listened(
    known: Known,
    spec: LogMelSpec,
    n_scenes: int,
    out: Path,
    cache: Path,
    recipe: Recipe | None = None,
    trim: Trim | None = None,
) -> Iterator[str]:
    """Write simulated clips of a data set as a network would learn from them, and what its log-mel leaves of them.

    Args:
        known: what `prepare` found out.
        spec: the log-mel that a network would be given.
        n_scenes: how many.
        out: the folder for them.
        cache: a folder in which computed rooms are kept.
        recipe: of the simulator.
        trim: as for prepare.

    Raises:
        RecordingError: a recording can't be read.
    """
    clips = [clip for group in known.groups for clip in group.clips]
    rate = spec.sample_rate
    sounds, backgrounds = sounds_of(clips, rate, trim), backgrounds_of(clips, rate)
    made, told = reduced(recipe or Recipe(), known.audit)
    yield from told
    conditions = for_training(sounds, backgrounds, NO_SPEECH, rate, cache, n_halls=N_HALLS_HEARD, recipe=made)
    yield from write_scenes(conditions, spec, n_scenes, out)


def _nothing_to_compare(spec: LogMelSpec) -> Processed:
    told = "one label and no background: there is nothing to compare bands with; add recordings without the sound"
    return Processed(spec, centre_hz(spec), np.full(spec.n_mels, 0.5), None, None, told)


def _suggestion(
    audio: dict[str | None, list[NDArray[np.float32]]], rate: int, spec: LogMelSpec, found: Probe | None
) -> tuple[LogMelSpec | None, str]:
    """Return the spec that would do, and why, in a sentence.

    Where bands differ says the range; the probe, how much of it is needed.
    """
    try:
        interest = range_of_interest(audio, rate)
    except DataError as error:
        return None, f"no range of interest: {error}"
    fmin, fmax = interest.fmin, interest.fmax
    why = "where levels differ" if interest.carries.any() else "no band differs by its level, so all of them"
    if found is not None and found.whole.interval[0] > found.chance:
        enough = found.enough_rate
        highest = float(np.floor(enough / 2 / RESAMPLER_ROOM / 100) * 100)
        if highest < fmax:
            fmax = highest
            why += f", up to what the probe needs (more than {enough / 1000:g} kHz gains it less than 3 points)"
    sample_rate = suggested_rate(fmax, rate)
    # At a lower rate than the spec's, frames stay as long; at a higher one, too.
    scale = sample_rate / spec.sample_rate
    n_fft = 1 << round(np.log2(spec.n_fft * scale))
    try:
        suggested = LogMelSpec(
            sample_rate=sample_rate,
            n_fft=n_fft,
            win_length=min(n_fft, round(spec.win_length * scale)),
            hop_length=round(spec.hop_length * scale),
            n_mels=spec.n_mels,
            fmin=fmin,
            fmax=fmax,
        )
    except ValueError as error:
        return None, f"the range of interest is too narrow for {spec.n_mels} bands: {error}"
    own = f"the network's log-mel has {spec.fmin:g} to {spec.fmax:g} Hz at {spec.sample_rate} Hz"
    return suggested, f"fmin {fmin:g} Hz, fmax {fmax:g} Hz and a sample rate of {sample_rate} Hz would do: {why}; {own}"

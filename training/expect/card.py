"""The page that tells people what a model is: made from its manifest, so that the two can't differ."""

from __future__ import annotations

from typing import Any

from streamd.manifest import Manifest
from training.expect.intervals import poisson_interval

_TOTALS = {
    "real": "recordings",
    "halved": "of these, halves of packages whose other half chose",
    "later": "packages that were fetched after the choice",
    "music": "of all recordings, music",
    "speech": "speech in some thirty languages",
    "made": "made here: silence, noise, hum, clicks",
}

_PAGE = """\
# {name} {version}

{description} This page is made from the manifest inside `{name}.onnx` by `python -m training {name}`.

## What it is

- {n_labels} labels of AudioSet; licence {licence}
- hears {sample_rate} Hz mono, looks at {window:.2f} s every {hop:.2f} s
- outputs: `posterior` (a sigmoid each: several sounds at once) and `embedding` (1024 numbers of the last layer)

## Where it comes from

{training}

## What to expect

**False alarms: measured** as events of {of},
in audio that did not choose the thresholds. Recordings and made sounds are counted apart, without the pauses put
between recordings. Intervals are exact (Poisson), and take alarms for independent of each other: those of one track
are not, and packages differ by far more than that.

| audio | hours | events | an hour | 95 % |
|---|---|---|---|---|
{totals}

Nobody listened to the recordings: what really sounds in them like a label counts as a false alarm all the same. They
are music of games and spoken prompts; your room is neither.

**Recall: {recall}.**
A threshold is the lowest that gave few false alarms; how many real sounds it misses is unknown. This is no life-safety
device. Known: {weaknesses}.

Of {n_placed} placed sounds (alarm, horn, ringing tone, crow) {n_heard} were heard. Decisions came {onset_delays} after
the onset and {offset_delays} after the offset (the middle half of them). The medians, {onset_delay} and {offset_delay}
samples, are taken off in every event.

### What was played

Music and speech are from Debian packages; silence, noise, hum and clicks are made by `training/prepare/negatives.py`.
Where hours chose the thresholds, packages and sounds were split by file, and the other half gave these counts. The
other packages were fetched after the thresholds had been chosen, and are counted on whole.

| audio | kind | licence | hours that chose | hours | events | an hour, 95 % | SHA-256 of the package |
|---|---|---|---|---|---|---|---|
{heard}

## The {n_default} labels that are on by default

Singing, instruments and what imitates them count as absent in speech and in made sounds, human sounds in music and in
made sounds, everything else in all three. So much silence ends an event; smoothing:
`training/expect/default_labels.py`. Hours, false alarms and the 95 % interval of their rate are of recordings; made
sounds stand beside them.

| label | onset threshold | hops to confirm | silence, s | absent in | hours | alarms | an hour | made, h | alarms |
|---|---|---|---|---|---|---|---|---|---|
{defaults}

## The other {n_others}

The configuration may switch on any of them. The number is the onset threshold: chosen by the same rule from 0.3 to
0.9, 0.9 where more would be needed, 0.5 where nothing was measured (silence, noise, rooms, sound quality).

{others}
"""


def card(manifest: Manifest) -> str:
    """Return the card of the default model, in Markdown."""
    alarms = manifest.expected["false_alarms"]
    placed = manifest.expected["placed_sounds"]
    others = [label for label in manifest.labels if label not in manifest.default_labels]
    return _PAGE.format(
        name=manifest.name,
        version=manifest.version,
        description=manifest.description,
        licence=manifest.licence,
        n_labels=len(manifest.labels),
        sample_rate=manifest.sample_rate,
        window=manifest.span_samples / manifest.sample_rate,
        hop=manifest.hop_seconds,
        training="\n".join(f"- {key.replace('_', ' ')}: {value}" for key, value in manifest.training.items()),
        of=alarms["of"],
        totals="\n".join(_total_row(name, alarms[key]) for key, name in _TOTALS.items()),
        recall=manifest.expected["recall"],
        weaknesses=manifest.expected["weaknesses"],
        n_placed=placed["n_placed"],
        n_heard=placed["n_heard"],
        onset_delays=_range(placed["onset_delay_seconds_quartiles"]),
        offset_delays=_range(placed["offset_delay_seconds_quartiles"]),
        onset_delay=manifest.onset_delay,
        offset_delay=manifest.offset_delay,
        heard="\n".join(_heard_row(one) for one in alarms["heard"]),
        n_default=len(manifest.default_labels),
        defaults="\n".join(_default_row(manifest, label, alarms["labels"][label]) for label in manifest.default_labels),
        n_others=len(others),
        others=" · ".join(f"{label} {manifest.decision_of(label).onset_threshold:g}" for label in others),
    )


def _total_row(name: str, count: dict[str, Any]) -> str:
    hours, n_events = count["hours"], count["n_events"]
    return _table_row(name, f"{hours:.2f}", n_events, f"{n_events / hours:.1f}", _interval(count))


def _interval(count: dict[str, Any]) -> str:
    low, high = count["per_hour_interval_95"]
    return f"{low} to {high}"


def _heard_row(one: dict[str, Any]) -> str:
    name = f"{one['name']} {one['version']}".strip()
    chose, hours = one["hours"]
    low, high = poisson_interval(one["n_events"], hours)
    return _table_row(
        name,
        one["kind"],
        one["licence"],
        f"{chose:.2f}",
        f"{hours:.2f}",
        one["n_events"],
        f"{low:.2f} to {high:.2f}",
        one["sha256"][:16],
    )


def _default_row(manifest: Manifest, label: str, measured: dict[str, Any]) -> str:
    spec = manifest.decision_of(label)
    real, made = measured["real"], measured["made"]
    return _table_row(
        label,
        f"{spec.onset_threshold:g}",
        spec.n_confirm,
        f"{spec.min_silence_seconds:g}",
        ", ".join(measured["absent_in"]),
        f"{real['hours']:.1f}",
        real["n_events"],
        _interval(real),
        f"{made['hours']:.1f}",
        made["n_events"],
    )


def _table_row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _range(quartiles: list[float]) -> str:
    return f"{quartiles[0]:.2f} to {quartiles[1]:.2f} s"

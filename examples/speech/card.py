"""The page that tells people what the speech model is: made from its manifest, so that the two can't differ."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streamd.manifest import Manifest

_PAGE = """\
# {name} {version}

{description} This page is made from the manifest inside `speech.onnx` by `examples/speech/ship.py`; how the model was
made and compared stands in `examples/speech/README.md`.

## What it is

- one label, {label}; {network}
- hears {sample_rate} Hz mono and answers every {hop:.0f} ms, from {warm_up:.3f} s after a start on
- an event begins at a score of {onset_threshold:g} and is over after {silence:g} s below {offset_threshold:g}; the
  score is smoothed over {smoothing:.2f} s
- decisions come {onset_delay:.2f} s after an onset and {offset_delay:.2f} s after an offset (medians on placed speech),
  which is taken off in every event
- licence of the weights: {licence}; {licence_why}

## What to expect

Area under the ROC curve over frames of 10 ms, mean over noises, rooms and SNRs of -5, 0 and 5 dB, beside silero-vad 6
on the same streams, each at its best lag. Differences are of the mean over seeds, with 95 % intervals of a bootstrap
by stream.

| speech | seeds of this recipe | silero-vad | difference | without the best cell | worst cell of all SNRs |
|---|---|---|---|---|---|
{compared}

This is {this_is}. An advantage that silero-vad lacked: training used the label rule and the mixing recipe of the test.
Lags in seconds: {lags}.

**False alarms**: events by the decisions above where nobody speaks. Recordings and made sounds are counted apart;
intervals are exact (Poisson), and take alarms for independent of each other, which those of one track are not.

| audio | hours | events | an hour | 95 % | of the time |
|---|---|---|---|---|---|
{totals}

Speech of any language is what this model is to hear, so the recordings are all music: from games and a telephone
exchange, in which nothing was trained on and nothing was chosen. That of the comparison above was known when recipes
were changed; the rest was heard here first. Left out are {left_out}.
Nobody listened to the rest: a voice that is left in it counts as a false alarm. Music all day long is not what homes
are like.

| audio | licence | recordings | left out | hours | events | an hour, 95 % | SHA-256 |
|---|---|---|---|---|---|---|---|
{alarms}

**Recall**: {recall}. **Weak**: {weaknesses}. This is no life-safety device.

## Where it comes from

{scenes}; target delay {target_delay:g} s; `{script}`, seed {seed}.

| Debian package | version | licence | kind | minutes | used | SHA-256 |
|---|---|---|---|---|---|---|
{sources}
"""


def card(facts: Manifest) -> str:
    """Return the card, in Markdown."""
    compared, alarms = facts.expected["auc_against_silero_vad_6"], facts.expected["false_alarms"]
    trained, decision = facts.training, facts.decision
    if facts.labels[0] in facts.label_decisions:
        decision = facts.label_decisions[facts.labels[0]]
    return _PAGE.format(
        name=facts.name,
        version=facts.version,
        description=facts.description,
        label=facts.labels[0],
        network=trained["network"],
        sample_rate=facts.sample_rate,
        hop=1000 * facts.hop_seconds,
        warm_up=facts.first_score_samples / facts.sample_rate,
        onset_threshold=decision.onset_threshold,
        offset_threshold=decision.offset_threshold,
        silence=decision.min_silence_seconds,
        smoothing=max(decision.smoothing_seconds, facts.hop_seconds),
        onset_delay=facts.onset_delay / facts.sample_rate,
        offset_delay=facts.offset_delay / facts.sample_rate,
        licence=facts.licence,
        licence_why=trained["licence"],
        compared="\n".join(_compared(title, compared) for title in compared["mean_auc_at_5_db_and_less"]),
        this_is=compared["this_is"],
        lags=", ".join(f"{name} {lag:g}" for name, lag in compared["lags_seconds"].items()),
        totals="\n".join(_totals(alarms)),
        left_out=alarms["left_out"],
        alarms="\n".join(_alarms(one) for one in alarms["heard"]),
        recall=facts.expected["recall"],
        weaknesses=facts.expected["weaknesses"],
        scenes=trained["scenes"],
        target_delay=trained["target_delay_seconds"],
        script=trained["script"],
        seed=trained["seed"],
        sources="\n".join(_source(one) for one in trained["sources"]),
    )


def _compared(title: str, found: dict[str, Any]) -> str:
    mean = found["mean_auc_at_5_db_and_less"][title]
    without, worst = found["without_the_most_favourable_cell"][title], found["worst_cell"][title]
    low, high = mean["interval"]
    return _row(
        title,
        ", ".join(f"{value:.3f}" for name, value in mean.items() if name.startswith("seed")),
        f"{mean['silero']:.3f}",
        f"{mean['difference']:+.3f} ({low:+.3f} to {high:+.3f})",
        f"{without['difference']:+.3f}",
        f"{worst['difference']:+.3f} ({worst['cell']})",
    )


def _totals(alarms: dict[str, Any]) -> Iterable[str]:
    yield _total("recordings", alarms["real"])
    for kind, some in alarms["real_by_kind"].items():
        yield _total(f"of these, {kind}", some)
    yield _total("made here: silence, noise, hum, clicks", alarms["made"])


def _total(name: str, one: dict[str, Any]) -> str:
    hours, n_events = one["hours"], one["n_events"]
    return _row(name, f"{hours:.2f}", n_events, f"{n_events / hours:.1f}", _interval(one), f"{one['part_of_time']:.2%}")


def _interval(one: dict[str, Any]) -> str:
    low, high = one["per_hour_interval_95"]
    return f"{low} to {high}"


def _alarms(one: dict[str, Any]) -> str:
    return _row(
        f"{one['name']} {one.get('version', '')}".strip(),
        one.get("licence", "made here"),
        one["n_recordings"],
        one.get("n_left_out", 0),
        f"{one['hours']:.2f}",
        one["n_events"],
        _interval(one),
        one.get("sha256", "")[:16],
    )


def _source(one: dict[str, Any]) -> str:
    cells: Iterable[str] = (one[key] for key in ("package", "version", "licence", "kind", "minutes", "used"))
    return _row(*cells, one["sha256"][:16])


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"

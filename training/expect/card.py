"""The page that tells people what a model is: made from its manifest, so that the two can't differ."""

from __future__ import annotations

from typing import Any

from streamd.manifest import Manifest


def card(manifest: Manifest) -> str:
    """Return the card of the default model, in Markdown."""
    alarms = manifest.expected["false_alarms"]
    low, high = alarms["per_hour_interval_95"]
    n_labels, n_default = len(manifest.labels), len(manifest.default_labels)
    placed = manifest.expected["placed_sounds"]
    return "\n".join(
        [
            f"# {manifest.name} {manifest.version}",
            "",
            f"{manifest.description} Made from the manifest inside `{manifest.name}.onnx` by"
            f" `python -m training {manifest.name}`.",
            "",
            "## What it is",
            "",
            *_facts(manifest),
            "",
            "## Where it comes from",
            "",
            *(f"- {key.replace('_', ' ')}: {value}" for key, value in manifest.training.items()),
            "",
            "## What to expect",
            "",
            f"**False alarms: measured.** {alarms['n_events']} events of {alarms['of']}, in"
            f" {alarms['hours']} hours in which they are absent by construction or imitated by instruments:"
            f" {_rate(alarms['n_events'], alarms['hours'])} an hour, 95 % interval {low} to {high} (exact Poisson).",
            "",
            f"**Recall: {manifest.expected['recall']}.** A threshold was chosen as the lowest that gives few false"
            " alarms; how many real sounds it misses is unknown. Nothing here is a life-safety device.",
            "",
            f"Of {placed['n_placed']} placed sounds (alarm, horn, ringing tone, crow), {placed['n_heard']} were heard."
            f" Decisions came {_range(placed['onset_delay_seconds_quartiles'])} after the onset and"
            f" {_range(placed['offset_delay_seconds_quartiles'])} after the offset (middle half); the medians,"
            f" {manifest.onset_delay} and {manifest.offset_delay} samples, are taken off in every event.",
            "",
            "### What was played",
            "",
            "Music and speech from Debian packages, silence, noise, hum and clicks made by a script. Split by file:"
            " one half chose thresholds, the other half gave these counts.",
            "",
            "| audio | kind | licence | hours | events | SHA-256 of the package |",
            "|---|---|---|---|---|---|",
            *(
                f"| {one['name']} {one['version']} | {one['kind']} | {one['licence']} | {one['hours'][1]:.2f} |"
                f" {one['n_events']} | {one['sha256'][:16]} |"
                for one in alarms["heard"]
            ),
            "",
            f"## The {n_default} labels that are on by default",
            "",
            "Where a sound is absent: singing, instruments and what imitates them count as absent in speech and made"
            " sounds only, human sounds in music and made sounds only, everything else in all of them.",
            "",
            "| label | onset threshold | hops to confirm | silence that ends it, s | absent in | hours |"
            " false alarms | an hour, 95 % |",
            "|---|---|---|---|---|---|---|---|",
            *(_default_row(manifest, label, alarms["labels"][label]) for label in manifest.default_labels),
            "",
            f"## The other {n_labels - n_default}",
            "",
            "Any of them can be switched on in the configuration. The number is the onset threshold: chosen by the same"
            " rule from 0.3 to 0.9, 0.9 where more would be needed, 0.5 where nothing was measured (silence, noise,"
            " rooms, sound quality).",
            "",
            " · ".join(
                f"{label} {manifest.decision_of(label).onset_threshold:g}"
                for label in manifest.labels
                if label not in manifest.default_labels
            ),
            "",
        ]
    )


def _facts(manifest: Manifest) -> list[str]:
    window = manifest.span_samples / manifest.sample_rate
    return [
        f"- {len(manifest.labels)} labels of AudioSet; licence {manifest.licence}",
        f"- hears {manifest.sample_rate} Hz mono, looks at {window:.2f} s every {manifest.hop_seconds:.2f} s",
        "- outputs: `posterior` (sigmoid: several sounds at once) and `embedding` (1024 numbers of the last layer)",
    ]


def _default_row(manifest: Manifest, label: str, measured: dict[str, Any]) -> str:
    spec = manifest.decision_of(label)
    low, high = measured["per_hour_interval_95"]
    absent = ", ".join(measured["absent_in"])
    return (
        f"| {label} | {spec.onset_threshold:g} | {spec.n_confirm} | {spec.min_silence_seconds:g} | {absent} |"
        f" {measured['hours']:.1f} | {measured['n_events']} | {low} to {high} |"
    )


def _rate(count: int, hours: float) -> str:
    return f"{count / hours:.1f}"


def _range(quartiles: list[float]) -> str:
    return f"{quartiles[0]:.2f} to {quartiles[1]:.2f} s"

"""From the section `recorder` of streamd.yaml to what its process is started with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec import UNSET

from streamd.config_shape import RecorderSection
from streamd.manifest import Manifest
from streamd.recorder.messages import RecorderSpec
from streamd.spelling import did_you_mean
from streamd.yaml_lines import Document


def spec_of(section: RecorderSection, folder: Path) -> RecorderSpec:
    """Return what is recorded, into a folder that is the section's, made absolute."""
    return RecorderSpec(
        folder=str(folder),
        max_bytes=round(section.max_megabytes * 1_000_000),
        max_days=section.max_days,
        pre_roll_seconds=section.pre_roll_seconds,
        post_roll_seconds=section.post_roll_seconds,
        longest_seconds=section.longest_seconds,
        near_miss=None if section.near_miss is UNSET else section.near_miss,
        labels=None if section.labels is UNSET else {label: one.audio for label, one in section.labels.items()},
    )


def label_mistakes(spec: RecorderSpec, manifests: Iterable[Manifest], document: Document) -> list[str]:
    """Return what is wrong with the labels that are to be recorded: those that no model has."""
    known = {label for manifest in manifests for label in manifest.labels}
    return [
        f"{document.where(('recorder', 'labels', label))}: no model has such a label{did_you_mean(label, known)}"
        for label in spec.labels or ()
        if label not in known
    ]

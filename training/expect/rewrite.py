"""Writes what was measured after an export into the model file: decisions, delays, expected performance."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import onnx

from streamd.decision import DecisionSpec
from streamd.manifest import Manifest
from streamd.model import Model
from training.design.export import write
from training.expect.delays import Delays


def with_decisions(
    file: Path,
    decisions: Mapping[str, DecisionSpec] | None = None,
    delays: Delays | None = None,
    expected: Mapping[str, Any] | None = None,
) -> Manifest:
    """Write decisions, delays and expected performance into a model file; what is None stays as it is.

    The graph and its golden answer are not touched, and the file is verified before it takes the old one's place: a
    reader finds the old model or the new one, never half of either. Its SHA-256 changes.

    Args:
        file: the model.
        decisions: by label; labels that are not named keep theirs.
        delays: measured with these decisions.
        expected: what takes the place of the manifest's `expected`.

    Returns:
        The manifest as written.

    Raises:
        ModelError: the file is no model, or the new one does not give its golden answer.
        ValueError: a label that the model doesn't have.
    """
    facts = Model(file, "cpu", verify=False).manifest
    changes: dict[str, Any] = {}
    if decisions is not None:
        changes["label_decisions"] = {**facts.label_decisions, **decisions}
    if delays is not None:
        changes |= {"onset_delay": delays.onset, "offset_delay": delays.offset}
    if expected is not None:
        changes["expected"] = dict(expected)
    changed = msgspec.structs.replace(facts, **changes)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.stem}-") as folder:
        draft = Path(folder) / file.name
        write(onnx.load(file), changed, draft)
        proved = Model(draft, "cpu")
        draft.replace(file)
    return proved.manifest

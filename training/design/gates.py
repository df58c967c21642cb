"""What a stream must show before it becomes a model file; a network that fails is left without one.

Each gate tells what it measured, so that a report can say more than that all went well.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from streamd.decision import Decision, DecisionSpec, Edge
from streamd.errors import ModelError
from streamd.logmel import log_mel
from streamd.manifest import Manifest
from streamd.model import Model
from training.design.export import PARITY, export
from training.design.pretrained_network import PretrainedNetwork
from training.design.stream import Hop, export_stream, posteriors_of_hops
from training.design.streaming import StreamNetwork

BATCHES = (1, 3)
PARITY_SECONDS = 20.0
"""Of the minute, heard at each batch: several warm-ups of the deepest network."""

LEAST_MOVE = 0.2
"""By how much some posterior of the golden answer moves: an answer that never changes proves little at a load."""

WINDOWS_AT_ONCE = 32

LEAST_MOVE_OF_A_WINDOW = 0.005
"""Where no signal moves it as far: a head that has heard much noise takes every chirp for noise, and rightly so. It is
fifty times what an answer may be off at a load."""

MINUTE_SECONDS = 60.0
N_MINUTES = 10
DRIFT = 0.01
"""How far the last of ten minutes may be off the first, on average over its hops, where both heard the same. A state
that drifts shows in all of them; where a stream began, in a few."""

Floats = NDArray[np.float32]


def export_proved(
    network: StreamNetwork | PretrainedNetwork, manifest: Manifest, path: Path, heard: NDArray[np.int16]
) -> tuple[Manifest, dict[str, str]]:
    """Write a network as a model file, through all gates of its kind.

    Args:
        network: on the CPU, in evaluation mode.
        manifest: made with `stream_facts`, or `window_facts`.
        path: the .onnx to write. An older one stays as it is until the new one is proved.
        heard: a recording (n_samples,) at the manifest's rate with the sounds in it; a minute of it is used.

    Returns:
        The manifest as written, and for each gate what was measured.

    Raises:
        ModelError: a gate isn't passed; there is no new file then.
        ValueError: a network in training mode, or a recording too short for three batches.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
        draft = Path(folder) / path.name
        if isinstance(network, PretrainedNetwork):
            written = export(network, manifest, draft, least_move=LEAST_MOVE, least_at_all=LEAST_MOVE_OF_A_WINDOW)
            measured = prove_window(network, Model(draft, "cpu"), heard)
        else:
            written = export_stream(network, manifest, draft, least_move=LEAST_MOVE)
            measured = prove(network, Model(draft, "cpu"), heard)
        told = {"golden answer": _golden(written), **measured}
        draft.replace(path)
    return written, told


def prove(network: StreamNetwork, model: Model, heard: NDArray[np.int16]) -> dict[str, str]:
    """Return what each gate measured on the model file of a network; arguments and errors as of `export_proved`."""
    hops = _a_minute(model.manifest, heard)
    n_hops = round(PARITY_SECONDS / model.manifest.hop_seconds)
    whole = {batch: _rows(hops, batch)[:n_hops] for batch in BATCHES}
    return {
        "torch whole = torch stream": _streams_as_torch(network, whole),
        "torch whole = onnxruntime": _streams_as_onnxruntime(network, model, whole),
        "ten minutes": _lasts(model, hops),
        "events": _decides(network, model, hops),
    }


def prove_window(network: PretrainedNetwork, model: Model, heard: NDArray[np.int16]) -> dict[str, str]:
    """Return what each gate measured on the file of a window; it has no state, so there is nothing that could drift.

    Arguments and errors as of `export_proved`.
    """
    facts = model.manifest
    if facts.kind != "window" or facts.log_mel is None:
        raise ValueError(f"a {facts.kind} of {facts.input}; these gates are for windows of log-mel frames")
    frames = log_mel(heard[: round(MINUTE_SECONDS * facts.sample_rate)], facts.log_mel)
    begins = range(0, len(frames) - facts.n_frames + 1, facts.hop_frames)
    if len(begins) < max(BATCHES):
        raise ValueError(f"a recording of {len(heard) / facts.sample_rate:.2f} s; expected seconds with the sounds")
    windows = np.stack([frames[begin : begin + facts.n_frames] for begin in begins])
    with torch.inference_mode():
        torchs = np.concatenate([network(part).numpy() for part in torch.from_numpy(windows).split(WINDOWS_AT_ONCE)])
    n_compared = math.ceil(PARITY_SECONDS / facts.hop_seconds)
    alone = _of_windows(model, windows, 1)
    together = _of_windows(model, windows[:n_compared], max(BATCHES))
    worst = max(float(np.abs(alone - torchs).max()), float(np.abs(together - torchs[:n_compared]).max()))
    return {
        "torch = onnxruntime": _within("onnxruntime", "torch", worst),
        "events": _same_events(torchs, alone, facts),
    }


def _of_windows(model: Model, windows: Floats, batch: int) -> Floats:
    """Return the posteriors (n_windows, n_labels) of a window's model file, so many windows at once."""
    return np.concatenate([model.run(windows[at : at + batch])[0] for at in range(0, len(windows), batch)])


def _golden(manifest: Manifest) -> str:
    posteriors = np.frombuffer(manifest.golden.posterior, "<f4").reshape(-1, len(manifest.labels))
    move = float(np.ptp(posteriors, axis=0).max())
    least = LEAST_MOVE if manifest.kind == "stream" or move >= LEAST_MOVE else LEAST_MOVE_OF_A_WINDOW
    return f"its posteriors move by {move:.2g} (at least {least}), given again by the file"


def _a_minute(manifest: Manifest, heard: NDArray[np.int16]) -> Floats:
    """Return a minute of a recording as hops (n_hops, hop_frames, n_mels), repeated if it is shorter."""
    if manifest.kind != "stream" or manifest.log_mel is None:
        raise ValueError(f"a {manifest.kind} of {manifest.input}; these gates are for streams of log-mel frames")
    frames = log_mel(heard[: round(MINUTE_SECONDS * manifest.sample_rate)], manifest.log_mel)
    n_hops = len(frames) // manifest.hop_frames
    if n_hops < 2 * len(BATCHES):
        raise ValueError(f"a recording of {len(heard) / manifest.sample_rate:.2f} s; expected seconds with the sounds")
    hops = frames[: n_hops * manifest.hop_frames].reshape(n_hops, manifest.hop_frames, -1)
    return np.resize(hops, (max(n_hops, round(MINUTE_SECONDS / manifest.hop_seconds)), *hops.shape[1:]))


def _rows(hops: Floats, batch: int) -> Floats:
    """Return the hops for several sources (n_hops, batch, hop_frames, n_mels), each begun somewhere else in them."""
    return np.stack([np.roll(hops, row * len(hops) // batch, axis=0) for row in range(batch)], axis=1)


def _streams_as_torch(network: StreamNetwork, whole: dict[int, Floats]) -> str:
    worst = 0.0
    hop = Hop(network).eval()
    for batch, hops in whole.items():
        state = network.initial_state(batch)
        expected = _expected(network, hops)
        for frames, posteriors in zip(hops, expected, strict=True):
            with torch.no_grad():
                found, state = hop(torch.from_numpy(frames), state)
            worst = max(worst, float(np.abs(found.numpy() - posteriors).max()))
    return _within("torch in hops", "torch at once", worst)


def _streams_as_onnxruntime(network: StreamNetwork, model: Model, whole: dict[int, Floats]) -> str:
    worst = 0.0
    for hops in whole.values():
        expected = _expected(network, hops)
        found, _ = _played(model, hops)
        worst = max(worst, float(np.abs(found - expected).max()))
    return _within("onnxruntime", "torch at once", worst)


def _within(one: str, other: str, worst: float) -> str:
    batches = " and ".join(str(batch) for batch in BATCHES)
    if not worst <= PARITY:
        raise ModelError(
            f"{one} is {worst:.3g} off {other} over {PARITY_SECONDS:.0f} s at batch {batches} (at most {PARITY})"
        )
    return f"{worst:.1g} apart over {PARITY_SECONDS:.0f} s at batch {batches} (at most {PARITY})"


def _lasts(model: Model, hops: Floats) -> str:
    """Compare the last of ten minutes with the first, all of the same audio."""
    first, state = _played(model, hops[:, None])
    last = first
    for _ in range(N_MINUTES - 1):
        last, state = _played(model, hops[:, None], state)
    off = np.abs(last - first)[model.manifest.n_warmup_hops :]
    drift, most = float(off.mean(axis=(0, 1)).max()), float(off.max())
    if not drift <= DRIFT:
        raise ModelError(
            f"minute {N_MINUTES} of the same audio is {drift:.3g} off minute 1 on average (at most {DRIFT})"
        )
    return f"minute {N_MINUTES} is {drift:.1g} off minute 1 on average, {most:.1g} at most, on the same audio"


def _decides(network: StreamNetwork, model: Model, hops: Floats) -> str:
    facts = model.manifest
    torchs = _expected(network, hops[:, None])[facts.n_warmup_hops :, 0]
    runtimes, _ = _played(model, hops[:, None])
    return _same_events(torchs, runtimes[facts.n_warmup_hops :, 0], facts)


def _same_events(torchs: Floats, runtimes: Floats, facts: Manifest) -> str:
    """Let the daemon's decision hear both: with the model's own thresholds, and with ones that are surely crossed."""
    own = [facts.decision_of(label) for label in facts.labels]
    crossed = [_crossed(spec, column) for spec, column in zip(own, torchs.T, strict=True)]
    counts = []
    for specs in (own, crossed):
        expected, found = (_edges(posteriors, specs, facts.hop_seconds) for posteriors in (torchs, runtimes))
        if [_place(edge) for edge in expected] != [_place(edge) for edge in found]:
            raise ModelError(
                f"{len(found)} onsets and offsets from onnxruntime, others than the {len(expected)} of torch"
            )
        counts.append(len(found))
    return f"{counts[0]} onsets and offsets are the same, and {counts[1]} with thresholds amid the posteriors"


def _crossed(spec: DecisionSpec, posteriors: Floats) -> DecisionSpec:
    """Return a decision with its threshold in the middle of what is heard."""
    middle = float(np.clip((posteriors.min() + posteriors.max()) / 2, 1e-3, 1))
    return msgspec.structs.replace(spec, onset_threshold=middle, offset_threshold=0.9 * middle)


def _edges(posteriors: Floats, specs: list[DecisionSpec], hop_seconds: float) -> list[Edge]:
    decision = Decision(specs, hop_seconds)
    rows = np.array([decision.add_row()])
    return [edge for hop in posteriors for edge in decision.step(rows, hop[None])[1]]


def _place(edge: Edge) -> tuple[int, bool, int]:
    return edge.label, edge.is_onset, edge.hop


def _expected(network: StreamNetwork, hops: Floats) -> Floats:
    """Torch at once over (n_hops, batch, hop_frames, n_mels) → posteriors (n_hops, batch, n_labels)."""
    return np.stack([posteriors_of_hops(network, np.ascontiguousarray(row)) for row in hops.swapaxes(0, 1)], axis=1)


def _played(model: Model, hops: Floats, state: Floats | None = None) -> tuple[Floats, Floats]:
    """Return the same of the model file, hop by hop, and the state after it."""
    state = model.initial_state(hops.shape[1]) if state is None else state
    found = []
    for frames in hops:
        posteriors, after = model.run(np.ascontiguousarray(frames), state)
        if after is not None:
            state = after
        found.append(posteriors)
    return np.stack(found), state

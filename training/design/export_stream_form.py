"""`python -m training export --stream FILE`: a window's model file as a stream that is proved equal, or no file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from streamd.detector import Detector
from streamd.errors import ModelError
from streamd.golden import golden_signal
from streamd.manifest import Manifest
from streamd.model import Model
from training.design.export import PARITY, seal
from training.design.gates import BATCHES
from training.design.observe import multiply_adds
from training.design.stream_form import example, stream_form

N_COMPARED = 50
LEAST_SECONDS = 4.0
"""So many hops are compared at least, and so long: bursts come and go in it."""

BURST_SECONDS = 0.25

LEAST_MOVE = 1e-3
"""By how much posteriors must move on the audio: where they stand still, any two networks agree."""


def export_stream_form(file: Path, out: Path | None = None) -> Iterator[str]:
    """Write the stream form of a window's model file, and yield what was proved and written.

    Args:
        file: a model file of kind window.
        out: the .onnx to write; by default <stem>-stream.onnx beside it. An older one stays until this one is proved.

    Raises:
        ModelError: it has no stream form (names the node), or posteriors differ by more than PARITY; no file then.
    """
    window = Model(file, "cpu")
    facts = window.manifest
    path = out or file.with_name(f"{file.stem}-stream.onnx")
    proto = onnx.load(file)
    try:
        rewritten, n_state = stream_form(proto, facts)
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from error
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
        draft = Path(folder) / path.name
        written = seal(rewritten, _facts(window, n_state), draft)
        yield f"{prove(window, Model(draft, 'cpu'))}; {_cost(proto, rewritten, facts, n_state)}"
        draft.replace(path)
    seconds = written.first_score_samples / written.sample_rate
    yield f"{path}: {written.name}, a stream, {n_state:,} numbers of state for each source, warm after {seconds:.2f} s"


def _facts(window: Model, n_state: int) -> Manifest:
    """Return the facts of the stream: those of the window, since it decides alike, and where it comes from."""
    facts = window.manifest
    return msgspec.structs.replace(
        facts,
        kind="stream",
        n_frames=facts.hop_frames,
        warmup_frames=facts.n_frames,
        n_state=n_state,
        training={**facts.training, "stream_form_of": window.sha256},
    )


def prove(window: Model, stream: Model) -> str:
    """Play random audio through the detector with both forms, and return how far apart they were.

    Bursts of noise, and beside them the signals of both golden answers: on those it is known to have something to say.

    Raises:
        ModelError: a posterior is further off than PARITY, or nothing moves.
    """
    facts = window.manifest
    n_hops = max(N_COMPARED, round(LEAST_SECONDS / facts.hop_seconds))
    n_samples = stream.manifest.first_score_samples + n_hops * facts.hop_samples
    seeds = (facts.golden.seed, stream.manifest.golden.seed)
    audio = [noise_bursts(n_samples, facts.sample_rate), *(golden_signal(seed, n_samples) for seed in seeds)]
    worst = move = 0.0
    n_compared = 0
    for batch in BATCHES:
        expected, found = (_posteriors(model, audio[:batch]) for model in (window, stream))
        if not found or not found.keys() <= expected.keys():
            raise ModelError("the stream form decides at other samples than the window form")
        pairs = [(found[place], expected[place]) for place in found]
        worst = max(worst, *(float(np.abs(one - other).max()) for one, other in pairs))
        move = max(move, float(np.ptp(np.array([other for _, other in pairs]), axis=0).max()))
        n_compared += len(pairs)
    batches = " and ".join(str(batch) for batch in BATCHES)
    if not worst <= PARITY:
        raise ModelError(f"the stream form is {worst:.3g} off the window form at batch {batches} (at most {PARITY})")
    if not move >= LEAST_MOVE:
        raise ModelError(f"posteriors move by {move:.2g} on noise and golden signals (at least {LEAST_MOVE}); no proof")
    return (
        f"equal: at most {worst:.1g} apart over {n_compared} hops at batch {batches} (at most {PARITY}), "
        f"in which posteriors move by {move:.2g}"
    )


def noise_bursts(n_samples: int, sample_rate: int) -> NDArray[np.int16]:
    """Return noise (n_samples,) whose level and colour change all the time, by up to 60 dB."""
    random = np.random.default_rng(0)
    n_burst = round(BURST_SECONDS * sample_rate)
    noise = random.standard_normal(n_samples)
    coloured = np.where(np.arange(n_samples) // n_burst % 2, noise, np.convolve(noise, np.ones(8) / 8, "same"))
    levels = 10 ** random.uniform(-3.5, -0.5, n_samples // n_burst + 1)
    return np.clip(coloured * np.repeat(levels, n_burst)[:n_samples] * 32767, -32768, 32767).astype(np.int16)


def _posteriors(model: Model, audio: list[NDArray[np.int16]]) -> dict[tuple[str, int], NDArray[np.float32]]:
    """Return the posteriors of sources that are heard together, by source and end_sample."""
    detector = Detector(model)
    for row, samples in enumerate(audio):
        detector.start(str(row))
        detector.push(str(row), samples)
    return {(hop.source, hop.end_sample): hop.posteriors.copy() for hop in detector.step()}


def _cost(window: onnx.ModelProto, stream: onnx.ModelProto, facts: Manifest, n_state: int) -> str:
    before = multiply_adds(window, example(facts, 1, facts.n_frames))
    state = {"state": np.zeros((1, n_state), np.float32)}
    after = multiply_adds(stream, example(facts, 1, facts.hop_frames) | state)
    return f"{before / after:.1f} times fewer multiply-adds a hop: {after / 1e6:.3g} M instead of {before / 1e6:.3g} M"

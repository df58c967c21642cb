"""A model file, opened, checked against its own golden answer, and run by one onnxruntime session."""

from __future__ import annotations

import hashlib
import os
import time
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from streamd import manifest as manifests
from streamd import onnx_file
from streamd.errors import DeviceError, ModelError
from streamd.golden import golden_signal
from streamd.logmel import log_mel, to_float
from streamd.manifest import Manifest

Device = Literal["auto", "cpu", "cuda"]
Floats = NDArray[np.float32]

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

TOLERANCES = {CPU: (1e-3, 1e-4), CUDA: (1e-2, 1e-3)}
"""How far a golden answer may be off: log-mel in dB, posterior."""

MAX_FILE_BYTES = 1 << 30


def load_onnxruntime() -> ModuleType:
    """Import onnxruntime with its telemetry off.

    Raises:
        DeviceError: neither onnxruntime nor onnxruntime-gpu is installed, or both are or were (each overwrites
            files of the other, and which one runs is then a matter of luck).
    """
    # Since 1.29 it phones home from Linux; the variable is only read at import.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    installed = []
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            installed.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    if len(installed) == 2:
        raise DeviceError(
            f"{' and '.join(installed)} are both installed and overwrite each other; "
            "pip uninstall both, then pip install 'streamd[cpu]' or 'streamd[gpu]'"
        )
    try:
        import onnxruntime
    except ImportError as error:
        raise DeviceError(
            f"onnxruntime can't be used ({error}); pip install 'streamd[cpu]', or 'streamd[gpu]' for an NVIDIA GPU"
        ) from error
    runtime: ModuleType = onnxruntime
    # The two share their files: where both were installed, who uninstalls one leaves half of the other.
    if not hasattr(runtime, "InferenceSession"):
        raise DeviceError(
            "onnxruntime has lost files, as when onnxruntime and onnxruntime-gpu were both installed and one was "
            "uninstalled; pip uninstall both, then pip install 'streamd[cpu]' or 'streamd[gpu]'"
        )
    return runtime


class Model:
    """A verified model: its manifest, its hash and a session on a provider that was seen working."""

    def __init__(self, file: Path, device: Device = "auto", *, verify: bool = True) -> None:
        """Open and verify a model file.

        Args:
            file: the .onnx.
            device: auto takes CUDA if it works and else the CPU; cuda never falls back.
            verify: False leaves out the golden answer (the exporter, which is about to make it).

        Raises:
            ModelError: the file is refused; one line says why.
            DeviceError: no usable onnxruntime, or no CUDA where cuda was asked for.
        """
        self.file = file
        data = _read(file)
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.manifest = _manifest(file, data)
        del data
        # By its path: given bytes, onnxruntime keeps them for as long as the session lives. A file that is
        # exchanged in between gives another golden answer.
        self.session = _session(file, device)
        """The onnxruntime session, for `bound.py`."""
        self.provider: str = self.session.get_providers()[0]
        """The onnxruntime provider that really runs it."""
        self._check_shapes()
        self._has_state = self.manifest.kind == "stream"
        self._outputs = ["posterior", "state_out"] if self._has_state else ["posterior"]
        row = self._silence()
        start = time.perf_counter()
        self.run(row, self.initial_state(1) if self._has_state else None)
        self.run_seconds = time.perf_counter() - start
        """Duration of the first run, in seconds: proof that the provider works."""
        if verify:
            self._verify()

    def initial_state(self, n_rows: int) -> Floats:
        """Return the state of rows that have heard nothing, shape (n_rows, n_state)."""
        return np.tile(self.manifest.initial_row(), (n_rows, 1))

    def run(self, inputs: Floats, state: Floats | None = None) -> tuple[Floats, Floats | None]:
        """Run one hop of several rows.

        Args:
            inputs: (batch, n_frames, n_mels) or (batch, n_samples).
            state: (batch, n_state) of a stream; None of a window.

        Returns:
            Posteriors (batch, n_labels), 0..1, and the new state of a stream.

        Raises:
            ModelError: the graph fails on these rows.
        """
        feeds: dict[str, Floats] = {self.manifest.input: inputs}
        if state is not None:
            feeds["state"] = state
        try:
            outputs: list[Floats] = self.session.run(self._outputs, feeds)
        except Exception as error:  # onnxruntime's errors share no base but Exception
            raise self.refuse(f"onnxruntime can't run a batch of {len(inputs)}: {one_line(error)}") from error
        return outputs[0], outputs[1] if self._has_state else None

    def answer(self, samples: NDArray[np.int16] | Floats) -> tuple[Floats, Floats]:
        """Return what the model says of a whole recording: the plain reference of the detector.

        Args:
            samples: int16 or float32 in [-1, 1) at the model's rate; sample 0 begins the first frame.

        Returns:
            Frames (n_frames, n_mels), or the samples (n, 1), and posteriors (n_hops, n_labels) from the
            first hop that is not warm-up.
        """
        facts = self.manifest
        frames = log_mel(samples, facts.log_mel) if facts.log_mel else to_float(samples)[:, None]
        posteriors = []
        state = self.initial_state(1) if self._has_state else None
        for begin in range(0, len(frames) - facts.n_frames + 1, facts.hop_frames):
            window = frames[None, begin : begin + facts.n_frames]
            posterior, state = self.run(window if facts.log_mel else window[..., 0], state)
            posteriors.append(posterior[0])
        scored = posteriors[facts.n_warmup_hops :]
        return frames, np.array(scored, np.float32).reshape(-1, len(facts.labels))

    def _silence(self) -> Floats:
        facts = self.manifest
        shape = (1, facts.n_frames, facts.log_mel.n_mels) if facts.log_mel else (1, facts.n_frames)
        return np.zeros(shape, np.float32)

    def refuse(self, reason: str) -> ModelError:
        """Return an error that names the file."""
        return ModelError(f"{self.file}: {reason}")

    def _check_shapes(self) -> None:
        facts = self.manifest
        expected: dict[str, tuple[int, ...]] = {
            facts.input: (facts.n_frames, facts.log_mel.n_mels) if facts.log_mel else (facts.n_frames,)
        }
        promised: dict[str, tuple[int, ...]] = {"posterior": (len(facts.labels),)}
        if facts.kind == "stream":
            expected["state"] = promised["state_out"] = (facts.n_state,)
        for word, values, wanted in (
            ("input", self.session.get_inputs(), expected),
            ("output", self.session.get_outputs(), promised),
        ):
            found = {value.name: value for value in values}
            for name, shape in wanted.items():
                if name not in found:
                    raise self.refuse(f"graph without {word} {name!r}; it has {', '.join(found)}")
                actual = found[name].shape
                one_row = facts.max_batch == 1 and actual[:1] == [1]
                if actual[1:] != list(shape) or (isinstance(actual[0], int) and not one_row):
                    raise self.refuse(f"{word} {name} of shape {actual}; expected a free batch axis and {shape}")
                if found[name].type != "tensor(float)":
                    raise self.refuse(f"{word} {name} is a {found[name].type}; expected tensor(float)")
            strangers = sorted(set(found) - set(wanted))
            if word == "input" and strangers:
                raise self.refuse(f"graph with further inputs {strangers}; the contract has {', '.join(wanted)}")

    def _verify(self) -> None:
        facts = self.manifest
        golden = facts.golden
        tolerance_db, tolerance = TOLERANCES[self.provider]
        signal = golden_signal(golden.seed, golden.n_samples)
        frames, posteriors = self.answer(signal)
        if facts.log_mel is not None:
            off = _distance(golden.log_mel, frames) * facts.log_mel.decibels_per_unit
            if not off <= tolerance_db:
                raise self.refuse(f"its log-mel here is {off:.3g} dB off its golden answer (at most {tolerance_db})")
        if not (np.abs(posteriors - 0.5) <= 0.5 + 1e-6).all():
            raise self.refuse("its posteriors are no numbers from 0 to 1; does the graph end without its sigmoid?")
        off = _distance(golden.posterior, posteriors)
        if not off <= tolerance:
            raise self.refuse(f"its posteriors here are {off:.3g} off its golden answer (at most {tolerance})")
        if facts.max_batch != 1:
            self._verify_rows(frames, tolerance)

    def _verify_rows(self, frames: Floats, tolerance: float) -> None:
        """A loud row beside a quiet one must change nothing of either."""
        facts = self.manifest
        loud = frames[: facts.n_frames] if facts.log_mel else frames[: facts.n_frames, 0]
        quiet = loud - loud.max() + loud.min() if facts.log_mel else loud / 1000
        rows = np.stack([loud, quiet])
        together, _ = self.run(rows, self.initial_state(2) if self._has_state else None)
        if len(together) != 2:
            raise self.refuse(f"a batch of 2 gives {len(together)} rows of posteriors; its manifest needs max_batch 1")
        for i in range(2):
            alone, _ = self.run(rows[i : i + 1], self.initial_state(1) if self._has_state else None)
            off = float(np.abs(alone[0] - together[i]).max())
            if not off <= tolerance:
                raise self.refuse(f"rows of one batch change each other by {off:.3g}; its manifest needs max_batch 1")


def _distance(golden: bytes, actual: Floats) -> float:
    expected = np.frombuffer(golden, "<f4")
    if expected.size != actual.size or not expected.size:
        return float("inf")
    return float(np.abs(expected - actual.ravel()).max())


def one_line(error: Exception) -> str:
    """Return what onnxruntime says in many."""
    return " ".join(str(error).split())[:300]


def _read(file: Path) -> bytes:
    try:
        size = file.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ModelError(f"{file}: {size >> 20} MiB; a model is at most {MAX_FILE_BYTES >> 20} MiB")
        return file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file}: can't be read ({error.strerror}); expected a model file (.onnx)") from error


def _manifest(file: Path, data: bytes) -> Manifest:
    try:
        text = onnx_file.metadata(data).get(manifests.METADATA_KEY)
        if text is None:
            raise ModelError("ONNX file without a manifest; wrap it with training/design/adopt.py")
        if onnx_file.has_external_data(data):
            raise ModelError("weights lie outside the file; export it as one file (external_data=False)")
        return manifests.decode(text)
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from error


def _session(file: Path, device: Device) -> Any:
    runtime = load_onnxruntime()
    has_cuda = CUDA in runtime.get_available_providers()
    if device == "cuda" and not has_cuda:
        raise DeviceError(
            "device cuda: this onnxruntime has no CUDA; pip uninstall onnxruntime, pip install 'streamd[gpu]'"
        )
    try:
        session = open_session(str(file), CUDA if device != "cpu" and has_cuda else CPU, is_quiet=device == "auto")
    except Exception as error:  # as in Model.run
        raise ModelError(f"{file}: onnxruntime refuses it: {one_line(error)}") from error
    if device == "cuda" and session.get_providers()[0] != CUDA:
        raise DeviceError(
            "device cuda: onnxruntime fell back to the CPU; CUDA 13 and cuDNN 9 are needed: "
            "pip install 'streamd[gpu]', and nvidia-smi must show a GPU"
        )
    return session


def open_session(graph: str | bytes, provider: str, *, is_quiet: bool = False) -> Any:
    """Return an onnxruntime session of a file, or of a graph's bytes.

    Where the provider can't be had, onnxruntime takes the CPU without a word: ask the session which it has.
    """
    runtime = load_onnxruntime()
    wanted: list[Any] = [CPU]
    if provider == CUDA:
        # preload_dlls finds the CUDA libraries of pip's nvidia packages.
        getattr(runtime, "preload_dlls", lambda: None)()
        # TF32 keeps 10 bits of a product: a posterior would not be the one that was measured.
        wanted.insert(0, (CUDA, {"use_tf32": "0"}))
    options = runtime.SessionOptions()
    options.log_severity_level = 4 if is_quiet else 3
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Threads that spin between hops burn half a core at one run every 80 ms.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return runtime.InferenceSession(graph, options, providers=wanted)

"""Runs of a model on memory that onnxruntime is bound to once: nothing is handed over, nothing allocated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamd.model import Model, one_line

Floats = NDArray[np.float32]


class Bound:
    """Every batch size of a model, all on the same memory."""

    def __init__(self, model: Model, max_batch: int) -> None:
        """Prepare for batches of at most max_batch rows."""
        facts = model.manifest
        frame = (facts.log_mel.n_mels,) if facts.log_mel else ()
        self._model = model
        self._inputs = np.zeros((max_batch, facts.n_frames, *frame), np.float32)
        self._posterior = np.zeros((max_batch, len(facts.labels)), np.float32)
        n_state = facts.n_state if facts.kind == "stream" else 0
        self._state, self._state_out = np.zeros((2, max_batch, n_state), np.float32)
        self._runs: dict[int, BoundRun] = {}

    def of(self, n_rows: int) -> BoundRun:
        """Return the run of n_rows; all share the memory."""
        if n_rows not in self._runs:
            has_state = self._model.manifest.kind == "stream"
            self._runs[n_rows] = BoundRun(
                self._model,
                self._inputs[:n_rows],
                self._posterior[:n_rows],
                self._state[:n_rows] if has_state else None,
                self._state_out[:n_rows] if has_state else None,
            )
        return self._runs[n_rows]


class BoundRun:
    """One batch size of a model, bound: fill inputs and state, call it, read posterior and state_out."""

    def __init__(
        self, model: Model, inputs: Floats, posterior: Floats, state: Floats | None, state_out: Floats | None
    ) -> None:
        """Bind these arrays, each contiguous, with as many rows as the batch has."""
        self.inputs, self.posterior, self.state, self.state_out = inputs, posterior, state, state_out
        self._model = model
        self._binding = model.session.io_binding()
        for name, array in ((model.manifest.input, inputs), ("state", state)):
            if array is not None:
                self._binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for name, array in (("posterior", posterior), ("state_out", state_out)):
            if array is not None:
                self._binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    def __call__(self) -> None:
        """Run it.

        Raises:
            ModelError: the graph fails on these rows.
        """
        try:
            self._model.session.run_with_iobinding(self._binding)
        except Exception as error:  # as in Model.run
            raise self._model.refuse(
                f"onnxruntime can't run a batch of {len(self.inputs)}: {one_line(error)}"
            ) from error

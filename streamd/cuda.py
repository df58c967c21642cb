"""The rows of a model on a GPU: what sources remember stays there, samples go in and posteriors come out.

Batches are filled up to a power of two, so that few shapes occur and each is bound once; the memory of the sources
lies there twice, and a run reads one and writes the other. The same runs on onnxruntime's processor provider, which
is how it is tested without a GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamd.device_graph import BEGINS, MEMORY, MEMORY_OUT, ROWS, SAMPLES, device_graph, n_remembered
from streamd.errors import DeviceLostError, ModelError
from streamd.golden import golden_signal
from streamd.logmel import to_float
from streamd.model import CUDA, TOLERANCES, Model, load_onnxruntime, one_line, open_session

Floats = NDArray[np.float32]

LEAST_ROWS = 64
"""Rows of memory at first; twice as many whenever they are full."""


class DeviceRows:
    """Like `rows.Rows`, on the device of a model's provider."""

    def __init__(self, model: Model, max_batch: int) -> None:
        """Prepare for batches of at most max_batch rows.

        Raises:
            ModelError: the model can't be made to hear samples there, or doesn't give its golden answer so.
            DeviceLostError: the device is not there any more, or has no memory left.
        """
        facts = model.manifest
        self._model = model
        self._facts = facts
        try:
            graph = device_graph(model.file.read_bytes(), facts)
        except ModelError as error:
            raise model.refuse(str(error)) from error
        try:
            self._session = open_session(graph, model.provider)
        except Exception as error:  # as in Model.run
            raise self._lost("open a session", error) from error
        if self._session.get_providers()[0] != model.provider:
            raise DeviceLostError(f"{model.file}: {model.provider} is gone: onnxruntime fell back to the CPU")
        self._ort = load_onnxruntime().OrtValue
        self._device = "cuda" if model.provider == CUDA else "cpu"
        self._max_batch = max_batch
        self._n_rows = 0
        self._n_joined = 0
        self._memories: list[Any] = []
        self._turn = 0
        self._batches: dict[tuple[int, int], _Batch] = {}
        self._verify()

    def join(self, row: int) -> None:
        """Note a row, numbered from 0 on; the next run makes room for it, and says so where there is none."""
        self._n_joined = max(self._n_joined, row + 1)

    def run(self, rows: NDArray[np.intp], samples: Floats, ages: NDArray[np.int64]) -> Floats:
        """Hear one hop of some rows; as `rows.Rows.run`, but what is no answer yet is no zero.

        Raises:
            DeviceLostError: the run fails: the device is lost, or has no memory left. The rows are as before.
        """
        n = len(rows)
        n_rows = max(LEAST_ROWS, 1 << (self._n_joined - 1).bit_length())
        if n_rows > self._n_rows:
            try:
                self._allocate(n_rows)
            except Exception as error:  # as in Model.run
                raise self._lost(f"hold {n_rows} sources", error) from error
        try:
            batch = self._batch(n)
            batch.rows[:n] = rows
            # Each row that fills the batch up has a place of its own behind those of the sources.
            batch.rows[n:] = np.arange(self._n_rows, self._n_rows + batch.size - n)
            batch.samples[:n] = samples
            batch.begins[:n, 0] = ages <= self._facts.n_cold_hops
            posterior = batch.run()
        except Exception as error:  # as in Model.run
            raise self._lost(f"run a batch of {n}", error) from error
        self._turn = 1 - self._turn
        return posterior[:n]

    def _lost(self, what: str, error: Exception) -> DeviceLostError:
        return DeviceLostError(f"{self._model.file}: {self._model.provider} can't {what}: {one_line(error)}")

    def _batch(self, n: int) -> _Batch:
        size = min(1 << (n - 1).bit_length(), max(self._max_batch, n))
        key = size, self._turn
        if key not in self._batches:
            memory, memory_out = self._memories[self._turn], self._memories[1 - self._turn]
            self._batches[key] = _Batch(self._session, self._ort, self._device, self._facts, size, memory, memory_out)
        return self._batches[key]

    def _allocate(self, n_rows: int) -> None:
        """Make room for n_rows, and as many behind them as a batch may be filled up with."""
        found = np.zeros((n_rows + self._max_batch, n_remembered(self._facts)), np.float32)
        if self._memories:
            found[: self._n_rows] = self._memories[self._turn].numpy()[: self._n_rows]
        # Copies: on the processor an OrtValue is a view, and both would be the same memory.
        self._memories = [self._ort.ortvalue_from_numpy(found.copy(), self._device, 0) for _ in range(2)]
        self._batches.clear()
        self._n_rows, self._turn = n_rows, 0

    def _verify(self) -> None:
        """Play the golden signal, in a batch of 2: its own answer, however frames are computed here."""
        facts = self._facts
        tolerance = TOLERANCES[CUDA][1]
        signal = to_float(golden_signal(facts.golden.seed, facts.golden.n_samples))
        # Without a lead the first frame would not be the first sample.
        audio = np.concatenate([np.zeros(facts.lead_samples, np.float32), signal])
        expected = np.frombuffer(facts.golden.posterior, "<f4").reshape(-1, len(facts.labels))
        n_before = facts.n_cold_hops + facts.n_warmup_hops
        n_rows = 1 if facts.max_batch == 1 else 2
        for age in range(n_before + len(expected)):
            hop = audio[age * facts.hop_samples :][: facts.hop_samples]
            found = self.run(np.arange(n_rows), np.tile(hop, (n_rows, 1)), np.full(n_rows, age))
            off = float(np.abs(found - expected[age - n_before]).max()) if age >= n_before else 0.0
            if not off <= tolerance:
                raise self._model.refuse(
                    f"with its log-mel on {self._model.provider} its posteriors are {off:.3g} off its golden answer "
                    f"(at most {tolerance})"
                )


class _Batch:
    """One size of batch, from one memory into the other, bound."""

    def __init__(
        self, session: Any, ort: Any, device: str, facts: Any, size: int, memory: Any, memory_out: Any
    ) -> None:
        self.size = size
        self.samples = np.zeros((size, facts.hop_samples), np.float32)
        self.rows = np.zeros(size, np.int64)
        self.begins = np.zeros((size, 1), np.bool_)
        self._session = session
        posterior = np.zeros((size, len(facts.labels)), np.float32)
        self._there = {
            name: ort.ortvalue_from_numpy(array, device, 0)
            for name, array in ((SAMPLES, self.samples), (ROWS, self.rows), (BEGINS, self.begins))
        }
        self._posterior = ort.ortvalue_from_numpy(posterior, device, 0)
        self._binding = session.io_binding()
        for name, value in (*self._there.items(), (MEMORY, memory)):
            self._binding.bind_ortvalue_input(name, value)
        self._binding.bind_ortvalue_output("posterior", self._posterior)
        self._binding.bind_ortvalue_output(MEMORY_OUT, memory_out)

    def run(self) -> Floats:
        for name, array in ((SAMPLES, self.samples), (ROWS, self.rows), (BEGINS, self.begins)):
            self._there[name].update_inplace(array)
        self._session.run_with_iobinding(self._binding)
        posterior: Floats = self._posterior.numpy().copy()  # on the processor a view, which the next run overwrites
        return posterior

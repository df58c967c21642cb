"""What a model remembers of each source, one row a source: the end of its audio, log-mel frames, state.

A run hears one hop of some rows: their frames are computed together, gathered with what they remember into memory that
onnxruntime was bound to once, and what it answers is scattered again. Only what is new is computed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamd.bound import Bound
from streamd.grown import grown
from streamd.logmel import GROUP, LogMelSpec, Transform
from streamd.model import Model

Floats = NDArray[np.float32]
Places = NDArray[np.intp]


class Rows:
    """The rows of one model, run on the processor."""

    def __init__(self, model: Model, max_batch: int) -> None:
        """Prepare for batches of at most max_batch rows; no rows yet."""
        facts = model.manifest
        self._facts = facts
        self._bound = Bound(model, max_batch)
        self._new = Frames(facts.log_mel, facts.hop_frames) if facts.log_mel else None
        self._initial = facts.initial_row()
        self._states = np.zeros((0, facts.n_state), np.float32)
        # Of a window all but its newest hop; of a stream nothing.
        shape = (facts.n_frames - facts.hop_frames, *((facts.log_mel.n_mels,) if facts.log_mel else ()))
        self._past = np.zeros((0, *shape), np.float32)
        # The slot in its group that the first new frame of the first whole window has.
        self._first_slot = facts.n_frames - facts.hop_frames

    def join(self, row: int) -> None:
        """Make room for a row; rows are numbered from 0 on."""
        self._states = grown(self._states, row + 1)
        self._past = grown(self._past, row + 1)
        if self._new is not None:
            self._new.join(row)

    def run(self, rows: Places, samples: Floats, ages: NDArray[np.int64]) -> Floats:
        """Hear one hop of some rows.

        Args:
            rows: distinct row numbers, shape (n,), n at most max_batch.
            samples: their new samples, (n, hop_samples), in [-1, 1).
            ages: how many hops each has heard before, (n,). At 0 a row remembers nothing, whatever it heard before; no
                reset is needed.

        Returns:
            Posteriors (n, n_labels); zeros where the first window isn't whole yet.

        Raises:
            ModelError: the graph fails on these rows.
        """
        facts = self._facts
        new = samples
        since_whole = ages - facts.n_cold_hops
        if self._new is not None:
            first_frame = self._first_slot + since_whole * facts.hop_frames
            new = self._new.of(rows, samples, first_frame % GROUP)
        whole = since_whole >= 0
        if whole.all():
            return self._answers(rows, new, since_whole == 0)
        posteriors = np.zeros((len(rows), len(facts.labels)), np.float32)
        if whole.any():
            posteriors[whole] = self._answers(rows[whole], new[whole], since_whole[whole] == 0)
        cold = ~whole
        self._remember(rows[cold], np.concatenate([self._past[rows[cold]], new[cold]], axis=1))
        return posteriors

    def _answers(self, rows: Places, new: Floats, begins: NDArray[np.bool_]) -> Floats:
        run = self._bound.of(len(rows))
        n_past = run.inputs.shape[1] - new.shape[1]
        if n_past:
            np.take(self._past, rows, axis=0, out=run.inputs[:, :n_past], mode="clip")
        run.inputs[:, n_past:] = new
        if run.state is not None:
            np.take(self._states, rows, axis=0, out=run.state, mode="clip")
            if begins.any():
                run.state[begins] = self._initial
        run()
        if run.state_out is not None:
            self._states[rows] = run.state_out
        self._remember(rows, run.inputs)
        return run.posterior.copy()

    def _remember(self, rows: Places, frames: Floats) -> None:
        n_past = self._past.shape[1]
        if n_past:
            self._past[rows] = frames[:, frames.shape[1] - n_past :]


class Frames:
    """The new log-mel frames of every hop, of many sources at once: bit for bit those of `logmel.LogMel`."""

    def __init__(self, spec: LogMelSpec, hop_frames: int) -> None:
        """Prepare for hops of hop_frames frames."""
        self._spec = spec
        self._n = hop_frames
        self._transform = Transform(spec)
        n_span = (hop_frames - 1) * spec.hop_length + spec.win_length
        self._n_span = n_span
        # Where frames leave samples out between them, the first begins within the hop.
        self._tails = np.zeros((0, max(0, n_span - hop_frames * spec.hop_length)), np.float32)

    def join(self, row: int) -> None:
        """Make room for a row."""
        self._tails = grown(self._tails, row + 1)

    def of(self, rows: Places, samples: Floats, slots: NDArray[np.int64]) -> Floats:
        """Return the frames that end with these samples, (n, hop_frames, n_mels).

        Args:
            rows: (n,)
            samples: (n, hop_samples), right after those of the call before.
            slots: the place of each first frame in its group, (n,): its number modulo GROUP.
        """
        spec, n = self._spec, self._n
        audio = np.concatenate([self._tails[rows], samples], axis=1)
        n_tail = self._tails.shape[1]
        if n_tail:
            self._tails[rows] = audio[:, audio.shape[1] - n_tail :]
        item = audio.itemsize
        # One row a frame, no copy. sliding_window_view does the same in 40 times the time.
        frames = np.ndarray(
            (len(rows), n, spec.win_length),
            np.float32,
            audio,
            offset=(audio.shape[1] - self._n_span) * item,
            strides=(audio.strides[0], spec.hop_length * item, item),
        )
        if n % GROUP == 0 and not slots.any():
            out = np.empty((len(rows), n, spec.n_mels), np.float32)
            groups = frames.reshape(len(rows), n // GROUP, GROUP, spec.win_length)
            outs = out.reshape((*groups.shape[:3], spec.n_mels))
            if len(rows) < n // GROUP:
                groups, outs = groups.swapaxes(0, 1), outs.swapaxes(0, 1)
            for i in range(groups.shape[1]):
                self._transform.into(outs[:, i], groups[:, i])
            return out
        n_slots = -(-(n + GROUP - 1) // GROUP) * GROUP
        padded = np.zeros((len(rows), n_slots, spec.win_length), np.float32)
        at = np.arange(len(rows))[:, None], slots[:, None] + np.arange(n)
        padded[at] = frames
        done = np.empty((len(rows) * n_slots // GROUP, GROUP, spec.n_mels), np.float32)
        self._transform.into(done, padded.reshape(-1, GROUP, spec.win_length))
        chosen: Floats = done.reshape(len(rows), n_slots, spec.n_mels)[at]
        return chosen

"""Samples that wait: hops come out as they went in, whatever the blocks were."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamd.pending import Pending

HOP = 7


@given(data=st.data(), n_rows=st.integers(1, 4))
def test_hops_are_the_samples_in_order_and_none_is_lost(data: st.DataObject, n_rows: int) -> None:
    pending = Pending(HOP)
    pushed = [np.zeros(0, np.float32) for _ in range(n_rows)]
    taken = [np.zeros(0, np.float32) for _ in range(n_rows)]
    for _ in range(n_rows):
        pending.join()
    for _ in range(data.draw(st.integers(0, 12))):
        row = data.draw(st.integers(0, n_rows - 1))
        block = np.arange(data.draw(st.integers(0, 40)), dtype=np.int16) + len(pushed[row])
        pushed[row] = np.concatenate([pushed[row], block / np.float32(32768)])
        is_float = data.draw(st.booleans())
        pending.push(row, (block / 32768).astype(np.float32) if is_float else block)
        whole = [row for row in range(n_rows) if pending.is_whole(row)]
        if whole and data.draw(st.booleans()):
            rows = np.array(data.draw(st.permutations(whole)))
            for row, hop in zip(rows, pending.hops(rows), strict=True):
                taken[row] = np.concatenate([taken[row], hop])
            pending.drop(rows)
    for row in range(n_rows):
        while pending.is_whole(row):
            taken[row] = np.concatenate([taken[row], pending.hops(np.array([row]))[0]])
            pending.drop(np.array([row]))
        n_whole = len(pushed[row]) // HOP * HOP
        np.testing.assert_array_equal(taken[row], pushed[row][:n_whole])


def test_a_cleared_row_holds_nothing_and_the_others_stay() -> None:
    pending = Pending(HOP)
    for row in range(2):
        pending.join()
        pending.push(row, np.ones(3 * HOP + 1, np.float32))
    pending.clear(0)
    assert not pending.is_whole(0)
    pending.push(0, np.full(HOP, 0.5, np.float32))
    np.testing.assert_array_equal(pending.hops(np.array([0, 1])), [[0.5] * HOP, [1.0] * HOP])
    pending.drop(np.array([0, 1]))
    assert not pending.is_whole(0)
    assert pending.is_whole(1)

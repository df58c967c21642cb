"""State rows: each source has its own, a batch takes and returns several at once."""

from __future__ import annotations

import numpy as np

from streamd.rows import Rows

INITIAL = np.array([1, -2, 3], np.float32)


def test_a_row_begins_with_the_initial_state_and_the_others_stay() -> None:
    rows = Rows(INITIAL)
    assert rows.join() == 0
    rows.scatter(np.array([0]), np.array([[7, 8, 9]], np.float32))
    assert rows.join() == 1
    np.testing.assert_array_equal(rows.gather(np.array([0, 1])), [[7, 8, 9], INITIAL])


def test_scattered_rows_come_back_in_any_order() -> None:
    rows = Rows(INITIAL)
    for _ in range(4):
        rows.join()
    rows.scatter(np.array([3, 1]), np.array([[3, 3, 3], [1, 1, 1]], np.float32))
    np.testing.assert_array_equal(rows.gather(np.array([1, 2, 3])), [[1, 1, 1], INITIAL, [3, 3, 3]])


def test_a_reset_row_forgets_alone() -> None:
    rows = Rows(INITIAL)
    rows.join(), rows.join()
    rows.scatter(np.array([0, 1]), np.full((2, 3), 5, np.float32))
    rows.reset(0)
    np.testing.assert_array_equal(rows.gather(np.array([0, 1])), [INITIAL, [5, 5, 5]])


def test_what_was_gathered_is_a_copy() -> None:
    rows = Rows(INITIAL)
    rows.join()
    rows.gather(np.array([0]))[:] = 0
    np.testing.assert_array_equal(rows.gather(np.array([0])), [INITIAL])
    np.testing.assert_array_equal(INITIAL, [1, -2, 3])


def test_rows_without_state_are_rows_too() -> None:
    rows = Rows(np.zeros(0, np.float32))
    rows.join()
    assert rows.gather(np.array([0])).shape == (1, 0)

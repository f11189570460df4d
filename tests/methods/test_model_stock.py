"""Model Stock: the average drawn back to the base."""

from __future__ import annotations

import numpy as np
import pytest

from modelbuild.methods.model_stock import model_stock
from tests.methods.values import of_deltas, uniform


def test_two_at_sixty_degrees_go_two_thirds_of_the_way():
    """Section 4: cos 60 = 1/2, t = 2 * 1/2 / (1 + 1/2) = 2/3 of the mean (3/4, sqrt(3)/4)."""
    merged = of_deltas(model_stock, [1.0, 0.0], [0.5, 3**0.5 / 2]).merged()

    assert [0.5, 3**0.5 / 6] == pytest.approx(merged.tolist(), rel=1e-6)


def test_of_orthogonal_changes_nothing_is_left_and_of_equal_ones_everything():
    assert [0.0, 0.0] == of_deltas(model_stock, [1.0, 0.0], [0.0, 2.0]).merged().tolist()
    assert [1.0, 2.0] == of_deltas(model_stock, [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]).merged().tolist()


def test_changes_that_cancel_out_leave_the_base():
    """Cosine -1: the denominator is 0."""
    assert [0.0, 0.0] == of_deltas(model_stock, [1.0, 2.0], [-1.0, -2.0]).merged().tolist()


def test_no_change_at_all_leaves_the_base():
    assert [0.0, 0.0] == of_deltas(model_stock, [0.0, 0.0], [0.0, 0.0]).merged().tolist()


def test_rows_may_have_angles_of_their_own():
    """By hand: the first rows are equal, the second orthogonal."""
    a, b = np.array([[1, 2], [1, 0]], np.float32), np.array([[1, 2], [0, 1]], np.float32)

    assert [[1.0, 2.0], [0.0, 0.0]] == of_deltas(model_stock, a, b, filter_wise=True).merged().tolist()


def test_one_row_is_one_tensor():
    rows = [uniform(i, 50) for i in range(3)]

    by_row, whole = (of_deltas(model_stock, *rows, filter_wise=wise).merged() for wise in (True, False))
    assert np.allclose(by_row, whole, rtol=1e-6)

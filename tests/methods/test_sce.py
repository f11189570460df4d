"""SCE: select, calculate, erase."""

from __future__ import annotations

import numpy as np
import pytest

from modelbuild.methods.sce import sce
from tests.methods.values import of_deltas, uniform


def test_weights_are_the_squares_and_who_disagrees_is_erased():
    """Section 3.3 by hand: mean squares 10 and 5 weigh 2/3 and 1/3; 4 and 1 average to 3; of 2 and -3 the minus wins."""
    merged = of_deltas(sce, [4.0, 2.0], [1.0, -3.0]).merged()

    assert [3.0, -3.0] == pytest.approx(merged.tolist(), rel=1e-6)


def test_only_entries_that_vary_most_are_selected():
    """The differences are 2, 0, 6 and 4: half of the three that vary is one."""
    merged = of_deltas(sce, [3.0, 5.0, 6.0, 4.0], [1.0, 5.0, 0.0, 0.0], select_topk=0.5).merged()

    assert [0.0, 0.0, 6.0, 0.0] == merged.tolist()


def test_equal_entries_do_not_vary_whatever_rounding_says():
    """The mean of three times 0.1 is not 0.1 in float32; half of the one entry that varies is none."""
    merged = of_deltas(sce, [0.1, 1.0, 0.1], [0.1, 2.0, 0.1], [0.1, 3.0, 0.1], select_topk=0.9).merged()

    assert [0.0, 0.0, 0.0] == merged.tolist()


def test_nothing_selected_and_nothing_changed_leave_the_base():
    assert [0.0, 0.0] == of_deltas(sce, [1.0, 2.0], [3.0, 4.0], select_topk=0.0).merged().tolist()
    assert [0.0, 0.0] == of_deltas(sce, [0.0, 0.0], [0.0, 0.0]).merged().tolist()


def test_one_model_and_equal_models_are_themselves():
    values = uniform(1, 50)

    assert values.tolist() == of_deltas(sce, values).merged().tolist()
    assert np.allclose(values, of_deltas(sce, values, values).merged(), rtol=1e-6)


def test_small_changes_are_merged_as_large_ones_if_asked():
    """With squares below 1e-6 mergekit weighs all alike."""
    large = [np.array([4.0, 2.0], np.float32), np.array([1.0, 3.0], np.float32)]
    small = [one * np.float32(2**-14) for one in large]

    expected = of_deltas(sce, *large).merged() * np.float32(2**-14)
    assert np.allclose(expected, of_deltas(sce, *small, scale_invariant=True).merged(), rtol=1e-6)
    assert not np.allclose(expected, of_deltas(sce, *small).merged(), rtol=1e-3)

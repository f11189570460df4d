"""Breadcrumbs: neither the largest nor the smallest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.methods.breadcrumbs import breadcrumbs, breadcrumbs_ties, window
from tests.methods.values import few, numbers, of_deltas, uniform, vectors

shares = st.floats(0.0, 1.0)


def test_the_middle_is_kept_by_hand():
    """Of five, the largest goes (0.2), two of those that follow stay (0.4)."""
    merged = of_deltas(breadcrumbs, [5.0, -1.0, 3.0, -4.0, 2.0], density=(0.4,), gamma=(0.2,)).merged()

    assert [0.0, 0.0, 3.0, -4.0, 0.0] == merged.tolist()


def test_density_comes_first_where_both_do_not_fit():
    """Nine tenths stay, so that only one tenth can go, whatever gamma says."""
    assert (1, 9) == window(10, 0.9, 0.5)
    assert (0, 10) == window(10, 1.0, 0.5)
    assert (3, 0) == window(10, 0.0, 0.3)


@settings(deadline=None, max_examples=60)
@given(vectors(1, elements=few | numbers, most=300), shares, shares)
def test_so_many_are_kept_and_of_equals_the_lowest_indices_count_as_the_largest(tensors, density, gamma):
    (delta,) = tensors
    first, count = window(len(delta), density, gamma)
    order = sorted(range(len(delta)), key=lambda i: (-abs(delta[i]), i))[first : first + count]
    expected = [float(value) if i in order else 0.0 for i, value in enumerate(delta)]

    assert expected == of_deltas(breadcrumbs, delta, density=(density,), gamma=(gamma,)).merged().tolist()


@pytest.mark.parametrize(("density", "gamma"), [(0.0, 0.0), (0.0, 0.3), (0.5, 0.0), (0.3, 0.01), (0.98, 0.02), (0.9, 1.0)])
def test_so_many_are_kept_of_a_tensor_of_two_chunks(density, gamma):
    """Numbers that differ and are not zero."""
    delta = uniform(5, 70_000) + np.float32(4)

    assert int(density * 70_000) == np.count_nonzero(of_deltas(breadcrumbs, delta, density=(density,), gamma=(gamma,)).merged())


def test_signs_are_elected_among_what_is_kept():
    """The 9 is dropped as an outlier, so that -2 and -1 have it; they are summed."""
    deltas = [9.0, 1.0, 1.0, 1.0], [-2.0, 4.0, 0.0, 1.0], [-1.0, 9.0, 0.0, 0.0]
    merged = of_deltas(breadcrumbs_ties, *deltas, density=(0.75, 1.0, 1.0), gamma=(0.25,) * 3).merged()

    assert [-3.0, 14.0, 1.0, 2.0] == merged.tolist()


def test_what_was_dropped_may_be_made_up_for():
    """6 of 12 are kept: twice as much each."""
    merged = of_deltas(breadcrumbs, [5.0, -4.0, 2.0, 1.0], density=(0.5,), gamma=(0.25,), rescale="l1").merged()

    assert [0.0, -8.0, 4.0, 0.0] == merged.tolist()

"""Geometric median: the least sum of distances."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.methods.geometric_median import geometric_median
from modelbuild.methods.linear import linear
from tests.methods.values import few, of_tensors, shares, uniform, vectors

few_examples = settings(deadline=None, max_examples=60)


def test_by_hand():
    """The Fermat point of an isosceles right triangle sees its sides at 120 degrees: (1 - 1 / sqrt 3) / 2 from both legs."""
    merged = of_tensors(geometric_median, [0.0, 0.0], [1.0, 0.0], [0.0, 1.0], max_iter=1000, tol=1e-9).merged()

    assert pytest.approx([(1 - 1 / sqrt(3)) / 2] * 2, abs=1e-6) == merged.tolist()


def test_an_obtuse_corner_is_the_median():
    """Beyond 120 degrees nothing is better than the corner."""
    merged = of_tensors(geometric_median, [0.0, 0.0], [1.0, 0.1], [-1.0, 0.1], max_iter=2000, tol=1e-9).merged()

    assert pytest.approx([0.0, 0.0], abs=1e-4) == merged.tolist()


def test_one_strange_model_of_five_does_not_carry_it_away():
    """Four at 0 and one at a million: the mean is carried off, the median stays, to within `tol` of the million."""
    tensors = [[0.0]] * 4 + [[1e6]]

    assert [2e5] == of_tensors(linear, *tensors).merged().tolist()
    assert pytest.approx([0.0], abs=1.0) == of_tensors(geometric_median, *tensors).merged().tolist()


@few_examples
@given(st.integers(2, 6), st.integers(1, 50), st.integers(0, 2**32), st.data())
def test_nothing_near_has_a_smaller_sum_of_distances(count, n, seed, data):
    tensors = [uniform(seed + i, n) for i in range(count)]
    weight = data.draw(st.tuples(*[shares] * count))
    merged = of_tensors(geometric_median, *tensors, weight=weight, max_iter=1000, tol=1e-9).merged().astype(np.float64)

    def cost(at: np.ndarray) -> float:
        return sum(share * float(np.linalg.norm(tensor - at)) for share, tensor in zip(weight, tensors, strict=True))

    around = [merged + uniform(seed + 50 + k, n) * 0.02 for k in range(10)] + [merged + 0.02 * (tensor - merged) for tensor in tensors]
    flat = 2e-4 * sum(weight)  # two weights that differ by 1 in 100 pull so little over such a distance, and take 1000 steps
    assert all(cost(merged) <= cost(at) * (1 + 1e-5) + flat for at in around)


@few_examples
@given(vectors(1, elements=few), st.integers(2, 5))
def test_identical_inputs_come_out_as_they_are(tensors, count):
    np.testing.assert_allclose(of_tensors(geometric_median, *tensors * count).merged(), tensors[0], rtol=1e-6)


def test_it_moves_with_its_inputs():
    """Small differences beside large weights are not lost: those of 2^-10 on 1 have the median of those on 0, moved by 1."""
    tensors = [uniform(i, 300) * np.float32(2**-10) for i in range(4)]
    of_differences = of_tensors(geometric_median, *tensors).merged()

    np.testing.assert_allclose(of_tensors(geometric_median, *(1 + t for t in tensors)).merged() - 1, of_differences, atol=4e-7)


def test_no_steps_give_the_weighted_mean_and_a_weight_of_0_leaves_an_input_out():
    tensors, params = [uniform(i, 9) for i in range(3)], {"weight": (1.0, 2.0, 0.0)}
    mean = of_tensors(linear, *tensors, **params).merged()

    np.testing.assert_allclose(of_tensors(geometric_median, *tensors, **params, max_iter=0).merged(), mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(of_tensors(geometric_median, *tensors, **params, max_iter=3000).merged(), tensors[1], atol=1e-3)


def test_weights_that_are_all_nothing_are_refused():
    assert ["the weights are all 0", ""] == [geometric_median.check({"weight": weight}, 2) for weight in ((0.0, 0.0), (0.0, 1.0))]
    assert [0, None] == [geometric_median.alias({}, count) for count in (1, 2)]

"""Karcher mean: the centre of directions."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.methods.karcher import karcher
from tests.methods.values import few, of_tensors, uniform, vectors

few_examples = settings(deadline=None, max_examples=60)


def test_by_hand():
    """On a circle the mean angle: 0, 30 and 90 degrees make 40; lengths 1, 2 and 3 make 2."""
    tensors = [[size * cos(angle * pi / 180), size * sin(angle * pi / 180)] for size, angle in ((1, 0), (2, 30), (3, 90))]

    expected = [2 * cos(40 * pi / 180), 2 * sin(40 * pi / 180)]
    assert pytest.approx(expected, abs=3e-6) == of_tensors(karcher, *tensors, max_iter=50, tol=1e-9).merged().tolist()


@few_examples
@given(st.integers(2, 6), st.integers(8, 200), st.integers(0, 2**32))
def test_at_the_mean_all_pulls_cancel(count, n, seed):
    """That is what makes it the mean: the sum of the angles to all inputs, as tangents, is nothing."""
    tensors = [uniform(seed + i, n) + np.float32(0.7) for i in range(count)]
    merged = of_tensors(karcher, *tensors, max_iter=100, tol=1e-9).merged().astype(np.float64)

    mean, pull = merged / np.linalg.norm(merged), np.zeros(n)
    for tensor in tensors:
        unit = tensor.astype(np.float64) / np.linalg.norm(tensor.astype(np.float64))
        angle = np.arccos(np.clip(unit @ mean, -1, 1))
        pull += (unit - np.cos(angle) * mean) * (angle / np.sin(angle) if angle > 1e-7 else 1)
    assert np.linalg.norm(pull) < 1e-5
    assert pytest.approx(np.mean([np.linalg.norm(tensor) for tensor in tensors]), rel=1e-5) == np.linalg.norm(merged)


@few_examples
@given(vectors(1, elements=few), st.integers(2, 5))
def test_identical_inputs_come_out_as_they_are(tensors, count):
    np.testing.assert_allclose(of_tensors(karcher, *tensors * count).merged(), tensors[0], rtol=1e-6, atol=1e-7)


def test_tensors_shorter_than_the_tolerance_have_no_direction():
    """They count for the length alone; where all are, they are averaged."""
    assert [1.5, 0.0] == of_tensors(karcher, [3.0, 0.0], [0.0, 0.0]).merged().tolist()
    assert pytest.approx([2e-6, 2e-6]) == of_tensors(karcher, [4e-6, 0.0], [0.0, 4e-6]).merged().tolist()


@pytest.mark.parametrize("factor", [1.0, 0.3])
def test_opposite_tensors_take_the_first_direction(factor):
    """The mean of two opposite directions is any at right angles to them: like mergekit it starts at the first, and stays."""
    x = uniform(0, 99)

    np.testing.assert_allclose(of_tensors(karcher, x, -np.float32(factor) * x).merged(), x * (1 + factor) / 2, rtol=1e-5)


def test_a_single_input_is_handed_on():
    assert [0, None] == [karcher.alias({}, count) for count in (1, 2)]
    assert uniform(0, 9).tolist() == of_tensors(karcher, uniform(0, 9)).merged().tolist()

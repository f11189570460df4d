"""NuSLERP: slerp by weights, of tensors or of their vectors."""

from __future__ import annotations

from math import pi, sin, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.methods.linear import linear
from modelbuild.methods.nuslerp import nuslerp
from modelbuild.methods.slerp import slerp
from tests.methods.values import numbers, of_deltas, of_tensors, on_a_base, shares, uniform, vectors

few_examples = settings(deadline=None, max_examples=60)

X, Y = [1.0, 0.0], [0.0, 1.0]


def by_formula(x0: np.ndarray, x1: np.ndarray, t: float, axis: int | None) -> np.ndarray:
    """The formula in float64; `axis` None takes a tensor as one vector."""
    x0, x1 = x0.astype(np.float64), x1.astype(np.float64)
    aa, ab, bb = (np.sum(x * y, axis=axis, keepdims=True) for x, y in ((x0, x0), (x0, x1), (x1, x1)))
    angle = np.arccos(np.clip(ab / np.sqrt(aa * bb), -1, 1))
    return (np.sin((1 - t) * angle) * x0 + np.sin(t * angle) * x1) / np.sin(angle)


def test_by_hand():
    """A right angle, weights 2 and 1: after a third of it the point at 30 degrees."""
    merged = nuslerp([torch.tensor(X), torch.tensor(Y)], weight=(2.0, 1.0), nuslerp_flatten=True, nuslerp_row_wise=False)

    assert pytest.approx([sqrt(3) / 2, 0.5], abs=1e-7) == merged.tolist()


@pytest.mark.parametrize("weights", [(0.0, 0.0), (1.0, -1.0), (4e-7, 5e-7)])
def test_weights_that_sum_to_nothing_go_half_way(weights):
    assert of_tensors(nuslerp, X, Y, weight=(1.0, 1.0)).compute() == of_tensors(nuslerp, X, Y, weight=weights).compute()


def test_a_negative_weight_goes_beyond_the_other():
    """Weights 3 and -1: t = -1/2, which is 45 degrees behind the first."""
    assert pytest.approx([sqrt(0.5), -sqrt(0.5)], abs=1e-7) == of_tensors(nuslerp, X, Y, weight=(3.0, -1.0)).merged().tolist()


def test_one_weight_alone_hands_that_input_on():
    assert [0, 1, None] == [nuslerp.alias({"weight": weight}, 2) for weight in ((2.0, 0.0), (0.0, 0.1), (0.0, 0.0))]


@few_examples
@given(vectors(2), shares, shares)
def test_only_the_ratio_of_weights_counts(tensors, one, two):
    assert of_tensors(nuslerp, *tensors, weight=(one, two)).compute() == of_tensors(nuslerp, *tensors, weight=(4 * one, 4 * two)).compute()


@few_examples
@given(vectors(2), st.integers(1, 7))
def test_it_is_slerp_where_that_takes_the_arc(tensors, part):
    """Weights 8 - n and n are t = n / 8, to the bit."""
    x0, x1 = (tensor.astype(np.float64) for tensor in tensors)
    norms = np.linalg.norm(x0) * np.linalg.norm(x1)
    if norms and abs(x0 @ x1 / norms) < 0.9995:
        expected = of_tensors(slerp, *tensors, t=part / 8).compute()

        assert expected == of_tensors(nuslerp, *tensors, weight=(8.0 - part, float(part))).compute()


def test_nearly_parallel_tensors_still_take_the_arc():
    """Where slerp has given up: at 1.2 degrees the middle of the arc is half a part in 10,000 above the chord."""
    angle = 0.02
    x1 = [np.cos(angle), np.sin(angle)]

    assert pytest.approx(1.0, abs=2e-7) == np.linalg.norm(of_tensors(nuslerp, X, x1).merged().astype(np.float64))
    assert np.linalg.norm(of_tensors(slerp, X, x1, t=0.5).merged().astype(np.float64)) < 1 - 4e-5


@few_examples
@given(vectors(1), st.sampled_from([1.0, -1.0, 0.5, -4.0, 3.0, -0.3]), shares)
def test_multiples_of_one_tensor_are_merged_on_the_straight_line(tensors, factor, weight):
    """Opposite ones too, between which there is no shortest arc."""
    pair = tensors[0], (tensors[0] * np.float32(factor)).astype(np.float32)
    t = weight / (weight + 1.0)
    on_the_line = of_tensors(linear, *pair, weight=(1 - t, t), normalize=False).merged()

    np.testing.assert_allclose(of_tensors(nuslerp, *pair, weight=(1.0, weight)).merged(), on_the_line, rtol=1e-6, atol=1e-6)


@few_examples
@given(vectors(1), shares)
def test_zeros_count_as_at_a_right_angle(tensors, weight):
    merged = of_tensors(nuslerp, np.zeros_like(tensors[0]), *tensors, weight=(1.0, weight)).merged()
    expected = tensors[0] * sin(weight / (weight + 1.0) * pi / 2) if any(tensors[0]) else 0 * tensors[0]

    np.testing.assert_allclose(merged, expected, rtol=1e-6)


@pytest.mark.parametrize("flatten", [True, False])
def test_on_a_base_differences_are_merged(flatten):
    """And the base is added: here it is zeros, and of tensors 1 + x nothing else is left."""
    x0, x1 = uniform(0, 5, 7), uniform(1, 5, 7)

    of_weights = of_tensors(nuslerp, x0, x1, nuslerp_flatten=flatten).merged()
    of_differences = of_deltas(on_a_base(nuslerp), x0, x1, nuslerp_flatten=flatten).merged()
    assert of_weights.tolist() == of_differences.tolist()


@pytest.mark.parametrize("row_wise", [False, True])
@pytest.mark.parametrize("shape", [(5, 7), (1, 9), (9, 1), (4, 3, 2), (6,), (1,)])
def test_vectors_one_by_one_have_angles_of_their_own(shape, row_wise):
    """Along the last dimension, or along the first."""
    x0, x1 = uniform(0, *shape), uniform(1, *shape)
    axis = 0 if row_wise else -1
    lone = shape[axis] == 1
    expected = 0.25 * x0 + 0.75 * x1 if lone else by_formula(x0, x1, 0.75, axis)  # numbers are parallel or opposite

    merged = of_tensors(nuslerp, x0, x1, weight=(1.0, 3.0), nuslerp_flatten=False, nuslerp_row_wise=row_wise).merged()
    np.testing.assert_allclose(merged, expected, rtol=1e-5, atol=1e-6)


def test_more_vectors_than_are_merged_at_a_time():
    """Groups of rows change nothing: each row is as it is alone."""
    x0, x1 = uniform(0, 3000, 700), uniform(1, 3000, 700)
    params = {"weight": (1.0, 3.0), "nuslerp_flatten": False}
    merged = of_tensors(nuslerp, x0, x1, **params).merged()

    some = [0, 1497, 1498, 2999]
    assert merged[some].tolist() == of_tensors(nuslerp, x0[some], x1[some], **params).merged().tolist()


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0)])
@pytest.mark.parametrize("flatten", [True, False])
def test_scalars_and_tensors_of_no_elements(shape, flatten):
    """A scalar is a vector of one."""
    x0, x1 = uniform(0, *shape), uniform(1, *shape)

    merged = of_tensors(nuslerp, x0, x1, nuslerp_flatten=flatten).merged()
    np.testing.assert_allclose(merged, (x0 + x1) / 2, rtol=1e-6)


@few_examples
@given(vectors(2, elements=numbers), shares)
def test_it_agrees_with_the_formula_in_float64(tensors, weight):
    x0, x1 = tensors
    cosine = x0.astype(np.float64) @ x1.astype(np.float64) / max(np.linalg.norm(x0) * np.linalg.norm(x1), 1e-30)
    if 1e-6 < 1 - cosine * cosine and any(x0) and any(x1):
        factors = 1 / np.sqrt(1 - cosine * cosine)
        largest = np.maximum(abs(x0), abs(x1)) * factors

        merged = of_tensors(nuslerp, x0, x1, weight=(1.0, weight)).merged()
        assert np.all(abs(merged - by_formula(x0, x1, weight / (1 + weight), None)) <= 4 * 2.0**-24 * largest * 2 + 1e-30)

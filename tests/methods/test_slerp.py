"""Slerp: the way along the arc."""

from __future__ import annotations

from math import cos, pi, sin, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.methods.linear import linear
from modelbuild.methods.slerp import slerp
from tests.methods.values import numbers, of_tensors, uniform, vectors

few_examples = settings(deadline=None, max_examples=60)
steps = st.floats(0.0, 1.0)


def test_by_hand():
    """A right angle: after a third of it the point at 30 degrees, (sin 60, sin 30)."""
    merged = slerp([torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])], t=1 / 3)

    assert pytest.approx([sqrt(3) / 2, 0.5], abs=1e-7) == merged.tolist()


def test_lengths_are_not_taken_out():
    """Half way between (2, 0) and (0, 1): sin 45 of each, 2 / sqrt 2 and 1 / sqrt 2."""
    merged = slerp([torch.tensor([2.0, 0.0]), torch.tensor([0.0, 1.0])], t=0.5)

    assert pytest.approx([sqrt(2), sqrt(0.5)], abs=1e-7) == merged.tolist()


def test_a_matrix_is_one_vector():
    """The angle is that of the whole tensor: right, though the rows are parallel or opposite."""
    left, right = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, -1.0]])

    merged = slerp([left, right], t=0.5)

    assert pytest.approx(np.array([[sqrt(2), 0.0], [0.0, 0.0]]), abs=1e-7) == merged.numpy()


def test_the_ends_are_aliases_and_nothing_between_is():
    assert [0, 1, None, None] == [slerp.alias({"t": t}, 2) for t in (0.0, 1.0, 0.5, 1e-9)]


@few_examples
@given(vectors(2))
def test_the_ends_computed_are_the_inputs(tensors):
    """As they are where t varies over a model and another type is asked for."""
    ends = [of_tensors(slerp, *tensors, t=t).merged().tolist() for t in (0.0, 1.0)]

    assert [tensor.tolist() for tensor in tensors] == ends


@pytest.mark.parametrize("towards", [1.0, -1.0], ids=["parallel", "opposite"])
@pytest.mark.parametrize(("cosine", "straight"), [(0.99951, True), (0.99949, False)])
def test_beyond_a_cosine_of_0_9995_it_is_the_straight_line(towards, cosine, straight):
    tensors = [3.0, 0.0], [towards * cosine, sqrt(1 - cosine**2)]
    on_the_line = of_tensors(linear, *tensors, weight=(0.75, 0.25), normalize=False)

    assert straight == (on_the_line.compute() == of_tensors(slerp, *tensors, t=0.25).compute())


@few_examples
@given(vectors(1), st.sampled_from([1.0, -1.0, 0.5, 4.0]), steps)
def test_multiples_of_one_tensor_are_merged_on_the_straight_line(tensors, factor, t):
    pair = tensors[0], tensors[0] * np.float32(factor)
    on_the_line = of_tensors(linear, *pair, weight=(1 - t, t), normalize=False)

    assert on_the_line.merged().tolist() == of_tensors(slerp, *pair, t=t).merged().tolist()


@few_examples
@given(vectors(1), steps)
def test_zeros_count_as_at_a_right_angle(tensors, t):
    """Their norm is taken as 1 and the cosine is 0, so sin(t 90 degrees) of the other is left."""
    merged = of_tensors(slerp, np.zeros_like(tensors[0]), *tensors, t=t).merged()

    np.testing.assert_allclose(merged, tensors[0] * sin(t * pi / 2), rtol=1e-6)


@pytest.mark.parametrize(("length", "expected"), [(1.1e-8, 0.5 + 0.5), (0.9e-8, 2 * sqrt(0.5))], ids=["a length", "next to none"])
def test_tensors_of_next_to_no_length_count_as_at_a_right_angle(length, expected):
    """Half way from x to x: on the straight line x, at a right angle sqrt 2 times x."""
    merged = of_tensors(slerp, [length], [length], t=0.5).merged()

    assert pytest.approx([length * expected], rel=1e-6) == merged.tolist()


@few_examples
@given(st.integers(2, 300), st.integers(0, 2**32), st.floats(0.05, pi - 0.05), steps)
def test_between_unit_tensors_it_keeps_the_norm_and_divides_the_angle(n, seed, angle, t):
    """A right angle among others: x1 = cos(a) x0 + sin(a) y, with x0 and y orthonormal, is at the angle a."""
    x0, y = np.linalg.qr(np.stack([uniform(seed, n), uniform(seed + 1, n)], axis=1).astype(np.float64))[0].T

    merged = of_tensors(slerp, x0, cos(angle) * x0 + sin(angle) * y, t=t).merged().astype(np.float64)

    assert pytest.approx(1.0, abs=3e-6) == np.linalg.norm(merged)
    assert pytest.approx([cos(t * angle), sin(t * angle)], abs=3e-6) == [merged @ x0, merged @ y]


@few_examples
@given(st.floats(0, 2 * pi), steps)
def test_it_keeps_the_norm_of_orthogonal_unit_tensors(turn, t):
    tensors = [cos(turn), sin(turn)], [-sin(turn), cos(turn)]

    assert pytest.approx(1.0, abs=1e-6) == np.linalg.norm(of_tensors(slerp, *tensors, t=t).merged())


@few_examples
@given(vectors(2), st.integers(0, 1024))
def test_it_is_the_same_from_the_other_end(tensors, part):
    """To the bit: the two products trade places, and 1 - t is exact."""
    t = part / 1024

    assert of_tensors(slerp, *tensors, t=t).compute() == of_tensors(slerp, *tensors[::-1], t=1 - t).compute()


@few_examples
@given(vectors(2, elements=numbers), st.integers(-10, 10), steps)
def test_it_scales_with_its_inputs(tensors, power, t):
    """The angle is that of directions: powers of two, which round nothing, come out as they went in."""
    scaled = [tensor * np.float32(2.0**power) for tensor in tensors]

    expected = of_tensors(slerp, *tensors, t=t).merged() * np.float32(2.0**power)
    np.testing.assert_allclose(of_tensors(slerp, *scaled, t=t).merged(), expected, rtol=1e-5, atol=2.0 ** (power - 18))

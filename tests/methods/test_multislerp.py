"""MultiSLERP: directions averaged on the sphere."""

from __future__ import annotations

from math import cos, sin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.methods.linear import linear
from modelbuild.methods.multislerp import multislerp
from modelbuild.methods.slerp import slerp
from tests.methods.values import few, of_deltas, of_tensors, on_a_base, shares, uniform, vectors

few_examples = settings(deadline=None, max_examples=60)


def by_formula(tensors, weight) -> np.ndarray:
    """The steps of the source, in float64."""
    wide = [tensor.astype(np.float64) for tensor in tensors]
    shares = np.array(weight) / sum(weight)
    norms = [np.linalg.norm(tensor) for tensor in wide]
    units = [tensor / norm for tensor, norm in zip(wide, norms, strict=True)]
    mean = sum(share * unit for share, unit in zip(shares, units, strict=True))
    mean = mean / np.linalg.norm(mean)
    tangent = sum(share * (unit - np.sum(unit * mean) * mean) for share, unit in zip(shares, units, strict=True))
    angle = np.linalg.norm(tangent) + 1e-8
    return (mean * np.cos(angle) + tangent * np.sin(angle) / angle) * sum(shares * norms)


def test_by_hand():
    """Lengths 1 and 3 at right angles, equal weights: half way between the directions, at the length 2."""
    assert (
        pytest.approx([2 * cos(np.pi / 4), 2 * sin(np.pi / 4)], abs=1e-6)
        == of_tensors(multislerp, [1.0, 0.0], [0.0, 3.0]).merged().tolist()
    )


def test_two_unit_tensors_of_equal_weight_meet_where_slerp_meets():
    x0, x1 = (x / np.linalg.norm(x) for x in (uniform(0, 50), uniform(1, 50)))

    np.testing.assert_allclose(of_tensors(multislerp, x0, x1).merged(), of_tensors(slerp, x0, x1, t=0.5).merged(), atol=1e-6)


@few_examples
@given(st.integers(2, 5), st.integers(2, 200), st.integers(0, 2**32), st.data())
def test_it_agrees_with_the_formula_in_float64(count, n, seed, data):
    tensors = [uniform(seed + i, n) + np.float32(0.5) for i in range(count)]
    weight = data.draw(st.tuples(*[shares] * count))

    np.testing.assert_allclose(of_tensors(multislerp, *tensors, weight=weight).merged(), by_formula(tensors, weight), rtol=1e-5, atol=3e-6)


@few_examples
@given(vectors(1, elements=few), st.integers(2, 5))
def test_identical_inputs_come_out_as_they_are(tensors, count):
    """Zeros among them, where all directions cancel out."""
    np.testing.assert_allclose(of_tensors(multislerp, *tensors * count).merged(), tensors[0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("count", [2, 4])
def test_directions_that_cancel_out_are_averaged(count):
    x = uniform(0, 99)
    tensors = [x, -3 * x] * (count // 2)
    average = of_tensors(linear, *tensors).merged()

    np.testing.assert_allclose(of_tensors(multislerp, *tensors).merged(), average, rtol=1e-6)


def test_only_normalized_weights_are_relative():
    tensors = uniform(0, 9), uniform(1, 9)
    plain, doubled = (of_tensors(multislerp, *tensors, weight=weight).compute() for weight in ((1.0, 3.0), (2.0, 6.0)))
    absolute = of_tensors(multislerp, *tensors, weight=(0.25, 0.75), normalize_weights=False).compute()

    assert plain == doubled == absolute


def test_on_a_base_differences_are_merged():
    tensors = uniform(0, 9), uniform(1, 9), uniform(2, 9)

    assert of_tensors(multislerp, *tensors).merged().tolist() == of_deltas(on_a_base(multislerp), *tensors).merged().tolist()


def test_a_single_input_is_handed_on_and_computed_is_itself():
    assert [0, None] == [multislerp.alias({}, count) for count in (1, 2)]
    assert uniform(0, 9).tolist() == of_tensors(multislerp, uniform(0, 9)).merged().tolist()


def test_weights_that_sum_to_nothing_are_refused_where_they_are_divided_by():
    said = [multislerp.check({"weight": (1.0, -1.0), "normalize_weights": normalize}, 2) for normalize in (True, False)]

    assert ["the weights 1, -1 sum to 0, and `normalize_weights` divides by that", ""] == said

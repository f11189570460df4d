"""Linear: a weighted average."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from modelbuild.methods.linear import linear
from tests.engine.jobs import stored
from tests.methods.values import numbers, of_tensors, shares, vectors

few_examples = settings(deadline=None, max_examples=40)


def test_by_hand():
    """Weights 1 and 3: (2 + 3 * 6) / 4 = 5 and (-1 + 3 * 1) / 4 = 0.5."""
    left, right = torch.tensor([2.0, -1.0]), torch.tensor([6.0, 1.0])

    merged = linear([left, right], weight=(1.0, 3.0), normalize=True)

    assert [5.0, 0.5] == merged.tolist()


def test_by_hand_without_normalize():
    """2 + 3 * 6 = 20 and -1 + 3 * 1 = 2."""
    left, right = torch.tensor([2.0, -1.0]), torch.tensor([6.0, 1.0])

    merged = linear([left, right], weight=(1.0, 3.0), normalize=False)

    assert [20.0, 2.0] == merged.tolist()


def test_a_negative_weight_extrapolates():
    """Weights 2 and -1 sum to 1: 2 * 2 - 6 = -2 and 2 * -1 - 1 = -3."""
    assert [-2.0, -3.0] == of_tensors(linear, [2.0, -1.0], [6.0, 1.0], weight=(2.0, -1.0)).merged().tolist()


def test_weights_default_to_one():
    assert [4.0] == of_tensors(linear, [2.0], [6.0]).merged().tolist()


def test_weights_are_summed_from_left_to_right_whatever_the_version_of_python():
    """0.1 + 0.2 - 0.3 is 2^-54 in float64, so 2^-60 becomes 0.1 * 2^-6."""
    merged = of_tensors(linear, [2.0**-60], [0.0], [0.0], weight=(0.1, 0.2, -0.3)).merged()

    assert [float(np.float32(0.1)) * 2.0**-6] == merged.tolist()


@few_examples
@given(vectors(1), st.lists(shares, min_size=1, max_size=6))
def test_the_average_of_equal_inputs_is_the_input(tensors, weight):
    """Byte for byte in bfloat16, where the roundings of float32 are rounded off."""
    case = replace(of_tensors(linear, *tensors * len(weight), weight=tuple(weight)), dtype="BF16")

    assert stored(tensors[0], "BF16") == case.compute()[1]


@few_examples
@given(vectors(3), st.tuples(shares, shares, shares), st.integers(-20, 20))
def test_the_average_does_not_depend_on_the_scale_of_the_weights(tensors, weight, power):
    """To the bit for powers of two, which round nothing."""
    scaled = tuple(share * 2.0**power for share in weight)

    assert of_tensors(linear, *tensors, weight=weight).compute() == of_tensors(linear, *tensors, weight=scaled).compute()


@few_examples
@given(vectors(3), st.tuples(shares, shares, shares))
def test_the_average_lies_between_the_smallest_and_the_largest_input(tensors, weight):
    merged = of_tensors(linear, *tensors, weight=weight).merged()

    assert np.all(np.min(tensors, axis=0) - 1e-5 <= merged)
    assert np.all(merged <= np.max(tensors, axis=0) + 1e-5)


@few_examples
@given(vectors(2), st.tuples(shares, shares))
def test_the_order_of_two_inputs_does_not_matter(tensors, weight):
    forwards = of_tensors(linear, *tensors, weight=weight)
    backwards = of_tensors(linear, *tensors[::-1], weight=weight[::-1])

    assert forwards.compute() == backwards.compute()


@few_examples
@given(vectors(2), numbers, numbers)
def test_without_normalize_it_is_the_weighted_sum(tensors, left, right):
    """To the rounding of two products and a sum, none of which is larger than 64 or 128."""
    exact = np.float64(left) * tensors[0] + np.float64(right) * tensors[1]

    np.testing.assert_allclose(of_tensors(linear, *tensors, weight=(left, right), normalize=False).merged(), exact, rtol=0, atol=1.2e-5)


def test_one_model_of_weight_1_is_an_alias_and_anything_else_is_not():
    assert 0 == linear.alias({"weight": (1.0,), "normalize": True}, 1)
    assert linear.alias({"weight": (0.5,), "normalize": True}, 1) is None
    assert linear.alias({"weight": (1.0, 1.0), "normalize": True}, 2) is None


def test_weights_that_sum_to_zero_are_refused_where_their_sum_divides():
    expected = "the weights 1, -1 sum to 0, and `normalize` divides by their sum"

    assert expected == linear.check({"weight": (1.0, -1.0), "normalize": True}, 2)
    assert "" == linear.check({"weight": (1.0, -1.0), "normalize": False}, 2)

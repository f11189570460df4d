"""Task arithmetic: what each model learned, added to the base."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.methods.task_arithmetic import task_arithmetic
from tests.engine.jobs import Case
from tests.methods.values import numbers, of_deltas, shares, vectors

few_examples = settings(deadline=None, max_examples=40)


def test_by_hand_learning_by_addition():
    """Section 4: half of the sum of two task vectors, (2, 0) and (0, -4)."""
    merged = task_arithmetic([torch.tensor([2.0, 0.0]), torch.tensor([0.0, -4.0])], weight=(1.0, 1.0), normalize=False, scale=0.5)

    assert [1.0, -2.0] == merged.tolist()


def test_by_hand_forgetting_by_negation():
    """Section 3: base (1, 1), a model at (3, 1) that learned (2, 0): forgotten once gives (-1, 1)."""
    case = Case(task_arithmetic, (np.array([3, 1], np.float32),), {"weight": (-1.0,)}, np.array([1, 1], np.float32))

    assert [-1.0, 1.0] == case.merged().tolist()


def test_by_hand_with_normalize():
    """Weights 1 and 3: ((4) + 3 (8)) / 4 = 7, and half of that for lambda."""
    assert [3.5] == of_deltas(task_arithmetic, [4.0], [8.0], weight=(1.0, 3.0), normalize=True, scale=0.5).merged().tolist()


def test_weights_that_sum_to_nothing_divide_by_nothing():
    """1 and -1: 4 - 8 stays -4."""
    assert [-4.0] == of_deltas(task_arithmetic, [4.0], [8.0], weight=(1.0, -1.0), normalize=True).merged().tolist()


@few_examples
@given(vectors(2), shares)
def test_models_like_the_base_leave_the_base(tensors, weight):
    base, _ = tensors
    case = Case(task_arithmetic, (base, base), {"weight": (weight, weight)}, base)

    assert base.tolist() == case.merged().tolist()


@few_examples
@given(vectors(2))
def test_one_model_of_weight_1_is_the_base_and_its_difference(tensors):
    base, tune = tensors

    assert (base + (tune - base)).tolist() == Case(task_arithmetic, (tune,), {}, base).merged().tolist()


@few_examples
@given(vectors(2), st.tuples(numbers, numbers), st.integers(-20, 20))
def test_it_is_linear_in_lambda(tensors, weight, power):
    """To the bit for powers of two, on a base of zeros."""
    once = of_deltas(task_arithmetic, *tensors, weight=weight).merged()
    scaled = of_deltas(task_arithmetic, *tensors, weight=weight, scale=2.0**power).merged()

    assert (once * np.float32(2.0**power)).tolist() == scaled.tolist()


@few_examples
@given(vectors(2), numbers, numbers)
def test_lambdas_add_up(tensors, left, right):
    """To rounding: three products and sums of at most 16 * 16."""
    parts = [of_deltas(task_arithmetic, *tensors, scale=scale).merged() for scale in (left, right, left + right)]

    np.testing.assert_allclose(parts[0] + parts[1], parts[2], rtol=0, atol=1e-4)


@few_examples
@given(vectors(2), numbers, numbers)
def test_a_negative_weight_is_the_negative_task_vector(tensors, left, right):
    opposite = of_deltas(task_arithmetic, tensors[0], -tensors[1], weight=(left, right))

    assert opposite.merged().tolist() == of_deltas(task_arithmetic, *tensors, weight=(left, -right)).merged().tolist()

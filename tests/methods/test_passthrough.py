"""Passthrough: a tensor as it is, or scaled."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from modelbuild.methods.passthrough import passthrough
from tests.engine.jobs import DTYPES, loaded, stored
from tests.methods.values import of_tensors, vectors


def test_by_hand():
    """Half of 3, -1 and 0."""
    merged = passthrough([torch.tensor([3.0, -1.0, 0.0])], scale=(0.5,))

    assert [1.5, -0.5, 0.0] == merged.tolist()


def test_scale_1_is_an_alias_and_no_other_is():
    assert 0 == passthrough.alias({"scale": (1.0,)}, 1)
    assert passthrough.alias({"scale": (-1.0,)}, 1) is None
    assert passthrough.alias({"scale": (0.0,)}, 1) is None


@settings(deadline=None, max_examples=40)
@given(vectors(1), st.integers(-20, 20))
def test_a_power_of_two_and_its_inverse_give_the_input_back(tensors, power):
    there = of_tensors(passthrough, *tensors, scale=(2.0**power,)).merged()

    assert stored(tensors[0], "F32") == of_tensors(passthrough, there, scale=(2.0**-power,)).compute()[1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("to", DTYPES)
@settings(deadline=None, max_examples=20)
@given(tensors=vectors(1))
def test_scale_1_to_another_type_is_a_plain_rounding(dtype, to, tensors):
    """Which is what casts of outputs are made of."""
    case = replace(of_tensors(passthrough, *tensors), dtype=dtype, to=to)
    source = loaded(stored(tensors[0], dtype), dtype)

    assert stored(source, to) == case.compute()[1]

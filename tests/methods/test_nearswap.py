"""NearSwap: what is near is taken over."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.methods.nearswap import nearswap
from tests.methods.values import of_tensors, vectors

few_examples = settings(deadline=None, max_examples=60)


def test_by_hand():
    """t = 1: the other at a distance of 1, half of the way at 2."""
    assert [2.0, 2.0, 0.0] == of_tensors(nearswap, [1.0, 1.0, 1.0], [2.0, 3.0, -3.0], t=1.0).merged().tolist()


@few_examples
@given(vectors(2), st.floats(1e-3, 4.0))
def test_no_entry_moves_farther_than_t(tensors, t):
    """As far as the other where that is nearer, else as far as t."""
    x, y = tensors
    moved = of_tensors(nearswap, x, y, t=t).merged().astype(np.float64) - x

    np.testing.assert_allclose(moved, np.sign(y - x) * np.minimum(abs(y.astype(np.float64) - x), t), rtol=1e-5, atol=4e-6)


@few_examples
@given(vectors(2))
def test_beyond_all_distances_it_is_the_other(tensors):
    assert tensors[1].tolist() == of_tensors(nearswap, *tensors, t=100.0).merged().tolist()


@few_examples
@given(vectors(1), st.floats(1e-6, 1.0))
def test_identical_inputs_come_out_as_they_are(tensors, t):
    assert tensors[0].tolist() == of_tensors(nearswap, *tensors * 2, t=t).merged().tolist()


def test_no_distance_at_all_hands_the_base_on():
    assert [0, None] == [nearswap.alias({"t": t}, 2) for t in (0.0, 1e-9)]

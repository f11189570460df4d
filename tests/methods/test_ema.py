"""EMA: recent checkpoints count more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.methods.ema import coefficients, ema
from modelbuild.methods.linear import linear
from tests.methods.values import of_tensors, vectors


def test_by_hand():
    """Decay 3/4: 16, then 16 - 1/4 16 = 12, then 12 + 1/4 (32 - 12) = 17."""
    assert [17.0] == of_tensors(ema, [16.0], [0.0], [32.0], decay=0.75).merged().tolist()


def test_by_hand_without_bias():
    """Decay 1/2 from nothing: weights 1/8, 1/4 and 1/2, divided by 7/8."""
    assert pytest.approx([1 / 7, 2 / 7, 4 / 7]) == coefficients(3, 0.5, debias=True)


@settings(deadline=None, max_examples=60)
@given(vectors(4), st.floats(0, 1))
def test_it_is_the_recurrence(checkpoints, decay):
    average = checkpoints[0].astype(np.float64)
    for checkpoint in checkpoints[1:]:
        average = decay * average + (1 - decay) * checkpoint

    np.testing.assert_allclose(of_tensors(ema, *checkpoints, decay=decay).merged(), average, rtol=1e-5, atol=1e-5)


@given(st.integers(1, 12), st.floats(0, 1), st.booleans())
def test_the_weights_sum_to_1_and_never_fall_after_the_first(count, decay, debias):
    found = coefficients(count, decay, debias)

    assert pytest.approx(1.0) == sum(found)
    assert sorted(found[1:]) == found[1:]


def test_without_forgetting_and_bias_it_is_the_plain_average():
    checkpoints = [[1.0], [2.0], [6.0]]

    np.testing.assert_allclose(of_tensors(ema, *checkpoints, decay=1.0, debias=True).merged(), of_tensors(linear, *checkpoints).merged())


def test_the_ends_hand_a_checkpoint_on():
    """Decay 0 forgets all but the last, decay 1 keeps the first."""
    asked = [(0.0, False), (0.0, True), (1.0, False), (1.0, True), (0.5, False)]

    assert [2, 2, 0, None, None] == [ema.alias({"decay": decay, "debias": debias}, 3) for decay, debias in asked]
    assert 0 == ema.alias({"decay": 0.5, "debias": True}, 1)

"""Extrapolation: beyond a model, away from its base."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.methods.extrapolate import extrapolate
from tests.engine.jobs import Case
from tests.methods.values import vectors


def test_by_hand():
    """From 1 to 3, and half as far again: 4."""
    assert [4.0] == Case(extrapolate, (np.array([3.0], np.float32),), {"alpha": 0.5}, np.array([1.0], np.float32)).merged().tolist()


@settings(deadline=None, max_examples=60)
@given(vectors(2), st.floats(0, 2))
def test_it_is_the_formula_of_the_paper(tensors, alpha):
    """(1 + alpha) x1 - alpha x0."""
    x0, x1 = tensors
    expected = (1 + alpha) * x1.astype(np.float64) - alpha * x0

    np.testing.assert_allclose(Case(extrapolate, (x1,), {"alpha": alpha}, x0).merged(), expected, rtol=1e-6, atol=1e-5)


def test_no_distance_hands_the_model_on():
    assert [0, None] == [extrapolate.alias({"alpha": alpha}, 1) for alpha in (0.0, 0.1)]

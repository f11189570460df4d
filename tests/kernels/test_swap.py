"""Interpolation by nearness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

ANY = st.floats(width=32) | st.sampled_from([0.0, -0.0, 1e-6, -1e-6, 1.0])


def test_by_hand(on):
    """At the distance 0 and 1 the other is taken, at 4 a quarter of the way is gone; 2^-21 counts as 1e-6."""
    x, y = np.array([3, 3, 3, 0], np.float32), np.array([3, 4, 7, 2**-21], np.float32)
    out, close = np.empty(4, np.float32), np.empty(4, np.float32)
    on.near(x, y, 1.0, out)
    on.near(x, y, 2.5e-7, close)

    assert [3.0, 4.0, 4.0, 2.0**-21] == out.tolist()
    assert pytest.approx(2.0**-23, rel=1e-6) == close[3]


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 40).flatmap(lambda n: st.tuples(*[arrays(np.float32, n, elements=ANY)] * 2)), st.floats(0, 10))
def test_twins_agree(cpu, twin, pair, t):
    """Bit for bit, NaN and infinity included."""
    ours, theirs = np.empty_like(pair[0]), np.empty_like(pair[0])
    cpu.near(*pair, t, ours)
    twin.near(*pair, t, theirs)

    assert ours.tobytes() == theirs.tobytes()

"""Masks whose probabilities go by rank, and what a cut drops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from modelbuild.kernels.masks import limits
from modelbuild.kernels.select import Cut

ALL = 1 << 32
VALUES = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, 1e-40]) | st.floats(-100, 100, width=32)


def test_limits_rise_from_below_the_density_to_above_it():
    """By hand: a row of two has the ranks 0, 1, 2; of three words in four, one in four up and down."""
    assert [ALL // 2, 3 * ALL // 4, ALL] == limits(2, 0.75, 0.25).tolist()
    assert [3 * ALL // 4] == limits(1, 0.75, 0.25).tolist()
    assert limits(2, 0.75, 0.25).tolist() == limits(2, 0.75, 0.9).tolist()


def test_ranks_are_of_magnitudes_and_equals_rank_alike(cpu, twin):
    """Where only the rank 2 of -3 1 1 is not enough, the largest is dropped; 1 and 1 are both in the places 0 and 1."""
    x = np.array([-3, 1, 1, 1, 2, 4], np.float32)
    for on in (cpu, twin):
        assert [True, False, False, False, True, True] == on.ranked_mask(x, 3, 7, np.array([0, 0, ALL, ALL, ALL], np.uint64), 0).tolist()
        assert [True, True, True, False, True, True] == on.ranked_mask(x, 3, 7, np.array([0, ALL, ALL, ALL, ALL], np.uint64), 0).tolist()


def test_what_is_no_whole_rows_is_refused(cpu):
    with pytest.raises(ValueError, match="10 elements and 13 limits for rows of 7"):
        cpu.ranked_mask(np.ones(10, np.float32), 7, 1, limits(7, 0.5, 0.1), 0)
    with pytest.raises(ValueError, match="14 elements and 1 limits for rows of 7"):
        cpu.ranked_mask(np.ones(14, np.float32), 7, 1, limits(1, 0.5, 0.1), 0)


@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 40), st.data())
@settings(deadline=None)
def test_both_implementations_draw_the_same(cpu, twin, columns, rows, offset, data):
    x = data.draw(arrays(np.float32, rows * columns, elements=VALUES))
    table = limits(columns, data.draw(st.floats(0, 1)), data.draw(st.floats(0, 1)))

    assert np.array_equal(cpu.ranked_mask(x, columns, 11, table, offset), twin.ranked_mask(x, columns, 11, table, offset))


@pytest.mark.parametrize("columns", [1, 7, 1000, 70_001])
def test_rows_are_drawn_alike_however_many_come_together(cpu, twin, columns):
    """Across tiles, and from offsets that are no multiple of the sixteen of a counter."""
    x = np.round(np.random.default_rng(3).standard_normal(140_002 // columns * columns) * 8).astype(np.float32)
    table = limits(columns, 0.6, 0.3)
    whole = cpu.ranked_mask(x, columns, 5, table, 0)
    at = len(x) // columns // 2 * columns

    assert np.array_equal(whole, twin.ranked_mask(x, columns, 5, table, 0))
    assert np.array_equal(whole[at:], cpu.ranked_mask(x[at:], columns, 5, table, at))
    assert abs(whole.mean() - 0.6) < 0.01


@given(arrays(np.float32, 37, elements=VALUES), st.integers(0, 40), st.integers(-1, 40), st.integers(0, 36))
@settings(deadline=None)
def test_what_a_cut_keeps_and_what_it_drops_are_the_whole(cpu, twin, x, offset, last, place):
    cut = Cut(float(np.abs(x[place])), last)
    for on in (cpu, twin):
        kept, dropped = (on.floats(one(on.send(x, {}), cut, offset)) for one in (on.kernels.trimmed, on.kernels.dropped))

        assert (x + np.float32(0)).tolist() == (kept + dropped).tolist()
        assert not np.any((kept != 0) & (dropped != 0))

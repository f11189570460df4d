"""What stands at a place: sorting is the judge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.kernels.order import DIGIT, nth
from modelbuild.kernels.select import TOP


def told(patterns, places):
    """Say by sorting what `nth` is to find."""
    ordered = np.sort(patterns)
    return [(int(ordered[place]), int(np.sum(patterns < ordered[place])), int(np.sum(patterns == ordered[place]))) for place in places]


@given(st.data())
@settings(deadline=None)
def test_what_stands_at_a_place_is_that_of_sorting(data):
    """However many are the same, however far apart the least and the most are, and wherever places are."""
    least = data.draw(st.integers(0, TOP))
    most = data.draw(st.one_of(st.integers(least, TOP), st.integers(least, min(least + 40, TOP))))
    values = data.draw(st.lists(st.integers(least, most), min_size=1, max_size=6))
    patterns = np.array(data.draw(st.lists(st.sampled_from(values), min_size=1, max_size=200)), np.int32)
    places = data.draw(st.lists(st.integers(0, len(patterns) - 1), max_size=4))

    assert list(nth(patterns, least, most, *places)) == told(patterns, places)


@pytest.mark.parametrize("bits", [1, DIGIT, DIGIT + 1, 2 * DIGIT, 2 * DIGIT + 1, 31])
def test_every_place_of_many(bits):
    """With one, two and three digits, the last of them short or whole."""
    patterns = np.random.default_rng(bits).integers(0, 1 << bits, 1500, np.int32)
    places = range(len(patterns))
    before = patterns.copy()

    assert list(nth(patterns, 0, (1 << bits) - 1, *places)) == told(patterns, places)
    assert (patterns == before).all()


@pytest.mark.parametrize("place", [-1, 3])
def test_there_is_nothing_beyond_the_last(place):
    """A loop would run over the end of what it counts."""
    with pytest.raises(ValueError, match="of 3 patterns there are none at"):
        nth(np.arange(3, dtype=np.int32), 0, 2, 1, place)

"""What stands at a place: sorting is the judge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.kernels.select import TOP
from modelbuild.kernels.standing import WIDTH, nth


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

    assert list(nth(patterns, *places)) == told(patterns, places)


@pytest.mark.parametrize("bits", [1, WIDTH, WIDTH + 1, 2 * WIDTH, 2 * WIDTH + 1, 31])
@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("least", [0, 5])
def test_every_place_at_the_edges_of_digits(bits, beyond, least):
    """Of spans that fill one, two and three digits, and of those that are one too large for it."""
    most = min(least + (1 << bits) - 1 + beyond, TOP)
    between = np.random.default_rng(bits).integers(least, most, 1500, np.int32, endpoint=True)
    patterns = np.concatenate([between, np.repeat(np.array([least, least + 1, most, most - 1], np.int32), 3)])
    before = patterns.copy()

    assert list(nth(patterns, *range(len(patterns)))) == told(patterns, range(len(patterns)))
    assert (patterns == before).all()


@pytest.mark.parametrize("place", [-1, 3])
def test_there_is_nothing_beyond_the_last(place):
    """A loop would run over the end of what it counts."""
    with pytest.raises(ValueError, match=f"of 3 patterns there is none at {place}"):
        nth(np.arange(3, dtype=np.int32), 1, place)


def test_patterns_with_gaps_between_are_refused():
    """A loop would read what is in the gaps."""
    with pytest.raises(ValueError, match="not contiguous"):
        nth(np.arange(6, dtype=np.int32)[::2], 1)

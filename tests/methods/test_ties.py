"""TIES: trim, elect, merge."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.methods.ties import kept, ties
from tests.engine.jobs import Case
from tests.methods.values import few, numbers, of_deltas, shares, uniform, vectors

few_examples = settings(deadline=None, max_examples=60)
densities = st.floats(0.0, 1.0)


def largest(delta: np.ndarray, count: int) -> list[float]:
    """Keep the `count` largest magnitudes, of equal ones the lowest indices: written for reading."""
    order = sorted(range(len(delta)), key=lambda i: (-abs(delta[i]), i))[:count]
    return [float(value) if i in order else 0.0 for i, value in enumerate(delta)]


def test_entries_that_disagree_take_the_side_of_the_larger_sum():
    """By hand: +3 and +1 average to 2, -1 loses to +2, a dead heat goes to plus."""
    left, right = torch.tensor([3.0, -1.0, 0.5]), torch.tensor([1.0, 2.0, -0.5])

    merged = ties([left, right], density=(1.0, 1.0), weight=(1.0, 1.0), normalize=True, scale=1.0)

    assert [2.0, 2.0, 0.5] == merged.tolist()


def test_trim_elect_and_merge_by_hand():
    """Section 3, half of each kept: 4 0 2 0, 0 -3 0 4 and -6 0 3 0; the first entry elects minus, 2 and 3 average to 2.5."""
    deltas = torch.tensor([[4.0, -1.0, 2.0, 0.5], [-1.0, -3.0, 1.0, 4.0], [-6.0, 1.0, 3.0, -2.0]])

    merged = ties(list(deltas), density=(0.5, 0.5, 0.5), weight=(1.0, 1.0, 1.0), normalize=True, scale=1.0)

    assert [-6.0, -3.0, 2.5, 4.0] == merged.tolist()


def test_weights_count_in_the_election_and_in_the_average():
    """Weights 1 and 3: 2 loses to -3, so -1; then (3 + 3 * 1) / 4 = 1.5; lambda doubles both."""
    case = of_deltas(ties, [2.0, 3.0], [-1.0, 1.0], weight=(1.0, 3.0), scale=2.0)

    assert [-2.0, 3.0] == case.merged().tolist()


def test_without_normalize_those_who_agree_are_summed():
    """2 and 2 * 3 make 8; -5 wins against 2 * 1."""
    case = of_deltas(ties, [2.0, -5.0], [3.0, 1.0], weight=(1.0, 2.0), normalize=False)

    assert [8.0, -5.0] == case.merged().tolist()


def test_a_vote_may_count_by_its_size_or_by_its_sign():
    """5 outweighs -1 and -2, and is outvoted by them; a tie goes to plus."""
    deltas = [5.0, 1.0], [-1.0, -3.0], [-2.0, 0.0]

    assert [5.0, -3.0] == of_deltas(ties, *deltas).merged().tolist()
    assert [-1.5, 1.0] == of_deltas(ties, *deltas, elect="count").merged().tolist()


def test_what_trimming_took_away_may_be_restored():
    """Half of 3, -1, 1, 0 is 3 and -1; the sum of magnitudes stays 5 with a factor of 5 / 4."""
    merged = of_deltas(ties, [3.0, -1.0, 1.0, 0.0], density=(0.5,), rescale="l1").merged()

    assert [3.75, -1.25, 0.0, 0.0] == merged.tolist()


def test_negative_weights_vote_for_the_other_side():
    """Weights 1 and -1: of (1, 3) and (2, 2) the entries become 1 and -2, minus wins; then 3 and -2, plus wins."""
    deltas = [1.0, 3.0], [2.0, 2.0]

    assert [-2.0, 3.0] == of_deltas(ties, *deltas, weight=(1.0, -1.0), normalize=False).merged().tolist()


def test_negative_weights_divide_with_their_sign():
    """As in mergekit: -2 over a weight of -1 is 2 again, 3 over 1 stays."""
    deltas = [1.0, 3.0], [2.0, 2.0]

    assert [2.0, 3.0] == of_deltas(ties, *deltas, weight=(1.0, -1.0), normalize=True).merged().tolist()


def test_agreeing_weights_that_cancel_divide_by_one():
    """Weights 1 and -1 on 2 and -3: both vote plus, 2 + 3 = 5, and 1 - 1 divides nothing."""
    assert [5.0] == of_deltas(ties, [2.0], [-3.0], weight=(1.0, -1.0), normalize=True).merged().tolist()


@few_examples
@given(vectors(2))
def test_one_model_of_density_1_is_the_base_and_its_difference(tensors):
    base, tune = tensors

    assert (base + (tune - base)).tolist() == Case(ties, (tune,), {}, base).merged().tolist()


@few_examples
@given(vectors(1, elements=few | numbers, most=300), densities)
def test_trimming_keeps_exactly_so_many_and_the_lowest_indices_of_equals(tensors, density):
    count = max(1, int(density * len(tensors[0])))

    assert largest(tensors[0], count) == of_deltas(ties, tensors[0], density=(density,)).merged().tolist()


@pytest.mark.parametrize("density", [0.0, 1e-9, 1 / 70_000, 0.2, 0.5, 1 - 1e-9])
def test_trimming_keeps_exactly_so_many_of_a_tensor_of_two_chunks(density):
    """Numbers that differ and are not zero; one is kept where int(density n) is none."""
    delta = uniform(5, 70_000) + np.float32(4)

    assert max(1, int(density * 70_000)) == np.count_nonzero(of_deltas(ties, delta, density=(density,)).merged())


@pytest.mark.parametrize("count", [1, 65_535, 65_536, 65_537, 69_999])
def test_of_equal_magnitudes_the_first_are_kept_across_chunks(count):
    delta = np.where(uniform(5, 70_000) < 0, np.float32(-2), np.float32(2))

    merged = of_deltas(ties, delta, density=((count + 0.5) / 70_000,)).merged()

    assert [*delta[:count], *[0.0] * (70_000 - count)] == merged.tolist()


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_kept_is_never_none_and_never_more_than_all(count, density):
    assert 1 <= kept(count, density) <= count


@few_examples
@given(vectors(3, elements=few | numbers), st.tuples(densities, densities, densities), st.tuples(shares, shares, shares))
def test_an_average_lies_between_nothing_and_the_largest_on_its_side(tensors, density, weight):
    merged = of_deltas(ties, *tensors, density=density, weight=weight).merged()

    assert np.all(np.minimum(0, np.min(tensors, axis=0)) - 1e-5 <= merged)
    assert np.all(merged <= np.maximum(0, np.max(tensors, axis=0)) + 1e-5)


@few_examples
@given(vectors(2, elements=few | numbers), st.tuples(densities, densities), st.tuples(numbers, numbers))
def test_the_order_of_two_inputs_does_not_matter(tensors, density, weight):
    forwards = of_deltas(ties, *tensors, density=density, weight=weight)
    backwards = of_deltas(ties, *tensors[::-1], density=density[::-1], weight=weight[::-1])

    assert forwards.merged().tolist() == backwards.merged().tolist()


@few_examples
@given(vectors(2, elements=few | numbers), st.tuples(densities, densities), st.integers(-20, 20))
def test_it_is_linear_in_lambda(tensors, density, power):
    once = of_deltas(ties, *tensors, density=density).merged()
    scaled = of_deltas(ties, *tensors, density=density, scale=2.0**power).merged()

    assert (once * np.float32(2.0**power)).tolist() == scaled.tolist()

"""DARE: drop at random and rescale."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from modelbuild.methods.dare import dare_linear, dare_ties
from modelbuild.methods.task_arithmetic import task_arithmetic
from modelbuild.methods.ties import ties
from tests.engine.jobs import Case
from tests.methods.values import few, numbers, of_deltas, shares, uniform, vectors

few_examples = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**64 - 1)
both = pytest.mark.parametrize("method", [dare_linear, dare_ties], ids=lambda method: method.name)


def seeded(case: Case, seed: int) -> Case:
    """Draw other masks."""
    return replace(case, seed=seed)


def test_by_hand_what_is_kept_is_divided_by_the_density():
    """Section 3.2 with p = 3/4: of ones, each is dropped or becomes 1 / (1 - p) = 4."""
    merged = dare_linear(
        [torch.ones(1000)], density=(0.25,), weight=(1.0,), rescale="inverse_density", normalize=False, scale=1.0, streams=(7,)
    )

    assert {0.0, 4.0} == set(merged.tolist())


def test_by_hand_what_is_kept_makes_up_for_what_is_dropped():
    """The default: of 1000 ones k are kept and become 1000 / k, so that the sum of magnitudes stays 1000."""
    merged = dare_linear([torch.ones(1000)], density=(0.25,), weight=(1.0,), rescale="l1", normalize=False, scale=1.0, streams=(7,))
    each = np.float32(1000 / torch.count_nonzero(merged).item())

    assert {0.0, float(each)} == set(merged.tolist())


def test_by_hand_an_entry_that_one_model_dropped_is_decided_by_the_other():
    """1 against -2: where both are kept minus wins and -2 stands alone; where one is, it stands; else nothing."""
    ones, twos = torch.ones(1000), torch.full((1000,), -2.0)
    alone = {"weight": (1.0,), "density": (0.5,), "rescale": "none", "normalize": False, "scale": 1.0}

    merged = dare_ties([ones, twos], **{**alone, "weight": (1.0, 1.0), "density": (0.5, 0.5)}, streams=(7, 8))

    first, second = dare_linear([ones], **alone, streams=(7,)), dare_linear([twos], **alone, streams=(8,))
    assert torch.where(second < 0, second, first).tolist() == merged.tolist()
    assert {(0.0, 0.0), (1.0, 0.0), (0.0, -2.0), (1.0, -2.0)} == set(zip(first.tolist(), second.tolist(), strict=True))


@few_examples
@given(vectors(3, elements=few | numbers), st.tuples(numbers, numbers), numbers, st.booleans())
def test_density_1_is_what_comes_after(tensors, weight, scale, normalize):
    """Task arithmetic and TIES, to the bit, however the rest would be rescaled."""
    base, *tunes = tensors
    params = {"weight": weight, "scale": scale, "normalize": normalize}
    for dare, after in ((dare_linear, task_arithmetic), (dare_ties, ties)):
        plain = Case(after, tuple(tunes), params, base).merged().tolist()
        for rescale in ("l1", "inverse_density", "none"):
            assert plain == Case(dare, tuple(tunes), {**params, "rescale": rescale}, base).merged().tolist()


@both
@few_examples
@given(tensors=vectors(3))
def test_density_0_leaves_the_base(method, tensors):
    base, *tunes = tensors

    for rescale in ("l1", "inverse_density", "none"):
        assert base.tolist() == Case(method, tuple(tunes), {"density": (0.0, 0.0), "rescale": rescale}, base).merged().tolist()


@pytest.mark.parametrize("density", [0.01, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("seed", range(4))
def test_as_many_are_kept_as_the_density_says(density, seed):
    """Within 4 standard deviations of the binomial; 200,000 entries, none of which is zero, over four blocks."""
    n = 200_000
    kept = np.count_nonzero(seeded(of_deltas(dare_linear, uniform(seed, n) + np.float32(4), density=(density,)), seed).merged())

    assert pytest.approx(density * n, abs=4 * sqrt(n * density * (1 - density))) == kept


@pytest.mark.parametrize("apart", [1, 2, 3, 4, 1024])
def test_neighbours_are_kept_independently(apart):
    """Pairs of kept entries a word, a counter or a row apart: a quarter of all, within 4 standard deviations for n / 2 such pairs at least."""
    n = 200_000
    kept = of_deltas(dare_linear, uniform(3, n) + np.float32(4), density=(0.5,)).merged() != 0
    pairs = np.count_nonzero(kept[:-apart] & kept[apart:])

    assert pytest.approx((n - apart) / 4, abs=4 * sqrt(n / 2)) == pairs


@pytest.mark.parametrize("seed", range(3))
def test_masks_of_two_models_are_independent(seed):
    """Half of each, so both are kept in a quarter of the entries, within 4 standard deviations."""
    n = 200_000
    masks = [seeded(of_deltas(dare_linear, uniform(i, n) + np.float32(4), density=(0.5,)), seed).merged() != 0 for i in (1, 2)]

    assert pytest.approx(n / 4, abs=4 * sqrt(n * 3 / 16)) == np.count_nonzero(masks[0] & masks[1])


@few_examples
@given(vectors(1), seeds, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_what_a_density_keeps_a_larger_one_keeps_too(tensors, seed, one, other):
    fewer, more = (
        seeded(of_deltas(dare_linear, *tensors, density=(density,), rescale="none"), seed).merged() for density in sorted((one, other))
    )

    assert fewer.tolist() == np.where(fewer != 0, more, 0).tolist()


@both
@few_examples
@given(tensors=vectors(1, most=300), density=st.floats(0.05, 1.0), seed=seeds)
def test_the_sum_of_magnitudes_is_kept(method, tensors, density, seed):
    """To 1e-6 of it, for any delta of which anything is left."""
    merged = seeded(of_deltas(method, *tensors, density=(density,)), seed).merged()
    assume(np.any(merged))

    assert pytest.approx(np.abs(tensors[0], dtype=np.float64).sum(), rel=1e-6) == np.abs(merged, dtype=np.float64).sum()


@both
@pytest.mark.parametrize("density", [(0.1, 0.9), (0.5, 0.02), (1.0, 0.3)])
def test_the_sum_of_magnitudes_is_kept_for_each_model_by_itself(method, density):
    """Two deltas that share no entry, over five blocks: each half keeps its sum."""
    n = 150_000
    left, right = np.concatenate([uniform(1, n), np.zeros(n)]), np.concatenate([np.zeros(n), uniform(2, n)])

    merged = np.abs(of_deltas(method, left, right, density=density).merged(), dtype=np.float64)

    assert pytest.approx(np.abs(left, dtype=np.float64).sum(), rel=1e-6) == merged[:n].sum()
    assert pytest.approx(np.abs(right, dtype=np.float64).sum(), rel=1e-6) == merged[n:].sum()


@both
@pytest.mark.parametrize("density", [0.2, 0.7])
def test_dividing_by_the_density_keeps_the_expectation(method, density):
    """The mean of 400 draws of each of 50 entries is within 4 standard deviations of it."""
    delta, draws = uniform(11, 50), 400
    case = of_deltas(method, delta, density=(density,), rescale="inverse_density")
    mean = np.mean([seeded(case, seed).merged().astype(np.float64) for seed in range(draws)], axis=0)

    deviation = np.abs(delta) * sqrt((1 - density) / density / draws)
    assert np.all(np.abs(mean - delta) <= 4 * deviation)


@few_examples
@given(vectors(1), seeds, st.floats(0.05, 1.0), st.integers(-20, 20))
def test_without_rescaling_an_entry_is_as_it_was_or_nothing(tensors, seed, density, power):
    merged = seeded(of_deltas(dare_linear, *tensors, density=(density,), rescale="none", scale=2.0**power), seed).merged()

    assert all(value in (0.0, entry) for value, entry in zip(merged.tolist(), (tensors[0] * 2.0**power).tolist(), strict=True))


@both
@few_examples
@given(tensors=vectors(2), weight=st.tuples(shares, shares), seed=seeds)
def test_the_order_of_two_inputs_does_not_matter(method, tensors, weight, seed):
    """Masks go with their inputs."""
    forwards = seeded(of_deltas(method, *tensors, weight=weight, density=(0.5, 0.3)), seed)
    backwards = seeded(of_deltas(method, *tensors[::-1], weight=weight[::-1], density=(0.3, 0.5)), seed)

    assert forwards.merged().tolist() == backwards.merged().tolist()


def test_nothing_to_scale_is_left_as_it_is():
    """A delta whose magnitudes sum to less than 1e-7: kept entries come out as they went in."""
    delta = np.full(100, 1e-10, np.float32)

    assert {0.0, float(np.float32(1e-10))} == set(of_deltas(dare_linear, delta, density=(0.5,)).merged().tolist())


def test_true_and_false_say_l1_and_none_as_mergekit_does():
    rescale = dare_linear.param("rescale")

    assert ["l1", "none", "inverse_density"] == [rescale.read(value) for value in (True, False, "inverse_density")]

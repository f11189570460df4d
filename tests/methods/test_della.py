"""DELLA: large entries are kept more often than small ones."""

from __future__ import annotations

import numpy as np
import pytest

from modelbuild.methods.della import della, della_linear
from tests.methods.values import of_deltas, uniform

ROWS, COLUMNS = 400, 500


def kept(method=della_linear, delta=None, **params: tuple[float, ...]):
    """Tell which entries of 200,000 are left."""
    values = uniform(4, ROWS, COLUMNS) + np.float32(2) if delta is None else delta
    return of_deltas(method, values, rescale="none", **params).merged() != 0


def deviation(probability: float, count: int) -> float:
    """Return five standard deviations of a share."""
    return 5 * (probability * (1 - probability) / count) ** 0.5


@pytest.mark.parametrize(("density", "epsilon"), [(0.5, 0.15), (0.3, 0.3), (0.9, 0.1)])
def test_the_share_kept_rises_with_the_rank_from_below_the_density_to_above_it(density, epsilon):
    """Section 3: in each row, of the smallest tenth and the largest."""
    delta = uniform(4, ROWS, COLUMNS) + np.float32(2)
    ranks = delta.argsort(axis=1).argsort(axis=1)
    left = kept(density=(density,), epsilon=(epsilon,))

    assert density == pytest.approx(left.mean(), abs=deviation(density, ROWS * COLUMNS))
    for tenth in range(10):
        mine = left[ranks * 10 // COLUMNS == tenth]
        expected = density - epsilon + 2 * epsilon * (tenth + 0.5) / 10
        assert expected == pytest.approx(mine.mean(), abs=deviation(expected, len(mine))), tenth


def test_equal_magnitudes_are_kept_with_the_density():
    left = kept(density=(0.4,), delta=np.where(uniform(1, ROWS, COLUMNS) < 0, np.float32(-2), np.float32(2)))

    assert 0.4 == pytest.approx(left.mean(), abs=deviation(0.4, ROWS * COLUMNS))


def test_density_one_keeps_all_and_density_none_nothing():
    assert kept(density=(1.0,)).all()
    assert not kept(density=(0.0,)).any()


@pytest.mark.parametrize("shape", [(1,), (ROWS, 1)])
def test_a_row_of_one_is_kept_with_the_density(shape):
    """mergekit divides by 0 there."""
    delta = np.ones(shape, np.float32)

    assert kept(density=(1.0,), delta=delta).all()
    assert not kept(density=(0.0,), delta=delta).any()
    if len(shape) > 1:
        assert 0.5 == pytest.approx(kept(density=(0.5,), delta=delta).mean(), abs=deviation(0.5, ROWS))


@pytest.mark.parametrize("method", [della, della_linear])
def test_the_sum_of_magnitudes_stays(method):
    delta = uniform(4, ROWS, COLUMNS)
    merged = of_deltas(method, delta, density=(0.3,)).merged()

    assert np.abs(delta).sum(dtype=np.float64) == pytest.approx(np.abs(merged).sum(dtype=np.float64), rel=1e-6)


def test_those_who_agree_are_averaged_or_summed():
    """Everything kept: -1 loses to 2 + 1, which come to 1.5 or, linear, to 2 with the loser."""
    deltas = [2.0], [1.0], [-1.0]

    assert [1.5] == of_deltas(della, *deltas).merged().tolist()
    assert [2.0] == of_deltas(della_linear, *deltas).merged().tolist()

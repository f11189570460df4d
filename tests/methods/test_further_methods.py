"""Methods of one paper each that need few words: Arcee Fusion, consensus task arithmetic, PCB, and those of singular values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.methods.arcee_fusion import arcee_fusion
from modelbuild.methods.consensus_ta import consensus_ta
from modelbuild.methods.iso import iso_c, iso_cts
from modelbuild.methods.pcb import pcb
from modelbuild.methods.subspace_boosting import subspace_boosting
from modelbuild.methods.tsv_m import tsv_m
from tests.engine.jobs import Case
from tests.methods.values import of_deltas, uniform

SPECTRAL = (tsv_m, iso_c, iso_cts, subspace_boosting)
everyone = pytest.mark.parametrize("method", SPECTRAL, ids=lambda method: method.name)


def values(matrix: np.ndarray) -> np.ndarray:
    """Return the singular values."""
    return np.linalg.svd(matrix.astype(np.float64), compute_uv=False)


def low_rank(seed: int, rank: int) -> np.ndarray:
    """Return a matrix of 30 by 20."""
    return (uniform(seed, 30, rank) @ uniform(seed + 50, rank, 20)).astype(np.float32)


def test_fusion_takes_over_what_stands_out():
    """One entry of many is far away: it alone is taken."""
    base = uniform(1, 40, 30)
    other = base + np.float32(1e-4) * uniform(2, 40, 30)
    other[7, 3] += 2
    merged = Case(arcee_fusion, (base, other)).merged()

    assert other[7, 3] == merged[7, 3]
    taken = merged != base
    assert taken[7].any()
    assert not np.delete(taken, 7, axis=0).any() or taken.mean() < 0.3


def test_fusion_of_equal_models_is_the_model():
    base = uniform(1, 40, 30)

    assert base.tolist() == Case(arcee_fusion, (base, base)).merged().tolist()


def test_consensus_drops_what_one_task_alone_uses():
    """By hand with l = 0.4: 5 of the first task is used by it alone; 2 and 3 by both; 1 and -1 by both, and come to 0."""
    merged = of_deltas(consensus_ta, [5.0, 2.0, 1.0], [0.0, 3.0, -1.0]).merged()

    assert [0.0, 5.0, 0.0] == merged.tolist()
    assert [5.0, 5.0, 0.0] == of_deltas(consensus_ta, [5.0, 2.0, 1.0], [0.0, 3.0, -1.0], consensus_threshold=1).merged().tolist()


def test_consensus_of_none_is_task_arithmetic():
    a, b = uniform(1, 99), uniform(2, 99)

    assert np.allclose(0.5 * (a + b), of_deltas(consensus_ta, a, b, consensus_threshold=0, scale=0.5).merged(), atol=1e-7)


def test_competition_is_decided_entry_by_entry():
    """Of two tasks that disagree the larger entry has the score; where both agree the average lies between them."""
    left, right = uniform(1, 4000), uniform(2, 4000)
    left[0], right[0] = 0.9, -0.01
    left[1], right[1] = 0.8, 0.7
    merged = of_deltas(pcb, left, right, density=1.0).merged()

    assert 0.5 < merged[0] <= 0.9
    assert 0.7 <= merged[1] <= 0.8


def test_competition_keeps_few_entries():
    merged = of_deltas(pcb, uniform(1, 4000), uniform(2, 4000), density=0.1).merged()

    assert 0.05 < np.count_nonzero(np.abs(merged) > 1e-6) / 4000 < 0.25


def test_tsv_of_tasks_in_orthogonal_directions_is_their_sum():
    """Section 4: where singular vectors of tasks do not interfere, nothing has to change."""
    left, right = np.zeros((2, 30, 20), np.float32)
    left[:15, :10], right[15:, 10:] = uniform(1, 15, 10), uniform(2, 15, 10)

    assert np.allclose(left + right, of_deltas(tsv_m, left, right).merged(), atol=1e-5)


def test_tsv_of_one_task_is_the_task():
    delta = uniform(3, 30, 20)

    assert np.allclose(delta, of_deltas(tsv_m, delta).merged(), atol=1e-5)


def test_iso_c_makes_all_singular_values_their_mean():
    """Section 4, equation for Iso-C; directions stay those of the sum."""
    a, b = uniform(1, 30, 20), uniform(2, 30, 20)
    merged = of_deltas(iso_c, a, b).merged()
    u, s, vt = np.linalg.svd((a + b).astype(np.float64), full_matrices=False)

    assert np.allclose(s.mean() * u @ vt, merged, atol=1e-4)


def test_iso_cts_of_common_directions_alone_is_iso_c():
    a, b = uniform(1, 30, 20), uniform(2, 30, 20)

    assert np.allclose(of_deltas(iso_c, a, b).merged(), of_deltas(iso_cts, a, b, common_space_fraction=1.0).merged(), atol=1e-4)


@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.8])
def test_iso_cts_has_one_singular_value(fraction):
    found = values(of_deltas(iso_cts, uniform(1, 30, 20), uniform(2, 30, 20), common_space_fraction=fraction).merged())

    assert np.allclose(found[0], found, rtol=1e-3)


def test_boosting_raises_small_singular_values_and_leaves_large_ones():
    """Section 4: up to where half of the sum of singular values is reached nothing changes, beyond all are as that one."""
    a, b = uniform(1, 30, 20), uniform(2, 30, 20)
    s = values(a + b)
    reached = int(np.argmax(np.cumsum(s) >= 0.5 * s.sum()))

    assert np.allclose(np.maximum(s, s[reached]), values(of_deltas(subspace_boosting, a, b, beta=0.5).merged()), atol=1e-4)
    assert np.allclose(a + b, of_deltas(subspace_boosting, a, b, beta=1.0).merged(), atol=1e-4)


@everyone
def test_no_change_stays_no_change(method):
    assert not of_deltas(method, np.zeros((6, 4), np.float32), np.zeros((6, 4), np.float32)).merged().any()


@everyone
@pytest.mark.parametrize("shape", [(), (1,), (7,), (1, 1), (5, 1), (2, 3, 4)])
def test_every_shape_is_merged(method, shape):
    """What is no matrix is averaged, or summed."""
    a, b = uniform(1, *shape), uniform(2, *shape)
    merged = of_deltas(method, a, b).merged()

    assert shape == merged.shape
    assert np.isfinite(merged).all()
    if len(shape) != 2:
        assert np.allclose(a + b if method is subspace_boosting else (a + b) / 2, merged, atol=1e-6)


@everyone
@pytest.mark.parametrize("rank", [1, 3])
def test_changes_of_low_rank_are_merged(method, rank):
    assert np.isfinite(of_deltas(method, low_rank(1, rank), low_rank(2, rank)).merged()).all()


@everyone
@settings(deadline=None, max_examples=15)
@given(st.integers(-4, 4))
def test_lambda_multiplies_the_result(method, power):
    a, b = uniform(1, 9, 6), uniform(2, 9, 6)

    once, scaled = of_deltas(method, a, b).merged(), of_deltas(method, a, b, scale=2.0**power).merged()
    assert np.array_equal(once * np.float32(2.0**power), scaled)

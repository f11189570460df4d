"""What is measured of a merged tensor: equal to what is computed by hand, for every chunk size."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from modelbuild.cache.figures import Figures, pairs
from modelbuild.checkpoint.header import TensorInfo
from modelbuild.engine.measuring import Measured, _cover, measure, reading
from modelbuild.engine.workspace import Job, Workspace
from modelbuild.kernels import BLOCK
from modelbuild.methods import load
from modelbuild.plan import Action, Leaf
from tests.engine.jobs import CPU, no_check, region


def figures(base: np.ndarray, parents: list[np.ndarray], result: np.ndarray, dtype: str = "F32", chunk: int = BLOCK) -> Figures:
    """Measure a tensor that lies in memory."""
    leaves = [Leaf(f"m{i}", TensorInfo("w", dtype, base.shape, Path("w"), 0, 0)) for i in range(len(parents) + 1)]
    action = Action("out", "w", load("ties"), (), leaves[0], tuple(leaves[1:]), dtype, base.shape, 0)
    what = Measured(leaves[0], tuple(leaves[1:]), action)
    regions = tuple(region(values, dtype) for values in (base, *parents, result))
    job = Job(reading(what), regions, ("0" * 64,) * len(regions), (), lambda *_: None, no_check)
    return measure(what, job, Workspace(CPU, chunk))


def test_figures_by_hand():
    """A base (3, 4, 0, 0); parents that add (1, 0, 1, 0) and (1, 0, -1, 2); a merge that adds (1, 0, 0, 2)."""
    base = np.float32([3, 4, 0, 0])
    parents = [base + np.float32([1, 0, 1, 0]), base + np.float32([1, 0, -1, 2])]

    found = figures(base, parents, base + np.float32([1, 0, 0, 2]))

    assert (3, 1, 2, (2, 3), (1, 2)) == (found.touched, found.conflicts, found.changed, found.differs, found.kept)
    assert math.isclose(math.sqrt(5) / 5, found.moved or 0)
    assert (1 / 3, 2 / 3) == (found.conflict_share, found.changed_share)
    assert (1 / 2, 2 / 3) == (found.kept_share(0), found.kept_share(1))
    assert math.isclose(28 / (5 * math.sqrt(16 + 16 + 4)), found.cosine_to_base or 0)
    assert 0.0 == found.between_parents  # 1 - 1
    assert math.isclose(math.sqrt(6) / 5, found.parent_moved(1) or 0)


def test_where_a_parent_is_the_base_the_cosine_between_parents_is_that_of_weights():
    base = np.float32([3, 4])

    found = figures(base, [base, np.float32([4, 3])], np.float32([3.5, 3.5]))

    assert math.isclose(24 / 25, found.between_parents or 0)
    assert (None, None, 1.0) == (found.conflict_share, found.kept_share(0), found.kept_share(1))


@pytest.mark.parametrize(("dtype", "count"), [("BF16", 2), ("F16", 1), ("F32", 5)])
def test_figures_are_those_of_numpy_and_the_same_for_every_chunk(dtype: str, count: int):
    rng = np.random.default_rng(count)
    base = np.round(rng.normal(0, 8, 2 * BLOCK + 77)).astype(np.float32)
    parents = [base + np.round(rng.normal(0, 1, base.shape)).astype(np.float32) for _ in range(count)]
    result = np.round(sum(parents) / count).astype(np.float32)  # whole numbers: every type holds them, every sum is exact

    found = figures(base, parents, result, dtype)

    vectors = [base, *(parent - base for parent in parents), result - base]
    assert tuple(float(np.dot(vectors[i].astype("f8"), vectors[j].astype("f8"))) for i, j in pairs(count)) == found.products
    up, down = (np.any([sign * one > 0 for one in vectors[1:-1]], axis=0) for sign in (1, -1))
    assert (np.sum(up | down), np.sum(up & down)) == (found.touched, found.conflicts)
    assert [np.sum(one * vectors[-1] > 0) for one in vectors[1:-1]] == list(found.kept)
    assert found == figures(base, parents, result, dtype, 2 * BLOCK) == figures(base, parents, result, dtype, 1 << 20)


def test_sums_of_any_numbers_are_the_same_for_every_chunk():
    rng = np.random.default_rng(0)
    base, one, other, result = (rng.normal(0, 1, 5 * BLOCK + 1).astype(np.float32) for _ in range(4))

    found = {figures(base, [one, other], result, chunk=chunk * BLOCK) for chunk in (1, 2, 3, 8)}

    assert 1 == len(found)


@pytest.mark.parametrize("parents", range(1, 13))
def test_each_pair_is_summed_once(parents: int):
    taken = [pair for _, columns in _cover(parents) for _, pair in columns]

    assert sorted(pairs(parents)) == sorted(taken)


def test_nan_has_no_size_and_raises_no_warning():
    base = np.float32([1, np.inf, np.nan])

    found = figures(base, [base, base + 1], base)

    assert (None, None, None) == (found.moved, found.cosine_to_base, found.between(0, 1))
    assert (1, 0) == (found.touched, found.changed)

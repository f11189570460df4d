"""What all methods, or all of a kind, do at the edges of what they are given."""

from __future__ import annotations

import numpy as np
import pytest

from modelbuild.method import Method
from modelbuild.methods.breadcrumbs import breadcrumbs, breadcrumbs_ties
from modelbuild.methods.consensus_ta import consensus_ta
from modelbuild.methods.dare import dare_linear, dare_ties
from modelbuild.methods.della import della, della_linear
from modelbuild.methods.ema import ema
from modelbuild.methods.extrapolate import extrapolate
from modelbuild.methods.geometric_median import geometric_median
from modelbuild.methods.karcher import karcher
from modelbuild.methods.linear import linear
from modelbuild.methods.model_stock import model_stock
from modelbuild.methods.multislerp import multislerp
from modelbuild.methods.nearswap import nearswap
from modelbuild.methods.nuslerp import nuslerp
from modelbuild.methods.passthrough import passthrough
from modelbuild.methods.ram import ram, ramplus_tl
from modelbuild.methods.sce import sce
from modelbuild.methods.slerp import slerp
from modelbuild.methods.task_arithmetic import task_arithmetic
from modelbuild.methods.ties import ties
from tests.engine.jobs import Case
from tests.methods.values import WAYS, called, of_deltas, on_a_base, uniform

N = 70_001
"""Entries: over one block."""

SUMS = [(task_arithmetic, {}), (dare_linear, {}), (breadcrumbs, {"gamma": 0.0}), (della_linear, {"epsilon": 0.0})]
VOTES = [(ties, {}), (dare_ties, {}), (breadcrumbs_ties, {"gamma": 0.0}), (della, {"epsilon": 0.0})]
"""Methods that add up, or elect, what they keep of task vectors, with parameters for which density alone says how much that is."""

sparse = pytest.mark.parametrize(("method", "given"), [*SUMS[1:], *VOTES], ids=lambda x: getattr(x, "name", ""))


def of_inputs(count: int, **given: float) -> dict[str, tuple[float, ...]]:
    """Give all inputs the same."""
    return {name: (value,) * count for name, value in given.items()}


def tuned(count: int) -> tuple[np.ndarray, ...]:
    """A base and fine-tunes of it."""
    base = uniform(0, N)
    return base, *(base + uniform(i, N) / np.float32(16) for i in range(1, count + 1))


@pytest.mark.parametrize("way", [way for way in WAYS if way[0].space == "delta"], ids=called)
def test_fine_tunes_that_changed_nothing_leave_the_base(way):
    method, count, params = way
    base = uniform(0, N)

    assert np.array_equal(base, Case(method, (base,) * count, params, base).merged())


@pytest.mark.parametrize(
    ("method", "count", "params"),
    [
        (linear, 3, {"weight": (0.3, 0.9, 0.55)}),
        (slerp, 2, {"t": 0.3}),
        (nuslerp, 2, {"weight": (0.7, 0.4)}),
        (multislerp, 3, {}),
        (karcher, 3, {}),
        (geometric_median, 3, {}),
        (ema, 4, {"decay": 0.7}),
        (nearswap, 2, {"t": 0.02}),
        (task_arithmetic, 3, {"normalize": True}),
        (on_a_base(nuslerp), 2, {"weight": (0.7, 0.4)}),
        (ties, 3, {"normalize": True}),
        (dare_ties, 3, {"normalize": True}),
        (breadcrumbs_ties, 3, {"normalize": True, **of_inputs(3, gamma=0.0)}),
        (della, 3, {"normalize": True, **of_inputs(3, density=1.0)}),
        (sce, 3, {}),
        (ram, 3, {"epsilon": 0.0}),
        (model_stock, 3, {}),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_equal_inputs_merge_to_themselves(method: Method, count: int, params: dict[str, object]):
    """Within four steps of float32: averages of equals, however they are taken."""
    base, tune = tuned(1)
    merged = Case(method, (tune,) * count, params, base if method.space == "delta" else None).merged()

    assert np.abs(merged - tune).max() <= 4 * 2.0**-24


@pytest.mark.parametrize(
    ("method", "params"),
    [
        (linear, {"weight": (0.3,)}),
        (karcher, {}),
        (multislerp, {}),
        (geometric_median, {}),
        (passthrough, {}),
        (ema, {"decay": 0.7}),
        *((method, {**of_inputs(1, **given)}) for method, given in (*SUMS, *VOTES)),
        (extrapolate, {"alpha": 0.0}),
        (sce, {}),
        (ram, {"epsilon": 0.0}),
        (ramplus_tl, {"epsilon": 0.0, "r": 0.0}),
        (consensus_ta, {"consensus_threshold": 1}),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_one_input_alone_is_the_result(method: Method, params: dict[str, object]):
    base, tune = tuned(1)
    params |= {"density": (1.0,)} if any(param.name == "density" for param in method.params) else {}
    merged = Case(method, (tune,), params, base if method.space == "delta" else None).merged()

    assert np.abs(merged - tune).max() <= 2 * 2.0**-24


@sparse
@pytest.mark.parametrize("normalize", [True, False])
def test_density_1_keeps_everything(method: Method, given: dict[str, float], normalize: bool):
    """Bit for bit the sum, or the vote, of whole task vectors."""
    base, *tunes = tuned(3)
    whole = task_arithmetic if any(method is one for one, _ in SUMS) else ties
    shared = {"weight": (0.8, -0.3, 0.6), "scale": 0.7, "normalize": normalize}
    sparse = Case(method, tuple(tunes), shared | of_inputs(3, density=1.0, **given), base)

    assert Case(whole, tuple(tunes), shared, base).compute() == sparse.compute()


@sparse
def test_density_0_keeps_the_base(method: Method, given: dict[str, float]):
    """But for TIES, which keeps one entry of each, as mergekit does."""
    base, *tunes = tuned(2)
    merged = Case(method, tuple(tunes), of_inputs(2, density=0.0, **given), base).merged()

    moved = np.flatnonzero(merged != base).tolist()
    largest = sorted({int(np.abs(tune - base).argmax()) for tune in tunes})
    assert (largest if method is ties else []) == moved


@pytest.mark.parametrize(("method", "given"), [*SUMS, *VOTES], ids=lambda x: getattr(x, "name", ""))
def test_a_weight_of_0_leaves_an_input_out(method: Method, given: dict[str, float]):
    base, *tunes = tuned(2)
    half = {"density": 0.5} if method is not task_arithmetic else {}
    alone = Case(method, tuple(tunes[:1]), of_inputs(1, weight=0.7, **half, **given), base)

    assert alone.compute() == Case(method, tuple(tunes), of_inputs(2, **half, **given) | {"weight": (0.7, 0.0)}, base).compute()


@pytest.mark.parametrize(("method", "given"), [*SUMS, *VOTES], ids=lambda x: getattr(x, "name", ""))
def test_a_negative_weight_takes_away_what_a_positive_one_adds(method: Method, given: dict[str, float]):
    half = {"density": 0.5} if method is not task_arithmetic else {}
    added, taken = (
        of_deltas(method, uniform(1, N), **of_inputs(1, weight=weight, **half, **given), normalize=False).merged() for weight in (0.7, -0.7)
    )

    assert np.array_equal(added, -taken)


@pytest.mark.parametrize(
    ("method", "given", "kept"),
    [(ties, {}, range(5)), (breadcrumbs, {"gamma": 0.2}, range(2, 7)), (breadcrumbs_ties, {"gamma": 0.2}, range(2, 7))],
    ids=lambda x: getattr(x, "name", ""),
)
def test_of_equal_magnitudes_the_first_are_the_largest(method: Method, given: dict[str, float], kept: range):
    """Ten entries at density 0.5: five are kept whatever their signs; the breadcrumbs drop two before them."""
    merged = of_deltas(method, [0.25, -0.25] * 5, **of_inputs(1, density=0.5, **given)).merged()

    assert [*kept] == np.flatnonzero(merged).tolist()

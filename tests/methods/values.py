"""Tensors to merge: repeatable on every machine, and drawn by Hypothesis."""

from __future__ import annotations

from math import prod

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from msgspec.structs import replace

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
from modelbuild.methods.ram import ram, ramplus, ramplus_tl
from modelbuild.methods.sce import sce
from modelbuild.methods.slerp import slerp
from modelbuild.methods.task_arithmetic import task_arithmetic
from modelbuild.methods.ties import ties
from tests.engine.jobs import Case


def on_a_base(method: Method) -> Method:
    """A method that takes a base or none, as it is where a base is named."""
    return replace(method, space="delta", base="required")


WAYS = [
    (linear, 3, {"weight": (0.3, 0.9, 0.55)}),
    (linear, 3, {"weight": (1.7, -0.9, 0.3), "normalize": False}),
    (slerp, 2, {"t": 0.3}),
    (task_arithmetic, 3, {"weight": (0.7, -0.2, 1.1), "scale": 0.9}),
    (task_arithmetic, 2, {"weight": (0.3, 0.4), "normalize": True}),
    (ties, 3, {"density": (0.37, 0.5, 1.0), "weight": (0.8, 1.3, 0.6), "scale": 0.7}),
    (ties, 3, {"density": (0.2, 0.9, 0.01), "weight": (1.0, -0.5, 0.7), "normalize": False}),
    (ties, 7, {"density": (0.5,) * 7}),
    (ties, 3, {"density": (0.37, 0.5, 1.0), "weight": (0.8, 1.3, 0.6), "elect": "count"}),
    (ties, 7, {"density": (0.4,) * 7, "elect": "count", "normalize": False}),
    (ties, 3, {"density": (0.37, 0.5, 1.0), "weight": (0.8, 1.3, 0.6), "rescale": "l1"}),
    (dare_linear, 3, {"density": (0.37, 0.5, 1.0), "weight": (0.8, -0.3, 0.6), "scale": 0.7}),
    (dare_linear, 2, {"density": (0.1, 0.9), "rescale": "inverse_density", "normalize": True}),
    (dare_linear, 2, {"density": (0.0, 0.6), "rescale": "none"}),
    (dare_ties, 3, {"density": (0.37, 0.5, 1.0), "weight": (0.8, -0.3, 0.6), "scale": 0.7}),
    (dare_ties, 2, {"density": (0.1, 0.9), "rescale": "inverse_density", "normalize": True}),
    (passthrough, 1, {"scale": (0.7,)}),
    (nuslerp, 2, {"weight": (0.7, 0.4)}),
    (on_a_base(nuslerp), 2, {"weight": (0.7, -0.2)}),
    (nuslerp, 2, {"weight": (0.7, 0.4), "nuslerp_flatten": False}),
    (on_a_base(nuslerp), 2, {"weight": (0.7, 0.4), "nuslerp_flatten": False, "nuslerp_row_wise": True}),
    (multislerp, 3, {"weight": (0.7, -0.2, 1.1)}),
    (on_a_base(multislerp), 3, {"weight": (0.7, 0.4, 0.2), "normalize_weights": False}),
    (karcher, 3, {}),
    (karcher, 7, {"max_iter": 3}),
    (geometric_median, 3, {"weight": (0.7, 0.4, 1.0)}),
    (geometric_median, 7, {}),
    (ema, 4, {"decay": 0.7}),
    (ema, 3, {"decay": 0.9, "debias": True}),
    (extrapolate, 1, {"alpha": 0.3}),
    (nearswap, 2, {"t": 0.02}),
    (sce, 3, {}),
    (sce, 3, {"select_topk": 0.3, "scale_invariant": True}),
    (ram, 3, {"epsilon": 0.3}),
    (ramplus, 3, {"epsilon": 0.3}),
    (ramplus_tl, 3, {"epsilon": 0.9, "r": 0.7, "alpha": 2.0}),
    (consensus_ta, 3, {"weight": (0.7, 0.4, 1.0), "tall_mask_lambda": (0.4, 0.2, 0.6), "scale": 0.7}),
    (model_stock, 3, {}),
    (model_stock, 2, {"filter_wise": True}),
    (breadcrumbs, 3, {"density": (0.37, 0.5, 1.0), "gamma": (0.05, 0.01, 0.1), "weight": (0.8, -0.3, 0.6), "scale": 0.7}),
    (breadcrumbs, 2, {"density": (0.9, 0.3), "gamma": (0.2, 0.0), "rescale": "l1", "normalize": True}),
    (breadcrumbs_ties, 3, {"density": (0.37, 0.5, 0.8), "weight": (0.8, 1.3, 0.6)}),
    (breadcrumbs_ties, 2, {"density": (0.9, 0.3), "rescale": "l1", "normalize": True}),
    (della, 3, {"density": (0.37, 0.5, 1.0), "weight": (0.8, 1.3, 0.6), "scale": 0.7}),
    (della, 2, {"density": (0.1, 0.9), "epsilon": (0.05, 0.5), "rescale": "none", "normalize": False}),
    (della_linear, 3, {"density": (0.37, 0.5, 1.0), "epsilon": (0.1, 0.0, 0.1), "weight": (0.8, -0.3, 0.6)}),
]
"""Every method, in the ways that take different turns: (method, number of inputs, parameters by Python name)."""


def called(way: tuple) -> str:
    """Name a way in the id of a test."""
    method, count, params = way
    marks = [str(value) for name, value in params.items() if name in ("normalize", "rescale", "elect")]
    return "-".join([method.name, str(count), *marks])


def uniform(seed: int, *shape: int) -> np.ndarray:
    """Numbers in [-1, 1) with 24 bits each, the same whatever the version of numpy: bit generators never change."""
    words = np.random.PCG64(seed).random_raw(prod(shape))
    return (((words >> np.uint64(40)).astype(np.float64) - 2**23) / 2**23).astype(np.float32).reshape(shape)


def family(way: tuple, base: np.ndarray, seed: int = 1) -> Case:
    """Make a case of a way: fine-tunes of `base`, each a little off; in F32."""
    method, count, params = way
    tunes = tuple(base + uniform(seed + i, *base.shape) / np.float32(16) for i in range(count))
    return Case(method, tunes, params, base if method.space == "delta" else None)


def of_deltas(method: Method, *deltas: list[float] | np.ndarray, **params: object) -> Case:
    """Make a case of task vectors on a base of zeros, where nothing is rounded by taking or adding differences."""
    tensors = tuple(np.array(delta, np.float32) for delta in deltas)
    return Case(method, tensors, params, np.zeros_like(tensors[0]))


def of_tensors(method: Method, *tensors: list[float] | np.ndarray, **params: object) -> Case:
    """Make a case of a method in weight space."""
    return Case(method, tuple(np.array(tensor, np.float32) for tensor in tensors), params)


numbers = st.integers(-(2**23), 2**23).map(lambda i: i / 2**20)
"""float32 numbers up to 8 with all bits in use, far from the ends of the range."""

few = st.sampled_from([0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0])
"""Numbers that are often of equal magnitude."""

shares = st.floats(0.05, 4.0)
"""Positive weights."""


def vectors(count: int, elements: st.SearchStrategy[float] = numbers, most: int = 40) -> st.SearchStrategy[tuple[np.ndarray, ...]]:
    """Draw `count` vectors of one length."""
    return st.integers(1, most).flatmap(lambda n: st.tuples(*[arrays(np.float32, n, elements=elements) for _ in range(count)]))

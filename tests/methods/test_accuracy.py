"""How far results are from the formulas in float64, in units in the last place of what is written."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from tests.engine.jobs import Case, loaded
from tests.methods.references import REFERENCES
from tests.methods.values import WAYS, called, family, uniform

PRECISION = {"BF16": 8, "F16": 11, "F32": 24}
"""Bits of a significand."""
SMALLEST = {"BF16": -126, "F16": -14, "F32": -126}
"""The exponent of the smallest normal number: below it units no longer shrink."""
MOST = {"BF16": 0.501, "F16": 0.501, "F32": 4.0}
"""Units: what rounding once takes and a little more; in F32 the operations before it show as well."""

exact = [way for way in WAYS if way[0].numerics == "exact"]


def unit(magnitude: np.ndarray, dtype: str) -> np.ndarray:
    """Return the distance between neighbours of a type at these magnitudes."""
    _, exponent = np.frexp(magnitude)
    return np.exp2(np.maximum(exponent - 1, SMALLEST[dtype]) - PRECISION[dtype] + 1.0)


def wanted(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Return the result in float64, and the largest magnitude that went into each element."""
    inputs = [loaded(bytes(one.data), case.dtype).astype(np.float64).reshape(case.action.shape) for one in case.held]
    largest = np.max(np.abs(inputs), axis=0)
    base = inputs.pop(0) if case.base is not None else None
    reference = REFERENCES[case.method.name]
    if base is None:
        return reference(case, inputs, case.action.arguments), largest
    return base + reference(case, [one - base for one in inputs], case.action.arguments), largest


@pytest.mark.parametrize("way", exact, ids=called)
@pytest.mark.parametrize("dtype", PRECISION)
def test_results_are_the_formula_s_but_for_one_rounding(way, dtype):
    """Where random drops are made up for, what is left counts as it goes into the sum: larger by up to 1 / density."""
    case = replace(family(way, uniform(0, 211, 307)), dtype=dtype)
    expected, largest = wanted(case)
    actual = case.merged().astype(np.float64)
    at = np.maximum(largest, np.abs(np.nan_to_num(expected)))
    if case.method.random or case.action.arguments.get("rescale") == "l1":
        at = at / min(filter(None, case.action.arguments["density"]))
    error = np.abs(actual - expected) / unit(at, dtype)

    assert np.nanmax(error) <= MOST[dtype]
    assert np.isnan(error).mean() < 0.02, "hardly anything is left to compare"


def test_every_exact_method_has_a_reference():
    assert {method.name for method, _, _ in exact} <= REFERENCES.keys()

"""Loading: what is imported when, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from modelbuild import kernels


def imported_by(statement: str) -> set[str]:
    """Return which of the heavy packages a fresh interpreter has after a statement."""
    code = f"import sys; {statement}; print(*({{'numpy', 'numba', 'torch'}} & set(sys.modules)))"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("import modelbuild.kernels", set()),
        ("import modelbuild.kernels.select", {"numpy"}),
        ("import modelbuild.kernels as k; k.load('cpu')", {"numpy"}),
    ],
)
def test_nothing_is_imported_before_it_is_needed(statement, expected):
    """The contract is light, and a build on the CPU never pays for torch."""
    assert expected == imported_by(statement)


def test_the_twin_does_not_need_the_compiler():
    """A CUDA build does not import numba."""
    pytest.importorskip("torch")

    assert {"numpy", "torch"} == imported_by("import modelbuild.kernels as k; k.load('torch:cpu')")


def test_total_adds_left_to_right():
    """By hand: 1e16 + 1 rounds back to 1e16, twice; a compensated sum would see the 2."""
    assert kernels.total([1e16, 1.0, 1.0]) == 1e16
    assert kernels.total(np.array([1.0, 1.0, 1e16])) == 1e16 + 2
    assert kernels.total([]) == 0.0

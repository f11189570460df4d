"""Inner products: exact products, summed by fixed trees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.kernels import BLOCK, load
from modelbuild.kernels.inner import combined, gram, row_products
from tests.methods.values import uniform

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_products_of_all_pairs_are_those_of_one_pair(count):
    """Each entry is the sum that `products` gives for the two alone, whatever stands between them."""
    kernels = load("cpu")
    tensors = [uniform(i, 3 * BLOCK + 5) for i in range(count)]
    expected = [[kernels.total(kernels.products(x, y)[:, 1]) for y in tensors] for x in tensors]

    chunks = [[x[at : at + step] for x in tensors] for step in [2 * BLOCK] for at in range(0, len(tensors[0]), step)]
    assert expected == gram(kernels, [tensors])
    assert expected == gram(kernels, chunks)
    assert expected == gram(load("torch:cpu"), [[torch.from_numpy(x) for x in tensors]])


def test_products_of_combinations_follow_from_those_of_the_tensors():
    """(x - 2 y) (3 x) = 3 x x - 6 x y."""
    assert 3 * 4.0 - 6 * 0.5 == combined([[4.0, 0.5], [0.5, 9.0]], (1.0, -2.0), (3.0, 0.0))


def by_hand(terms: list[float]) -> float:
    """Sum float64 terms as the contract says."""
    while len(terms) > 1:
        half = len(terms) - len(terms) // 2
        terms = [terms[i] + (terms[half + i] if half + i < len(terms) else 0.0) for i in range(half)]
    return (terms or [0.0])[0]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 5), st.integers(0, 70), st.integers(0, 2**32))
def test_rows_sum_by_the_tree(rows, columns, seed):
    x, y = (uniform(seed + i, rows, columns) * np.exp2(np.round(uniform(seed + 9, rows, columns) * 20)) for i in range(2))
    x, y = x.astype(np.float32), y.astype(np.float32)
    expected = [by_hand(terms.tolist()) for terms in x.astype(np.float64) * y.astype(np.float64)]

    assert expected == row_products(torch.from_numpy(x), torch.from_numpy(y))

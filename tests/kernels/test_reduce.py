"""Sums in float64: a fixed tree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.kernels import BLOCK, LANES
from modelbuild.kernels.operands import Delta, Dropped, Masked, Trimmed
from tests.support.checkpoints import to_bfloat16
from tests.support.raw import Raw

STORED = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


def numbers(seed, length):
    """Draw numbers whose sum depends on the order it is taken in."""
    random = np.random.default_rng(seed)
    return (random.standard_normal(length) * 10.0 ** random.integers(-18, 18, length)).astype(np.float32)


def as_stored(values, stored):
    """Return numbers as bytes of a storage type."""
    encoded = to_bfloat16(values) if stored == "BF16" else values.astype(STORED[stored])
    return Raw(encoded.view(np.uint8), stored)


def by_hand(terms):
    """Sum one block of float64 terms as the contract says."""
    lanes = [0.0] * LANES
    for i, term in enumerate(terms.tolist()):
        lanes[i % LANES] += term
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = [lanes[i] + lanes[i + half] for i in range(half)]
    return lanes[0]


def test_the_contract_is_64_rows_of_1024_lanes():
    """Changing either changes the bytes of merges: raise the revision of every method that reduces."""
    assert (65536, 1024) == (BLOCK, LANES)


@pytest.mark.parametrize("length", [1, 1023, 1024, 1025, 5000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 777])
def test_blocks_sum_by_the_tree(on, length):
    """Against the tree written out, for whole blocks and short ones."""
    a, b = numbers(1, length), numbers(2, length)
    x, y = a.astype(np.float64), b.astype(np.float64)
    starts = range(0, length, BLOCK)

    assert [[by_hand(terms[start : start + BLOCK]) for terms in (x * x, x * y, y * y)] for start in starts] == on.products(a, b).tolist()
    c = numbers(4, length)
    z = c.astype(np.float64)
    terms_of_three = (x * x, x * y, x * z, y * y, y * z, z * z)
    assert [[by_hand(terms[start : start + BLOCK]) for terms in terms_of_three] for start in starts] == on.products(a, b, c).tolist()
    magnitudes, mask = np.abs(x), b > 0
    assert [
        [by_hand(terms[start : start + BLOCK]) for terms in (magnitudes, np.where(mask, magnitudes, 0.0))] for start in starts
    ] == on.abs_sums(a, mask).tolist()


@pytest.mark.parametrize("stored", [*STORED, "BF16"])
@pytest.mark.parametrize("formula", ["plain", "delta", "masked", "trimmed", "dropped"])
def test_magnitudes_of_formulas_sum_alike(cpu, twin, formula, stored):
    """A loop asks ahead for whatever a formula reads."""
    length, random = BLOCK + 5000, np.random.default_rng(7)
    x, base = (as_stored(random.standard_normal(length), stored) for _ in range(2))
    mask, threshold = random.random(length) < 0.3, np.int32(np.float32(0.7).view(np.int32))
    delta = Delta(x, base)
    operand = {
        "plain": x,
        "delta": delta,
        "masked": Masked(delta, random.random(length) < 0.5, np.float32(1.5)),
        "trimmed": Trimmed(delta, threshold, np.int32(0)),
        "dropped": Dropped(Trimmed(delta, threshold, np.int32(0)), np.int32(np.float32(2).view(np.int32)), np.int32(0)),
    }[formula]

    found = cpu.abs_sums(operand, mask)

    assert found[:, 0].all()
    assert found.tolist() == twin.abs_sums(operand, mask).tolist()


def test_padding_changes_nothing(on):
    """A short block filled up with zeros sums to the same bits; only negative zeros sum to +0.0."""
    x = numbers(3, 40_000)
    padded = np.concatenate([x, np.zeros(BLOCK - x.size, np.float32)])
    negative_zeros = np.full(5, -0.0, np.float32)

    assert on.products(padded, padded).tobytes() == on.products(x, x).tobytes()
    assert on.products(negative_zeros, np.ones(5, np.float32)).tobytes() == np.array([[0.0, 0.0, 5.0]]).tobytes()


def test_no_elements_have_no_blocks(on):
    """An empty tensor sums to nothing."""
    empty = np.empty(0, np.float32)

    assert on.products(empty, empty).shape == (0, 3)
    assert on.abs_sums(empty, np.empty(0, np.bool_)).shape == (0, 2)


@given(st.integers(0, 2**32), st.integers(1, 4 * BLOCK), st.integers(1, 3))
@settings(deadline=None, max_examples=20)
def test_chunks_do_not_change_a_sum(on, seed, length, blocks_per_chunk):
    """Any chunks that are multiples of a block give the bits of one chunk."""
    a, b = numbers(seed, length), numbers(seed + 1, length)
    step = blocks_per_chunk * BLOCK
    pieces = [on.products(a[start : start + step], b[start : start + step]) for start in range(0, length, step)]

    assert on.products(a, b).tobytes() == b"".join(piece.tobytes() for piece in pieces)
    assert on.total(on.products(a, b)[:, 1]) == on.total(np.concatenate(pieces)[:, 1])


@given(st.integers(0, 2**32), st.integers(1, 3 * BLOCK))
@settings(deadline=None, max_examples=20)
def test_twins_sum_alike(cpu, twin, seed, length):
    """Bit for bit."""
    a, b = numbers(seed, length), numbers(seed + 1, length)

    assert cpu.products(a, b).tobytes() == twin.products(a, b).tobytes()
    assert cpu.abs_sums(a, b > 0).tobytes() == twin.abs_sums(a, b > 0).tobytes()

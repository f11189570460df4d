"""The k largest magnitudes, exactly."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from modelbuild.kernels import BLOCK, select
from modelbuild.kernels.select import Cut, largest

FEW = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1e-45, -1e-45, 3e38, float("inf")])
ANY = st.one_of(FEW, st.floats(width=32, allow_nan=False))


def pieces(x, step):
    """Make the callable that hands a tensor out in chunks."""
    return lambda: ((start, x[start : start + step]) for start in range(0, x.size, step))


def kept(on, x, keep, step=BLOCK):
    """Return the cut and the tensor trimmed by it, chunk by chunk."""
    cut = largest(pieces(x, step), on, keep, x.size)
    out = np.full_like(x, 7.0)
    for start, chunk in pieces(x, step)():
        on.trim(chunk, cut, start, out[start : start + step])
    return cut, out


def oracle(x, keep):
    """Trim by a stable sort of the bit patterns."""
    order = np.argsort(-(x.view(np.int32) & 0x7FFFFFFF).astype(np.int64), kind="stable")
    out = np.zeros_like(x)
    out[order[:keep]] = x[order[:keep]]
    return out


def bits(x):
    """Return what is compared."""
    return x.view(np.uint32).tolist()


def test_equal_magnitudes_go_to_the_lowest_index(on):
    """By hand: of 3, three times 2 and 1, the four largest are 3 and the first three 2s; the three largest drop the last 2."""
    x = np.array([1.0, -2.0, 3.0, 2.0, -2.0], np.float32)

    assert (Cut(2.0, 4), [0.0, -2.0, 3.0, 2.0, -2.0]) == (kept(on, x, 4)[0], kept(on, x, 4)[1].tolist())
    assert (Cut(2.0, 3), [0.0, -2.0, 3.0, 2.0, 0.0]) == (kept(on, x, 3)[0], kept(on, x, 3)[1].tolist())
    assert (Cut(-1.0, -1), x.tolist()) == (kept(on, x, 5)[0], kept(on, x, 5)[1].tolist())


def test_a_cut_says_what_is_kept_of_the_equal(on):
    """By hand: -1 keeps none of them, an index keeps up to there, counted in the tensor and not in the chunk."""
    x, out = np.array([2.0, 2.0, -3.0, 2.0], np.float32), np.empty(4, np.float32)

    for last, expected in [(-1, [0, 0, -3, 0]), (99, [0, 0, -3, 0]), (100, [2, 0, -3, 0]), (102, [2, 2, -3, 0]), (500, [2, 2, -3, 2])]:
        on.trim(x, Cut(2.0, last), 100, out)
        assert expected == out.tolist()
    on.trim(x, Cut(2.0, 100), 100, x)
    assert [2, 0, -3, 0] == x.tolist()


def test_the_nearest_numbers_to_a_cut_are_told_apart(on):
    """By hand: the float just below is dropped on either side of the last index, the one just above is kept."""
    below, above = np.nextafter(np.float32(2), np.float32([1, 3]))
    x, out = np.array([below, 2.0, above] * 2, np.float32), np.empty(6, np.float32)
    on.trim(x, Cut(2.0, 2), 0, out)

    assert [0.0, 2.0, above, 0.0, 0.0, above] == out.tolist()


def test_zeros_can_be_selected(on):
    """By hand: more are kept than are not zero, so the first zeros are, sign and all."""
    x = np.array([0.0, -0.0, 5.0, 0.0], np.float32)
    cut, out = kept(on, x, 3)

    assert Cut(0.0, 1) == cut
    assert bits(np.array([0.0, -0.0, 5.0, 0.0], np.float32)) == bits(out)


@given(arrays(np.float32, st.integers(1, 80), elements=ANY), st.data())
@settings(deadline=None)
def test_selection_is_a_stable_sort(on, x, data):
    """Any floats, any share."""
    keep = data.draw(st.integers(1, x.size))

    assert bits(oracle(x, keep)) == bits(kept(on, x, keep, step=7)[1])


def tensors():
    """Name tensors that are easy or hard to bracket, larger than a sample."""
    random = np.random.default_rng(5)
    normal = random.standard_normal(300_001).astype(np.float32)
    return {
        "normal": normal,
        "quantised": (np.round(normal * 8) / 8).astype(np.float32),
        "growing": normal * np.linspace(0.01, 5, normal.size, dtype=np.float32),
        "shrinking": normal * np.linspace(5, 0.01, normal.size, dtype=np.float32),
        "first chunk constant": np.where(np.arange(normal.size) < BLOCK, np.float32(9), normal),
        "first chunk zero": np.where(np.arange(normal.size) < BLOCK, np.float32(0), normal),
        "all equal": np.full(200_000, -0.25, np.float32),
        "all zero": np.zeros(200_000, np.float32),
        "mostly zero": np.where(random.random(normal.size) < 0.01, normal, np.float32(0)),
        "any bits": random.integers(0, 0x7F800000, 200_003, dtype=np.uint32).view(np.float32),
    }


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.3, 0.5, 0.9, 0.999999])
@pytest.mark.parametrize("name", tensors())
def test_selection_is_exact_whatever_the_sample(on, name, share):
    """Where the first chunk misleads, where nearly all is equal, at both ends: the stable sort, and chunks do not matter."""
    x = tensors()[name]
    keep = max(1, int(share * x.size))
    cut, out = kept(on, x, keep)

    assert bits(oracle(x, keep)) == bits(out)
    assert cut == kept(on, x, keep, step=2 * BLOCK)[0]
    assert cut == kept(on, x, keep, step=x.size)[0]


@pytest.mark.parametrize("name", tensors())
def test_counting_finds_what_bracketing_finds(on, name):
    """The way out after two misses gives the same threshold, count and rank."""
    x = tensors()[name]
    for keep in (1, x.size // 5, x.size - 1):
        threshold = np.sort(np.abs(x))[x.size - keep]
        equal, above = int((np.abs(x) == threshold).sum()), int((np.abs(x) > threshold).sum())

        assert (select.pattern_of(float(threshold)), equal, keep - above) == select.counted(pieces(x, BLOCK), on, keep)


def test_two_misses_are_no_matter(on, monkeypatch):
    """With brackets that never hold the threshold, histograms decide."""
    x = tensors()["normal"]
    monkeypatch.setattr(select, "ends", lambda _sample, _share: (1, 2))

    assert bits(oracle(x, 1000)) == bits(kept(on, x, 1000)[1])


def test_a_bracket_that_holds_too_much_is_a_miss(on, monkeypatch):
    """Memory is bounded: what is between is not kept beyond a limit."""
    x = tensors()["normal"]
    monkeypatch.setattr(select, "COLLECT_MOST", 10)

    assert bits(oracle(x, 1000)) == bits(kept(on, x, 1000)[1])


def test_a_normal_tensor_is_read_once(cpu):
    """No second pass where the first chunk speaks for the rest and the threshold is not shared."""
    x, passes = np.random.default_rng(1).standard_normal(500_000), []
    x = np.unique(x.astype(np.float32))
    np.random.default_rng(2).shuffle(x)

    def chunks() -> Iterator:
        passes.append(1)
        return pieces(x, BLOCK)()

    largest(chunks, cpu, x.size // 5, x.size)

    assert len(passes) == 1


def test_nan_ranks_above_infinity(on):
    """A NaN is somebody else's error, but it is selected first, and nothing breaks, whatever its payload."""
    patterns = np.array([0x7F800000, 0x7FC00000, 0x3F800000, 0xFF800001, 0x7F812345], np.uint32)
    x = patterns.view(np.float32)

    assert bits(oracle(x, 4)) == bits(kept(on, x, 4)[1])
    assert largest(pieces(x, 3), on, 2, x.size).magnitude != largest(pieces(x, 3), on, 4, x.size).magnitude


def test_buffers_may_be_reused(cpu):
    """One buffer serves all chunks of a pass."""
    x, buffer = tensors()["quantised"], np.empty(BLOCK, np.float32)

    def chunks() -> Iterator:
        for start, chunk in pieces(x, BLOCK)():
            buffer[: chunk.size] = chunk
            yield start, buffer[: chunk.size]

    assert largest(pieces(x, BLOCK), cpu, 60_000, x.size) == largest(chunks, cpu, 60_000, x.size)


@given(arrays(np.float32, st.integers(1, 100), elements=ANY), st.data())
@settings(deadline=None)
def test_twins_count_alike(cpu, twin, x, data):
    """Every question selection asks of a chunk has one answer."""
    patterns = st.one_of(st.sampled_from((x.view(np.int32) & 0x7FFFFFFF).tolist()), st.integers(-1, 2**31 - 1))
    low, high = sorted((data.draw(patterns), data.draw(patterns)))
    ours, theirs = cpu.bracket(x, low, high), twin.bracket(x, low, high)

    assert ours[:3] == theirs[:3]
    assert ours.inside.tolist() == theirs.inside.tolist()
    assert cpu.magnitudes(x, 3).tolist() == twin.magnitudes(x, 3).tolist()
    assert cpu.count_equal(x, high) == twin.count_equal(x, high)
    for n in (0, 1, 5):
        assert cpu.nth_equal(x, high, n) == twin.nth_equal(x, high, n)
    counts = np.zeros((2, 1 << 15), np.int64), np.zeros((2, 1 << 16), np.int64)
    for i, implementation in enumerate((cpu, twin)):
        implementation.magnitude_histogram(x, counts[0][i])
        implementation.refine_histogram(x, high >> 16, counts[1][i])
    for both in counts:
        assert both[0].tolist() == both[1].tolist()


def test_brackets_hold_the_rank_and_are_narrow():
    """On its own sample a bracket always holds the rank asked for, within some per cent."""
    sample = np.random.default_rng(0).permutation(10_000).astype(np.int32)
    shares = [Fraction(k, 100) for k in range(1, 100)]
    found = [select.ends(sample, float(share)) for share in shares]

    for share, (low, high) in zip(shares, found, strict=True):
        assert low <= 10_000 - int(share * 10_000) <= high
    assert max(high - low for low, high in found) < 450
    assert all(first[0] >= second[0] for first, second in pairwise(found))

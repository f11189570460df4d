"""Sums, scales and the sign consensus."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from modelbuild.kernels.operands import Delta, Masked, Plus, Trimmed
from tests.support.raw import Raw

SUBNORMAL, HUGE = 1e-45, 3e38
NASTY = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.1, -0.1, SUBNORMAL, -SUBNORMAL, HUGE, -HUGE, float("inf"), -float("inf"), float("nan")]),
    st.floats(width=32),
)
WEIGHTS = st.one_of(st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.1, 1 / 3]), st.floats(-10, 10))


def single(*numbers: float):
    """Write a chunk."""
    return np.array(numbers, np.float32)


def same(expected, actual):
    """Compare bits, any NaN equal to any."""
    nan = np.isnan(expected)
    return np.array_equal(nan, np.isnan(actual)) and np.array_equal(expected[~nan].view(np.uint32), actual[~nan].view(np.uint32))


@st.composite
def inputs_and_weights(draw):
    """Draw up to 15 inputs of one length, which spans several vectors of a processor, and their weights."""
    count, length = draw(st.integers(1, 15)), draw(st.sampled_from([0, 1, 3, 16, 37]))
    inputs = [draw(arrays(np.float32, length, elements=NASTY)) for _ in range(count)]
    return inputs, draw(st.lists(WEIGHTS, min_size=count, max_size=count))


def random_inputs(seed, count, length):
    """Draw inputs that overlap in sign and are often zero, as trimmed deltas are."""
    random = np.random.default_rng(seed)
    return [np.where(random.random(length) < 0.5, random.standard_normal(length), 0).astype(np.float32) for _ in range(count)]


def summed(inputs, weights, divisor):
    """Add up as the contract says, one numpy operation per rounding."""
    result = np.float32(weights[0]) * inputs[0]
    for x, weight in zip(inputs[1:], weights[1:], strict=True):
        result = result + np.float32(weight) * x
    return result / np.float32(divisor) if divisor != 1 else result


def elected(deltas, weights, normalize, scale, count=False):
    """Reach the consensus of one element after another, as the contract says."""
    out = np.empty_like(deltas[0])
    singles = [np.float32(weight) for weight in weights]
    for i in range(out.size):
        products = [weight * delta[i] for weight, delta in zip(singles, deltas, strict=True)]
        votes = [(product > 0) * 1.0 - (product < 0) * 1.0 for product in products] if count else products
        total = votes[0]
        for vote in votes[1:]:
            total = total + vote
        agreeing = [product > 0 if total >= 0 else product < 0 for product in products]
        mixed = divisor = np.float32(0)
        for product, weight, agrees in zip(products, singles, agreeing, strict=True):
            if agrees:
                mixed, divisor = mixed + product, divisor + weight
        if normalize:
            mixed = mixed / (divisor if divisor != 0 else np.float32(1))
        out[i] = np.float32(scale) * mixed
    return out


def test_a_weighted_sum_rounds_every_step(on):
    """By hand: in float32 (0.1 * 3) + (1 * -0.3) leaves a residue that a fused multiply-add would not."""
    x, y, out = single(3.0), single(-0.3), single(0.0)
    on.weighted_sum((x, y), (0.1, 1.0), 1.0, 1.0, out)

    assert (np.float32(0.1) * np.float32(3) + np.float32(-0.3)).item() == out[0]


def test_entries_that_disagree_take_the_side_of_the_larger_sum(on):
    """By hand: +3 and +1 average to 2, -1 loses to +2, a dead heat goes to plus, zeros never count."""
    left, right, out = single(3.0, -1.0, 0.5, 0.0, 0.0), single(1.0, 2.0, -0.5, 4.0, -0.0), single(0, 0, 0, 0, 0)
    on.consensus((left, right), (1.0, 1.0), True, 1.0, out)

    assert [2.0, 2.0, 0.5, 4.0, 0.0] == out.tolist()


def test_the_residue_of_a_product_does_not_vote(on):
    """0.1 * 0.3 and -0.3 * 0.1 cancel when each is rounded; fused, what is left over would flip the sign."""
    a, b, out = single(0.3), single(-0.1), single(9.0)
    on.consensus((a, b), (0.1, 0.3), False, 1.0, out)

    assert out[0] == np.float32(0.1) * np.float32(0.3)


def test_a_negative_weight_votes_for_the_other_side(on):
    """By hand: -1 * 2 and 1 * -1 agree on minus; (-2 - 1) / (-1 + 1) divides by 1 instead; lambda 0.5 halves."""
    out = single(0.0)
    on.consensus((single(2.0), single(-1.0)), (-1.0, 1.0), True, 0.5, out)

    assert out[0] == -1.5


@given(inputs_and_weights(), st.sampled_from([1.0, 3.0, -0.7]))
@settings(deadline=None)
def test_weighted_sums_follow_the_formula(cpu, twin, case, divisor):
    """Any number of inputs, any floats: both implementations are the formula, bit for bit."""
    inputs, weights = case
    with np.errstate(all="ignore"):
        expected = summed(inputs, weights, divisor)
    for implementation in (cpu, twin):
        out = np.empty_like(inputs[0])
        implementation.weighted_sum(inputs, weights, divisor, 1.0, out)

        assert same(expected, out)


@given(inputs_and_weights(), st.booleans(), st.sampled_from([1.0, 0.3, -2.0]), st.booleans())
@settings(deadline=None)
def test_consensus_follows_the_formula(cpu, twin, case, normalize, scale, count):
    """Any number of inputs, any floats: both implementations are the formula, bit for bit."""
    deltas, weights = case
    with np.errstate(all="ignore"):
        expected = elected(deltas, weights, normalize, scale, count)
    for implementation in (cpu, twin):
        out = np.empty_like(deltas[0])
        implementation.consensus(deltas, weights, normalize, scale, out, count=count)

        assert same(expected, out)


@pytest.mark.parametrize("count", [1, 2, 3, 6, 7, 12, 13])
def test_long_chunks_combine_as_their_pieces_do(cpu, twin, count):
    """Across tiles, vectors and remainders, and however many inputs a pass takes."""
    deltas, weights = random_inputs(count, count, 40_001), [0.1 * k - 0.25 for k in range(count)]
    together, twins = np.empty_like(deltas[0]), np.empty_like(deltas[0])
    cpu.consensus(deltas, weights, True, 0.7, together)
    twin.consensus(deltas, weights, True, 0.7, twins)
    pieces = np.empty_like(together)
    for start in range(0, pieces.size, 999):
        cpu.consensus([delta[start : start + 999] for delta in deltas], weights, True, 0.7, pieces[start : start + 999])

    assert same(together, twins)
    assert same(together, pieces)
    with np.errstate(all="ignore"):
        expected = summed(deltas, weights, 1.3)
    cpu.weighted_sum(deltas, weights, 1.3, 1.0, together)
    assert same(expected, together)


@given(*[arrays(np.float32, 37, elements=NASTY)] * 3, arrays(np.bool_, 37), WEIGHTS, st.integers(0, 40))
@settings(deadline=None)
def test_formulas_are_numpys_step_by_step(cpu, twin, x, base, other, mask, factor, equals):
    """Reading a formula gives what its steps give as passes of their own: deltas, trimmed and masked, nested, base added."""
    single, pattern = np.float32(factor), x.view(np.int32) & 0x7FFFFFFF
    threshold = int(np.sort(pattern)[18])
    with np.errstate(all="ignore"):
        delta = x - base
        trimmed = np.where((pattern > threshold) | ((pattern == threshold) & (np.arange(37) < equals)), x, np.float32(0))
        cases = {
            Delta: (Delta(x, base), delta),
            Masked: (Masked(Delta(x, base), mask, single), np.where(mask, single * delta, np.float32(0))),
            Trimmed: (Trimmed(x, np.int32(threshold), np.uint32(equals)), trimmed),
        }
        added = {shape: other + values for shape, (_, values) in cases.items()}
    for implementation in (cpu, twin):
        for shape, (operand, values) in cases.items():
            out, place = np.empty_like(x), np.empty_like(x)
            implementation.copy(operand, out)
            implementation.weighted_sum([operand], (1.0,), 1.0, 1.0, Plus(place, other))

            assert same(values, out), shape
            assert same(added[shape], place), shape


@pytest.mark.parametrize("dtype", ["F64", "F16", "BF16"])
def test_stored_numbers_combine_as_their_values_do(on, dtype):
    """Also where the inputs are of several types: nothing is rounded before the end, and there once."""
    raws = [Raw(np.empty(1000 * {"F64": 8, "F16": 2, "BF16": 2}[dtype], np.uint8), dtype) for _ in range(3)]
    floats = [np.empty(1000, np.float32) for _ in raws]
    for values, raw, out in zip(random_inputs(3, 3, 1000), raws, floats, strict=True):
        on.copy(values, raw)
        on.copy(raw, out)
    expected, alike, mixed = (np.empty_like(raws[0].data) for _ in range(3))
    on.weighted_sum(floats, (0.3, 0.5, 0.1), 0.9, 1.1, Raw(expected, dtype))
    on.weighted_sum(raws, (0.3, 0.5, 0.1), 0.9, 1.1, Raw(alike, dtype))
    on.weighted_sum([raws[0], floats[1], raws[2]], (0.3, 0.5, 0.1), 0.9, 1.1, Raw(mixed, dtype))

    assert expected.tobytes() == alike.tobytes() == mixed.tobytes()


def test_arrays_of_different_lengths_are_refused(cpu):
    """A compiled loop would run over the end of the shorter one, wherever in a formula it stands."""
    x, short = np.ones(8, np.float32), np.ones(7, np.float32)
    for inputs, out in [((x, short), x.copy()), ((Delta(x, short),), x.copy()), ((x,), Plus(x.copy(), short)), ((x,), short.copy())]:
        with pytest.raises(ValueError, match="lengths"):
            cpu.weighted_sum(inputs, (1.0,) * len(inputs), 1.0, 1.0, out)
    with pytest.raises(ValueError, match="mask"):
        cpu.masked(x, np.ones(7, np.bool_), 1.0)


def test_threads_do_not_meet(cpu):
    """Eight threads at once, more inputs than one pass takes, give what one gives: no scratch is shared."""
    cases = [random_inputs(seed, 9, 50_000) for seed in range(16)]

    def combine(deltas) -> tuple[bytes, ...]:
        out = np.empty_like(deltas[0])
        cpu.consensus(deltas, [0.3] * 9, True, 1.1, out)
        dropped = cpu.floats(cpu.masked(out, cpu.mask(7, 0.5, 0, out.size), 2.0))
        return out.tobytes(), dropped.tobytes(), cpu.products(out, dropped).tobytes()

    alone = [combine(deltas) for deltas in cases]
    with ThreadPoolExecutor(8) as pool:
        assert alone == list(pool.map(combine, cases))

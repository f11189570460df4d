"""Storage types to float32 and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.raw import Raw

INTEGER = {"F64": np.uint64, "F32": np.uint32, "F16": np.uint16, "BF16": np.uint16}
SIZE = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
QUIET = {"F64": 0x7FF8 << 48, "F32": 0x7FC00000, "F16": 0x7E00, "BF16": 0x7FC0}
EVERY_16_BITS = np.arange(1 << 16, dtype=np.uint16)


def widened(on, stored, dtype):
    """Widen an array of patterns; return the floats and the count."""
    out, raw = np.empty(stored.size, np.float32), Raw(stored.view(np.uint8), dtype)
    on.copy(raw, out)
    return out, int(on.not_finite(raw)[0])


def narrowed(on, x, dtype):
    """Narrow floats; return the patterns and the count."""
    raw = np.empty(x.size * SIZE[dtype], np.uint8)
    on.copy(x, Raw(raw, dtype))
    return raw.view(INTEGER[dtype]), int(on.not_finite(Raw(raw, dtype))[0])


def floats(patterns):
    """Return the float32 of these bits."""
    return np.asarray(patterns, np.uint32).view(np.float32)


def same_but_for_nan(expected, actual):
    """Compare bits, any NaN equal to any."""
    nan = np.isnan(expected)
    return np.array_equal(nan, np.isnan(actual)) and np.array_equal(expected[~nan].view(np.uint32), actual[~nan].view(np.uint32))


def test_every_half_widens_as_numpy_says(on):
    """All 65536, subnormals and signed zeros included."""
    out, bad = widened(on, EVERY_16_BITS, "F16")

    assert same_but_for_nan(EVERY_16_BITS.view(np.float16).astype(np.float32), out)
    assert bad == 2 * 1024


def test_every_bf16_widens_to_its_own_bits(on):
    """A bfloat16 is the upper half of a float32."""
    out, bad = widened(on, EVERY_16_BITS, "BF16")

    assert same_but_for_nan(floats(EVERY_16_BITS.astype(np.uint32) << 16), out)
    assert bad == 2 * 128


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_every_16_bit_number_survives_the_round_trip(on, dtype):
    """Narrowing what was widened gives the bits back, and one NaN for all."""
    out, _ = widened(on, EVERY_16_BITS, dtype)
    back, bad = narrowed(on, out, dtype)

    nan = np.isnan(out)
    assert np.array_equal(EVERY_16_BITS[~nan], back[~nan])
    assert {QUIET[dtype]} == set(back[nan].tolist())
    assert bad == np.count_nonzero(~np.isfinite(out))


def neighbourhood(dtype):
    """Every finite number of a type, the midpoints to the next, and the floats on either side of both."""
    shift = {"F16": np.float16, "BF16": None}[dtype]
    values = floats(EVERY_16_BITS.astype(np.uint32) << 16) if shift is None else EVERY_16_BITS.view(np.float16).astype(np.float32)
    positive = np.unique(np.abs(values[np.isfinite(values)]))
    middle = ((positive[:-1].astype(np.float64) + positive[1:]) / 2).astype(np.float32)
    around = np.concatenate([positive, middle]).view(np.uint32)
    near = np.concatenate([around, around + 1, np.maximum(around, 1) - 1, np.uint32([0x7F7FFFFF, 0x7F800000])])
    return floats(np.concatenate([near, near | np.uint32(1 << 31)]))


def test_halves_round_to_nearest_even_around_every_midpoint(on):
    """Checked against numpy at every half, every midpoint and both their neighbours: overflow and subnormals included."""
    x = neighbourhood("F16")
    with np.errstate(over="ignore", under="ignore"):
        expected = x.astype(np.float16)

    back, bad = narrowed(on, x, "F16")

    assert np.array_equal(expected.view(np.uint16), back)
    assert bad == np.count_nonzero(~np.isfinite(expected))


def test_bf16_rounds_to_nearest_even_around_every_midpoint(on):
    """Checked against torch in the same places."""
    torch = pytest.importorskip("torch")
    x = neighbourhood("BF16")
    expected = torch.from_numpy(x).to(torch.bfloat16)

    back, bad = narrowed(on, x, "BF16")

    assert np.array_equal(expected.view(torch.int16).numpy().view(np.uint16), back)
    assert bad == int((~torch.isfinite(expected)).sum())


def test_doubles_round_to_nearest_even(on):
    """By hand: halfway goes to even, beyond the range is infinite, a tiny one becomes a subnormal or zero."""
    ulp = 2.0**-23
    doubles = np.array([1 + ulp / 2, 1 + 3 * ulp / 2, 1e39, -1e39, 2.0**-149, 2.0**-150, 2.0**-150 * 1.01, -0.0, np.inf, np.nan])

    out, bad = widened(on, doubles, "F64")

    assert same_but_for_nan(np.array([1, 1 + 2 * ulp, np.inf, -np.inf, 2.0**-149, 0, 2.0**-149, -0.0, np.inf, np.nan], np.float32), out)
    assert bad == 4


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16"])
def test_nan_is_counted_and_stored_as_one_pattern(on, dtype):
    """Sign and payload go: the digest of an output must not depend on where a NaN came from."""
    x = floats([0x7F800001, 0xFFC00001, 0x7FFFFFFF, 0xFF800000, 0x3F800000])

    back, bad = narrowed(on, x, dtype)

    assert [QUIET[dtype]] * 3 == back[:3].tolist()
    assert bad == 4


@given(st.lists(st.integers(0, 2**32 - 1), max_size=40), st.sampled_from(["F64", "F32", "F16", "BF16"]))
@settings(deadline=None)
def test_twins_convert_alike(cpu, twin, patterns, dtype):
    """Any float, to any type and back."""
    x = floats(patterns)
    raw, bad = narrowed(cpu, x, dtype)
    twin_raw, twin_bad = narrowed(twin, x, dtype)

    assert np.array_equal(raw, twin_raw)
    assert bad == twin_bad
    assert same_but_for_nan(widened(cpu, raw, dtype)[0], widened(twin, raw, dtype)[0])


@given(st.lists(st.floats(width=64), max_size=40))
@settings(deadline=None)
def test_twins_read_doubles_alike(cpu, twin, doubles):
    """Any double."""
    out, bad = widened(cpu, np.array(doubles, np.float64), "F64")
    twin_out, twin_bad = widened(twin, np.array(doubles, np.float64), "F64")

    assert same_but_for_nan(out, twin_out)
    assert bad == twin_bad

"""Storage types to float32 and back, number by number, and what may not be in a checkpoint.

Half precision goes by integer arithmetic (after F. Giesen's half_to_float_fast5 and float_to_half_fast3_rtne, public
domain): it vectorises everywhere and asks no processor for conversion instructions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelbuild.kernels.loops.compiled import INFINITY, MAGNITUDE, Scalar, bits, f32, i32, kernel, number, u16, u32

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    I64s = NDArray[np.int64]

QUIET_F16 = u32(0x7E00)
QUIET_BF16 = u32(0x7FC0)

HALF_INFINITY = u32(0x7C00)
HALF_SIGN = u32(0x8000)
BF16_INFINITY = u32(0x7F80)
REBIAS = u32((127 - 15) << 23)
SMALLEST_NORMAL_HALF = u32((127 - 14) << 23)
TWO_TO_16 = u32((127 + 16) << 23)
ONE_HALF = u32(126 << 23)
"""0.5: the unit in its last place is the smallest subnormal of half precision, 2^-24."""


@kernel
def is_nan(pattern: Scalar) -> Scalar:
    """Tell whether these are the bits of a NaN."""
    return i32(pattern & MAGNITUDE) > i32(INFINITY)


@kernel
def half_as_float(half: Scalar) -> Scalar:
    """Return the value of a half, subnormals included."""
    magnitude = u32(u32(half & u32(0x7FFF)) << u32(13))
    exponent = u32(magnitude & u32(0x0F800000))
    pattern = u32(magnitude + REBIAS)
    if exponent == u32(0x0F800000):
        pattern = u32(pattern + REBIAS)
    if exponent == u32(0):
        pattern = bits(number(u32(pattern + u32(1 << 23))) - number(SMALLEST_NORMAL_HALF))
    return number(u32(pattern | u32(u32(half & HALF_SIGN) << u32(16))))


@kernel
def float_as_half(pattern: Scalar) -> Scalar:
    """Return the half nearest to the float with this pattern, ties to even."""
    magnitude = u32(pattern & MAGNITUDE)
    odd = u32(u32(magnitude >> u32(13)) & u32(1))
    half = u32(u32(u32(magnitude - REBIAS) + u32(u32(0xFFF) + odd)) >> u32(13))
    if i32(magnitude) < i32(SMALLEST_NORMAL_HALF):  # the addition rounds at 2^-24
        half = u32(bits(number(magnitude) + number(ONE_HALF)) - ONE_HALF)
    if i32(magnitude) >= i32(TWO_TO_16):
        half = HALF_INFINITY
    half = u32(half | u32(u32(pattern >> u32(16)) & HALF_SIGN))
    return QUIET_F16 if i32(magnitude) > i32(INFINITY) else half


@kernel
def float_as_bf16(pattern: Scalar) -> Scalar:
    """Return the bfloat16 nearest to the float with this pattern, ties to even."""
    odd = u32(u32(pattern >> u32(16)) & u32(1))
    rounded = u32(u32(pattern + u32(u32(0x7FFF) + odd)) >> u32(16))
    return QUIET_BF16 if is_nan(pattern) else rounded


@kernel
def count_from(raw: NDArray[Any], infinity: Scalar) -> Scalar:
    """Count the 16-bit patterns that are infinity or NaN: as a rule none, which their largest tells in half the time."""
    top = u16(0)
    for i in range(raw.size):
        magnitude = u16(raw[i]) & u16(0x7FFF)
        top = u16(magnitude if magnitude > top else top)  # noqa: FURB136 - the comparison is what vectorises
    count = u32(0)
    if top >= infinity:
        for i in range(raw.size):
            count = u32(count + u32(u32(u32(raw[i]) & infinity) == infinity))
    return count


@kernel
def not_finite_bf16(raws: tuple[NDArray[Any], ...], found: I64s) -> None:
    """Count NaN and infinity, array by array."""
    for k in range(len(raws)):
        found[k] = count_from(raws[k], BF16_INFINITY)


@kernel
def not_finite_half(raws: tuple[NDArray[Any], ...], found: I64s) -> None:
    """Count NaN and infinity, array by array."""
    for k in range(len(raws)):
        found[k] = count_from(raws[k], HALF_INFINITY)


@kernel
def not_finite_float(raws: tuple[NDArray[Any], ...], found: I64s) -> None:
    """Count NaN and what is infinite as float32, array by array."""
    for k in range(len(raws)):
        raw, count = raws[k], u32(0)
        for i in range(raw.size):
            count = u32(count + u32(u32(bits(f32(raw[i])) & INFINITY) == INFINITY))
        found[k] = count

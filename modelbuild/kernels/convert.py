"""Storage types to float32 and back.

Half precision goes by integer arithmetic (after F. Giesen's half_to_float_fast5 and float_to_half_fast3_rtne, public
domain): it vectorises everywhere and asks no processor for conversion instructions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modelbuild.kernels.compiled import INFINITY, MAGNITUDE, Scalar, bits, f32, f64, kernel, number, u32

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    F32s = NDArray[np.float32]
    F64s = NDArray[np.float64]
    U32s = NDArray[np.uint32]
    U16s = NDArray[np.uint16]

QUIET_F64 = f64("nan")
QUIET_F32 = u32(0x7FC00000)
QUIET_F16 = u32(0x7E00)
QUIET_BF16 = u32(0x7FC0)

HALF_INFINITY = u32(0x7C00)
HALF_SIGN = u32(0x8000)
REBIAS = u32((127 - 15) << 23)
SMALLEST_NORMAL_HALF = u32((127 - 14) << 23)
TWO_TO_16 = u32((127 + 16) << 23)
ONE_HALF = u32(126 << 23)
"""0.5: the unit in its last place is the smallest subnormal of half precision, 2^-24."""


@kernel
def not_finite(pattern: Scalar) -> Scalar:
    """Return 1 for the pattern of a NaN or an infinity, else 0."""
    return u32(u32(pattern & INFINITY) == INFINITY)


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
    if magnitude < SMALLEST_NORMAL_HALF:  # the addition rounds at 2^-24
        half = u32(bits(number(magnitude) + number(ONE_HALF)) - ONE_HALF)
    if magnitude >= TWO_TO_16:
        half = HALF_INFINITY
    half = u32(half | u32(u32(pattern >> u32(16)) & HALF_SIGN))
    return QUIET_F16 if magnitude > INFINITY else half


@kernel
def float_as_bf16(pattern: Scalar) -> Scalar:
    """Return the bfloat16 nearest to the float with this pattern, ties to even."""
    odd = u32(u32(pattern >> u32(16)) & u32(1))
    rounded = u32(u32(pattern + u32(u32(0x7FFF) + odd)) >> u32(16))
    return QUIET_BF16 if u32(pattern & MAGNITUDE) > INFINITY else rounded


@kernel
def widen_f64(raw: F64s, out: F32s) -> Scalar:
    """Round doubles to float32."""
    bad = u32(0)
    for i in range(out.size):
        value = f32(raw[i])
        out[i] = value
        bad = u32(bad + not_finite(bits(value)))
    return bad


@kernel
def widen_f32(raw: U32s, out: F32s) -> Scalar:
    """Copy floats."""
    bad = u32(0)
    for i in range(out.size):
        out[i] = number(raw[i])
        bad = u32(bad + not_finite(raw[i]))
    return bad


@kernel
def widen_f16(raw: U16s, out: F32s) -> Scalar:
    """Widen halves."""
    bad = u32(0)
    for i in range(out.size):
        value = half_as_float(u32(raw[i]))
        out[i] = value
        bad = u32(bad + not_finite(bits(value)))
    return bad


@kernel
def widen_bf16(raw: U16s, out: F32s) -> Scalar:
    """Widen bfloat16."""
    bad = u32(0)
    for i in range(out.size):
        pattern = u32(u32(raw[i]) << u32(16))
        out[i] = number(pattern)
        bad = u32(bad + not_finite(pattern))
    return bad


@kernel
def narrow_f64(x: F32s, raw: F64s) -> Scalar:
    """Widen to doubles."""
    bad = u32(0)
    for i in range(x.size):
        value = x[i]
        raw[i] = QUIET_F64 if value != value else f64(value)  # noqa: PLR0124 - NaN
        bad = u32(bad + not_finite(bits(value)))
    return bad


@kernel
def narrow_f32(x: F32s, raw: U32s) -> Scalar:
    """Copy floats; make NaN canonical."""
    bad = u32(0)
    for i in range(x.size):
        pattern = bits(x[i])
        raw[i] = QUIET_F32 if u32(pattern & MAGNITUDE) > INFINITY else pattern
        bad = u32(bad + not_finite(pattern))
    return bad


@kernel
def narrow_f16(x: F32s, raw: U16s) -> Scalar:
    """Round to halves."""
    bad = u32(0)
    for i in range(x.size):
        half = float_as_half(bits(x[i]))
        raw[i] = half
        bad = u32(bad + u32(u32(half & HALF_INFINITY) == HALF_INFINITY))
    return bad


@kernel
def narrow_bf16(x: F32s, raw: U16s) -> Scalar:
    """Round to bfloat16."""
    bad = u32(0)
    for i in range(x.size):
        rounded = float_as_bf16(bits(x[i]))
        raw[i] = rounded
        bad = u32(bad + not_finite(u32(rounded << u32(16))))
    return bad


Conversions = dict[str, tuple[type[np.generic], "Callable[[NDArray[Any], NDArray[Any]], Scalar]"]]

WIDEN: Conversions = {
    "F64": (np.float64, widen_f64),
    "F32": (np.uint32, widen_f32),
    "F16": (np.uint16, widen_f16),
    "BF16": (np.uint16, widen_bf16),
}
"""Storage type to the type its bytes are read as and the kernel that reads them."""

NARROW: Conversions = {
    "F64": (np.float64, narrow_f64),
    "F32": (np.uint32, narrow_f32),
    "F16": (np.uint16, narrow_f16),
    "BF16": (np.uint16, narrow_bf16),
}
"""Storage type to the type its bytes are written as and the kernel that writes them."""

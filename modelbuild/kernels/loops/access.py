"""How compiled kernels read an element of an operand and write one: `load` and `store`.

Which storage type an array holds shows in its numpy type: float64 and float32 are themselves, uint16 is bfloat16, int16 is
half precision.  Both functions are inlined into the loop that calls them; what is left is that loop alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numba import types
from numba.extending import overload

from modelbuild.kernels.loops.compiled import MAGNITUDE, QUIET_F32, QUIET_F64, ZERO, Scalar, bits, f32, f64, i32, kernel, number, u32
from modelbuild.kernels.loops.convert import float_as_bf16, float_as_half, half_as_float, is_nan
from modelbuild.kernels.operands import Delta, Dropped, Masked, Plus, Trimmed

if TYPE_CHECKING:
    from collections.abc import Callable


@kernel
def pattern(x: Scalar) -> Scalar:
    """Return the bits of |x|."""
    return i32(u32(bits(x) & MAGNITUDE))


def load(operand: Any, i: int) -> Scalar:
    """Return element i as float32."""
    raise NotImplementedError


def store(out: Any, i: int, value: Scalar) -> None:
    """Write a float32 as element i, rounded to the storage type; every NaN becomes the quiet one."""
    raise NotImplementedError


def load_delta(operand: Any, i: int) -> Scalar:
    """Subtract."""
    return load(operand.x, i) - load(operand.base, i)


def load_masked(operand: Any, i: int) -> Scalar:
    """Multiply or drop."""
    scaled = operand.factor * load(operand.x, i)
    return scaled if operand.mask[i] else ZERO


def load_trimmed(operand: Any, i: int) -> Scalar:
    """Keep or drop."""
    value = load(operand.x, i)
    return value if pattern(value) > i32(operand.threshold - i32(i32(i) < operand.equals)) else ZERO


def load_dropped(operand: Any, i: int) -> Scalar:
    """Drop or keep."""
    value = load(operand.x, i)
    return ZERO if pattern(value) > i32(operand.threshold - i32(i32(i) < operand.equals)) else value


def load_bf16(operand: Any, i: int) -> Scalar:
    """Widen."""
    return number(u32(u32(operand[i]) << u32(16)))


def load_half(operand: Any, i: int) -> Scalar:
    """Widen."""
    return half_as_float(u32(operand[i]))


def load_float(operand: Any, i: int) -> Scalar:
    """Round doubles; floats are what they are."""
    return f32(operand[i])


def store_plus(out: Any, i: int, value: Scalar) -> None:
    """Add the base."""
    store(out.raw, i, load(out.base, i) + value)


def store_bf16(out: Any, i: int, value: Scalar) -> None:
    """Narrow."""
    out[i] = float_as_bf16(bits(value))


def store_half(out: Any, i: int, value: Scalar) -> None:
    """Narrow."""
    out[i] = float_as_half(bits(value))


def store_float(out: Any, i: int, value: Scalar) -> None:
    """Write as it is."""
    out[i] = number(QUIET_F32) if is_nan(bits(value)) else value


def store_double(out: Any, i: int, value: Scalar) -> None:
    """Widen."""
    out[i] = QUIET_F64 if is_nan(bits(value)) else f64(value)


@overload(load)
def how_to_load(operand: Any, i: int) -> Callable[[Any, int], Scalar]:  # noqa: ARG001 - numba asks with the types of both
    """Choose by the type of the operand."""
    if shape := getattr(operand, "instance_class", None):
        return {Delta: load_delta, Masked: load_masked, Trimmed: load_trimmed, Dropped: load_dropped}[shape]
    return {types.uint16: load_bf16, types.int16: load_half}.get(operand.dtype, load_float)


@overload(store)
def how_to_store(out: Any, i: int, value: Scalar) -> Callable[[Any, int, Scalar], None]:  # noqa: ARG001
    """Choose by the type of the place."""
    if getattr(out, "instance_class", None) is Plus:
        return store_plus
    return {types.uint16: store_bf16, types.int16: store_half, types.float32: store_float, types.float64: store_double}[out.dtype]

"""How compiled kernels ask for what they read next: `prefetch`.

Processors see by themselves what comes next where arrays are read from end to end.  Where a loop reads a little of many places,
each ends before that is seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload
from numba.np.numpy_support import as_dtype

from modelbuild.kernels.loops.compiled import Scalar, place_of, u64
from modelbuild.kernels.operands import Delta, Dropped, Masked, Trimmed

if TYPE_CHECKING:
    from collections.abc import Callable

LINE = 64
"""Bytes that come into a cache together."""

TO_READ, NEAREST_CACHE, DATA = 0, 3, 1
"""Of LLVM's prefetch: what for, where to, and that it is no code."""


def ask(_context: Any, array: Any, _i: Any) -> Any:
    """Make the function that asks for one line."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = builder.bitcast(place_of(context, builder, signature.args[0], *values), ir.IntType(8).as_pointer())
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, word, word, word])
        how = [ir.Constant(word, number) for number in (TO_READ, NEAREST_CACHE, DATA)]
        builder.call(builder.module.declare_intrinsic("llvm.prefetch", [place.type], kind), [place, *how])
        return context.get_dummy_value()

    return types.void(array, types.uint64), generate


fetch = cast("Callable[[Any, Scalar], None]", intrinsic(ask))
"""Ask for the line that an element of an array is in."""


def prefetch(operand: Any, i: int, count: int) -> None:
    """Ask for elements from i on, which need not exist."""
    raise NotImplementedError


def prefetch_delta(operand: Any, i: int, count: int) -> None:
    """Ask for both."""
    prefetch(operand.x, i, count)
    prefetch(operand.base, i, count)


def prefetch_masked(operand: Any, i: int, count: int) -> None:
    """Ask for both."""
    prefetch(operand.x, i, count)
    prefetch(operand.mask, i, count)


def prefetch_cut(operand: Any, i: int, count: int) -> None:
    """Ask for what is cut."""
    prefetch(operand.x, i, count)


@overload(prefetch)
def how_to_prefetch(operand: Any, i: int, count: int) -> Callable[[Any, int, int], None]:  # noqa: ARG001 - numba asks with the types of all
    """Choose by the type of the operand."""
    if shape := getattr(operand, "instance_class", None):
        return {Delta: prefetch_delta, Masked: prefetch_masked, Trimmed: prefetch_cut, Dropped: prefetch_cut}[shape]
    apart = LINE // as_dtype(operand.dtype).itemsize

    def prefetch_array(operand: Any, i: int, count: int) -> None:
        for k in range(0, count, apart):
            fetch(operand, u64(i) + u64(k))

    return prefetch_array

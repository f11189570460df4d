"""How a function becomes a kernel, and what numba lacks: casts, bits, groups of numbers compared.

Kernels are compiled without fast-math, so LLVM may neither fuse nor reorder what they say.  `machine` has them compiled, per
type, and calls them.

LLVM vectorises a loop over several arrays only where it may check that none overlaps the one written, and by default
gives up beyond eight; more inputs than that are common here.

Integer arithmetic in numba widens to 64 bits, which does not vectorise; `u32` and `i32` around each step keep it narrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from modelbuild.kernels import GROUP

if TYPE_CHECKING:
    from collections.abc import Callable

    F = TypeVar("F", bound=Callable[..., Any])

Scalar = Any
"""A number inside a kernel: numba's typing rules are not those numpy's stubs describe."""

binding.set_option("modelbuild", "--runtime-memory-check-threshold=64")

u8: Scalar = np.uint8
u16: Scalar = np.uint16
u32: Scalar = np.uint32
i32: Scalar = np.int32
u64: Scalar = np.uint64
i64: Scalar = np.int64
f32: Scalar = np.float32
f64: Scalar = np.float64

ZERO, ONE = f32(0), f32(1)
MAGNITUDE = u32(0x7FFFFFFF)
"""Everything but the sign."""
INFINITY = u32(0x7F800000)
"""The pattern of infinity; larger ones are NaN."""
QUIET_F32, QUIET_F64 = u32(0x7FC00000), f64("nan")
"""The one NaN that is ever stored."""


def kernel(function: F) -> F:
    """Let numba compile a function, for other loops that call it or for `compiled`; Python cannot call what comes of it.

    Kernels own nothing: they allocate no array and return none, and numba need not count references in their loops.  What one
    calls becomes part of it, however long: a loop with a call in it is not vectorised.
    """
    options: dict[str, Any] = {"error_model": "numpy", "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    options |= {"forceinline": True}
    return cast("F", numba.njit(**options)(function))


def compiled(function: Any, args: tuple[Any, ...]) -> tuple[str, bytes]:
    """Compile a kernel for the types of some arguments, and return its symbol and its object code."""
    signature = tuple(map(numba.typeof, args))
    function.compile(signature)
    result = function.overloads[signature]
    return result.fndesc.llvm_func_name, result.library._get_compiled_object()  # noqa: SLF001 - numba has no other way to it


def cast_to(source: Any, target: Any, target_in_llvm: Any) -> Callable[[Scalar], Scalar]:
    """Make the function that reads the bits of one type as another of the same size."""

    def typed(_context: Any, _value: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            return builder.bitcast(values[0], target_in_llvm)

        return target(source), generate

    return cast("Callable[[Scalar], Scalar]", intrinsic(typed))


bits = cast_to(types.float32, types.uint32, ir.IntType(32))
"""The 32 bits of a float32."""
number = cast_to(types.uint32, types.float32, ir.FloatType())
"""The float32 that 32 bits are."""


def place_of(context: Any, builder: Any, kind: Any, array: Any, i: Any) -> Any:
    """Return the address of an array's element, which need not exist."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [i])


def count_zeros(_context: Any, _value: Any) -> Any:
    """Make the function that finds a bit."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.and_(builder.cttz(values[0], ir.Constant(ir.IntType(1), 0)), ir.Constant(ir.IntType(32), 31))

    return types.uint32(types.uint32), generate


lowest = cast("Callable[[Scalar], Scalar]", intrinsic(count_zeros))
"""The number of the lowest bit of 32 that is set, 0 where none is."""


def count_ones(_context: Any, _value: Any) -> Any:
    """Make the function that counts bits."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.ctpop(values[0])

    return types.uint32(types.uint32), generate


how_many = cast("Callable[[Scalar], Scalar]", intrinsic(count_ones))
"""How many of 32 bits are set."""


def compare(_context: Any, array: Any, _start: Any, _low: Any, _high: Any) -> Any:
    """Make the function that compares a group of numbers and packs what it finds; no loop is turned into the instructions for that."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        numbers, start, low, high = values
        vector = ir.VectorType(ir.IntType(32), GROUP)
        first = place_of(context, builder, signature.args[0], numbers, start)
        group = builder.load(builder.bitcast(first, vector.as_pointer()))
        group.align = 4
        none, every = ir.Constant(vector, ir.Undefined), ir.Constant(vector, None)
        lows, highs = (
            builder.shuffle_vector(builder.insert_element(none, end, ir.Constant(ir.IntType(32), 0)), none, every) for end in (low, high)
        )
        found = builder.and_(builder.icmp_signed(">", group, lows), builder.icmp_signed("<", group, highs))
        return builder.bitcast(found, ir.IntType(GROUP))

    return types.uint32(array, types.uint64, types.int32, types.int32), generate


inside = cast("Callable[[Any, Scalar, Scalar, Scalar], Scalar]", intrinsic(compare))
"""Tell of each of GROUP int32 of an array, from an index on, whether it is strictly between two: a bit for each, the lowest first."""

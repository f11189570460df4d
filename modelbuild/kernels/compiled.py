"""How a function becomes a kernel, and the two casts numba lacks.

Kernels run without the GIL and without fast-math, so LLVM may neither fuse nor reorder what they say.  They compile on
first call, per type, and are cached on disk.  numba's cache looks at the file of the kernel only: after a change to a
function of this file, or to any kernel called from another file, delete the `__pycache__` directory.

Integer arithmetic in numba widens to 64 bits, which does not vectorise; `u32` and `i32` around each step keep it narrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

    F = TypeVar("F", bound=Callable[..., Any])

Scalar = Any
"""A number inside a kernel: numba's typing rules are not those numpy's stubs describe."""

u32: Scalar = np.uint32
i32: Scalar = np.int32
u64: Scalar = np.uint64
f32: Scalar = np.float32
f64: Scalar = np.float64

ZERO, ONE = f32(0), f32(1)
MAGNITUDE = u32(0x7FFFFFFF)
"""Everything but the sign."""
INFINITY = u32(0x7F800000)
"""The pattern of infinity; larger ones are NaN."""


def kernel(function: F) -> F:
    """Compile on first call, keep the result on disk where there is a place for it."""
    try:
        return cast("F", numba.njit(nogil=True, error_model="numpy", cache=True)(function))
    except RuntimeError:  # neither beside the source nor in the user's cache can be written
        return cast("F", numba.njit(nogil=True, error_model="numpy")(function))


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

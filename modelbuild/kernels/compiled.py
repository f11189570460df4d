"""How a function becomes a kernel, and the two casts numba lacks.

Kernels run without the GIL and without fast-math, so LLVM may neither fuse nor reorder what they say.  They compile on
first call, per type, and are cached on disk.  numba's cache looks at the file of the kernel only: after a change to a
function of this file, or to any kernel called from another file, delete the `__pycache__` directory.

Integer arithmetic in numba widens to 64 bits, which does not vectorise; `u32` and `i32` around each step keep it narrow.
"""

# mypy: disable-error-code="untyped-decorator, no-any-return"

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

    F = TypeVar("F", bound=Callable[..., Any])

u32, i32, u64, f32, f64 = np.uint32, np.int32, np.uint64, np.float32, np.float64

ZERO, ONE = f32(0), f32(1)
MAGNITUDE = u32(0x7FFFFFFF)
"""Everything but the sign."""
INFINITY = u32(0x7F800000)
"""The pattern of infinity; larger ones are NaN."""


def kernel(function: F) -> F:
    """Compile on first call, keep the result on disk where there is a place for it."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither beside the source nor in the user's cache can be written
        return numba.njit(**options)(function)


@intrinsic
def bits(_context: Any, number: Any) -> Any:
    """Return the 32 bits of a float32."""

    def cast(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.bitcast(values[0], ir.IntType(32))

    return types.uint32(types.float32), cast


@intrinsic
def number(_context: Any, pattern: Any) -> Any:
    """Return the float32 that 32 bits are."""

    def cast(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.bitcast(values[0], ir.FloatType())

    return types.float32(types.uint32), cast

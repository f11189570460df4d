"""Two tensors compared: how many elements differ, and by how much; chunk by chunk, in float64, without torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from modelbuild.aligned import aligned
from modelbuild.checkpoint.dtypes import SIZES
from modelbuild.checkpoint.header import TensorInfo
from modelbuild.engine.regions import FileRegion, Handles, digest_of

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[Any, np.dtype[Any]]

CHUNK = 1 << 16
"""Elements that are compared at a time: what is made of them stays in the caches of a core."""

BYTES_PER_ELEMENT = 72
"""Of memory, of one comparison: stored twice, in float64 twice, and what is made of them."""

_NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4",
          "U16": "<u2", "U8": "u1", "BOOL": "u1"}  # fmt: skip
_FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
_EIGHTHS = {"F8_E4M3": (4, 3, 7), "F8_E5M2": (5, 2, 15)}
"""Bits of the exponent, bits of the mantissa, bias."""


class Difference(Struct, frozen=True):
    """How two tensors of one shape differ, in float64; elements that are NaN or infinite in either are in the first three counts alone.

    Args:
        elements: how many differ; a NaN and a NaN do not, nor do 0 and -0.
        numel: of how many.
        nonfinite: how many are NaN or infinite in either.
        largest: the largest difference.
        relative_l2: the norm of the differences by that of the first tensor; infinite where that is 0.
        cosine: of the angle between the two; NaN where either is 0.
        ulps: the most representable numbers that two elements are apart; -1 where the types differ or hold no floats.
        flips: how many have another sign, 0 left out.

    """

    elements: int
    numel: int
    nonfinite: int
    largest: float
    relative_l2: float
    cosine: float
    ulps: int
    flips: int

    def __str__(self) -> str:
        return f"{self.elements} of {self.numel} elements, by at most {self.largest:.3g}"


def digest_in_file(info: TensorInfo) -> str:
    """Return the digest of a tensor in a file.

    Raises:
        ModelbuildError: exit 5 if the file ends before the tensor does.

    """
    handles = Handles()
    try:
        return digest_of(FileRegion(handles.fd(info.path), info.path, info.offset, info.nbytes), info.dtype, info.shape)
    finally:
        handles.close()


def difference(one: TensorInfo, other: TensorInfo, check: Callable[[], None] = lambda: None) -> Difference | None:
    """Compare two tensors value by value; None where their shapes differ.

    Args:
        one: where the first lies.
        other: where the second does; its type may be another.
        check: called at each chunk; whatever it raises ends the comparison.

    Raises:
        ModelbuildError: exit 5 if a file ends before its tensor does.

    """
    if one.shape != other.shape:
        return None
    import numpy as np

    found = _Sums(one.dtype, other.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        for left, right in zip(_chunks(one), _chunks(other), strict=True):
            check()
            found.add(left, right)
    return found.difference(one.numel)


class _Sums:
    """What is known of two tensors after some chunks."""

    def __init__(self, dtype: str, other: str) -> None:
        self.dtypes = dtype, other
        self.floats = dtype == other and dtype in _FLOATS
        self.squares = self.others = self.apart = self.product = self.largest = 0.0
        self.elements = self.nonfinite = self.ulps = self.flips = 0

    def add(self, left: Numbers, right: Numbers) -> None:
        """Take a chunk of each, as stored."""
        import numpy as np

        a, b = _values(left, self.dtypes[0]), _values(right, self.dtypes[1])
        squares, others = float(np.dot(a, a)), float(np.dot(b, b))
        if not math.isfinite(squares + others):
            finite = np.isfinite(a) & np.isfinite(b)
            odd = ~finite
            self.nonfinite += int(np.count_nonzero(odd))
            self.elements += int(np.count_nonzero((a[odd] != b[odd]) & ~(np.isnan(a[odd]) & np.isnan(b[odd]))))
            left, right, a, b = left[finite], right[finite], a[finite], b[finite]
            squares, others = float(np.dot(a, a)), float(np.dot(b, b))
        whole = self.dtypes[0] == self.dtypes[1] and not self.floats  # large integers may be one number in float64
        apart = a - b
        self.elements += int(np.count_nonzero(left != right if whole else apart))
        self.squares, self.others = self.squares + squares, self.others + others
        self.apart, self.product = self.apart + float(np.dot(apart, apart)), self.product + float(np.dot(a, b))
        self.largest = max(self.largest, float(apart.max(initial=0.0)), -float(apart.min(initial=0.0)))
        self.flips += int(np.count_nonzero((np.signbit(a) != np.signbit(b)) & (a != 0) & (b != 0)))
        if self.floats:
            self.ulps = max(self.ulps, _ulps(left, right, SIZES[self.dtypes[0]]))

    def difference(self, numel: int) -> Difference:
        """Return what it comes to."""
        norms = math.sqrt(self.squares) * math.sqrt(self.others)
        relative = math.sqrt(self.apart) / math.sqrt(self.squares) if self.squares else (math.inf if self.apart else 0.0)
        cosine = max(-1.0, min(1.0, self.product / norms)) if norms else math.nan
        ulps = self.ulps if self.floats else -1
        return Difference(self.elements, numel, self.nonfinite, self.largest, relative, cosine, ulps, self.flips)


def _chunks(info: TensorInfo) -> Iterator[Numbers]:
    """Yield the stored numbers of a tensor in order; each chunk is the caller's until the next."""
    import numpy as np

    size, handles = SIZES[info.dtype], Handles()
    try:
        region = FileRegion(handles.fd(info.path), info.path, info.offset, info.nbytes)
        buffer = aligned(min(CHUNK, info.numel) * size)
        for start in range(0, info.nbytes, CHUNK * size):
            view = buffer[: min(CHUNK * size, info.nbytes - start)]
            region.read_into(view, start)
            yield np.frombuffer(view, _NUMPY.get(info.dtype, f"<u{size}"))
    finally:
        handles.close()


def _values(stored: Numbers, dtype: str) -> Numbers:
    """Return stored numbers in float64."""
    import numpy as np

    if dtype == "BF16":
        return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)
    if dtype in _EIGHTHS:
        return np.array([_eighth(bits, dtype) for bits in range(256)])[stored]
    return stored.astype(np.float64)


def _eighth(bits: int, dtype: str) -> float:
    """Return the number that 8 bits are: E4M3 has no infinity, and one NaN of each sign."""
    wide, narrow, bias = _EIGHTHS[dtype]
    exponent, mantissa = (bits >> narrow) & ((1 << wide) - 1), bits & ((1 << narrow) - 1)
    sign = -1.0 if bits & 0x80 else 1.0
    if exponent == (1 << wide) - 1 and (dtype == "F8_E5M2" or mantissa == (1 << narrow) - 1):
        return math.nan if mantissa else sign * math.inf
    if not exponent:
        return sign * math.ldexp(mantissa, 1 - bias - narrow)
    return sign * math.ldexp((1 << narrow) + mantissa, exponent - bias - narrow)


def _ulps(left: Numbers, right: Numbers, size: int) -> int:
    """Return the most steps between finite floats of one type: numbers are counted through 0, which both zeros are."""
    import numpy as np

    kind = np.dtype(f"<u{size}")
    half = kind.type(1 << (8 * size - 1))

    def counted(stored: Numbers) -> Numbers:
        bits = stored.view(kind)
        magnitude = bits & ~half
        steps: Numbers = np.where(bits & half, half - magnitude, half + magnitude)
        return steps

    a, b = counted(left), counted(right)
    return int((np.maximum(a, b) - np.minimum(a, b)).max(initial=0))

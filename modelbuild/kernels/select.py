"""The k largest magnitudes of a tensor, exactly, ties to the lowest index, seen chunk by chunk.

A sample of the tensor brackets the threshold between two magnitudes; one pass counts what lies above, at and between
them and keeps the few between, among which the threshold is then found.  A bracket that misses is drawn again from a
sample of the whole tensor; if that misses too, histograms of the bits decide.  The result never depends on the sample.
"""

from __future__ import annotations

from math import ceil, floor, sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from modelbuild.kernels import Array, Kernels

    Chunks = Callable[[], Iterator[tuple[int, Array]]]
    Patterns = NDArray[np.int32]

SAMPLE_SHARE = 64
SAMPLE_LEAST, SAMPLE_MOST = 4096, 65536
"""Elements to bracket from: one in SAMPLE_SHARE, within these."""

DEVIATIONS = 4.0
"""Half the width of the bracket, in standard deviations of the sample's rank."""

COLLECT_MOST = 1 << 22
"""Patterns kept from between the bracket; a bracket that holds more has missed."""

TOP = 0x7FFFFFFF


class Cut(NamedTuple):
    """Where a selection ends: keep |x| > magnitude, and |x| == magnitude up to and including index `last`.

    A last of -1 keeps none of the equal ones; a magnitude of -1.0 keeps everything.
    """

    magnitude: float
    last: int


EVERYTHING = Cut(-1.0, -1)


class Between(NamedTuple):
    """What a chunk has around a bracket: counts above and at its ends, and the patterns strictly between."""

    above: int
    at_high: int
    at_low: int
    inside: Patterns


class Found(NamedTuple):
    """The pattern at the threshold, how many elements have it and how many of these are selected."""

    pattern: int
    equal: int
    wanted: int


def pattern_of(magnitude: float) -> int:
    """Return the bits of a magnitude as float32; -1, below all others, for a negative number."""
    return -1 if magnitude < 0 else int(np.float32(magnitude).view(np.int32))


def magnitude_of(pattern: int) -> float:
    """Return the number that has these bits."""
    return float(np.int32(pattern).view(np.float32))


def largest(chunks: Chunks, kernels: Kernels, keep: int, total: int) -> Cut:
    """Find the cut that keeps exactly the `keep` largest magnitudes, the lowest indices among equals.

    Args:
        chunks: returns a fresh iterator of (offset, array) over the tensor, in order; called once or a few times.
            Each array is read before the next is asked for, so one buffer may serve them all.
        kernels: those of the arrays.
        keep: how many, at least 1.
        total: elements of the tensor.

    """
    if keep >= total:
        return EVERYTHING
    found = bracketed(chunks, kernels, keep, total) or counted(chunks, kernels, keep)
    return Cut(magnitude_of(found.pattern), last_index(chunks, kernels, found, total))


def bracketed(chunks: Chunks, kernels: Kernels, keep: int, total: int) -> Found | None:
    """Find the threshold by at most two passes with a bracket; None if both missed."""
    size = min(max(total // SAMPLE_SHARE, SAMPLE_LEAST), SAMPLE_MOST)
    found, sample = sweep(chunks, kernels, keep, total, size, None)
    if found is None:
        found, _ = sweep(chunks, kernels, keep, total, size, sample)
    return found


def sweep(chunks: Chunks, kernels: Kernels, keep: int, total: int, size: int, sample: Patterns | None) -> tuple[Found | None, Patterns]:
    """Pass over the tensor once with the bracket of `sample`, or of the first chunk.

    Returns:
        The threshold, None if it is not in the bracket, and a sample of all that was seen.

    """
    low, high = (0, 0) if sample is None else ends(sample, keep / total)
    above = at_high = at_low = kept = 0
    inside: list[Patterns] = []
    seen: list[Patterns] = []
    for _, x in chunks():
        if sample is None:
            sample = kernels.magnitudes(x, stride(len(x), size))
            low, high = ends(sample, keep / total)
        seen.append(kernels.magnitudes(x, stride(total, size)))
        if kept > COLLECT_MOST:
            continue
        between = kernels.bracket(x, low, high)
        above += between.above
        at_high += between.at_high
        at_low += between.at_low
        inside.append(between.inside)
        kept += len(between.inside)
    everything_seen = np.concatenate(seen)
    if kept > COLLECT_MOST:
        return None, everything_seen
    counts = Between(above, at_high, at_low if low < high else 0, np.concatenate(inside))
    return locate(counts, low, high, keep), everything_seen


def stride(count: int, size: int) -> int:
    """Return a step that takes about `size` of `count`; odd, so that it does not keep to some columns of a matrix."""
    return max(1, count // size) | 1


def ends(sample: Patterns, share: float) -> tuple[int, int]:
    """Bracket the pattern above which `share` of the tensor lies; -1 and TOP are the open ends."""
    ordered = np.sort(sample)[::-1]
    rank = share * len(ordered)
    margin = DEVIATIONS * sqrt(rank * (1 - share)) + 2
    upper, lower = floor(rank - margin), ceil(rank + margin)
    high = int(ordered[upper]) if upper >= 0 else TOP
    low = int(ordered[lower]) if lower < len(ordered) else -1
    return low, high


def locate(seen: Between, low: int, high: int, keep: int) -> Found | None:
    """Find the keep-th largest pattern in a bracket; None if it is outside."""
    wanted = keep - seen.above
    if wanted <= 0:
        return None
    if wanted <= seen.at_high:
        return Found(high, seen.at_high, wanted)
    wanted -= seen.at_high
    if wanted <= len(seen.inside):
        place = len(seen.inside) - wanted
        pattern = int(np.partition(seen.inside, place)[place])
        return Found(pattern, int(np.count_nonzero(seen.inside == pattern)), wanted - int(np.count_nonzero(seen.inside > pattern)))
    wanted -= len(seen.inside)
    return Found(low, seen.at_low, wanted) if wanted <= seen.at_low else None


def counted(chunks: Chunks, kernels: Kernels, keep: int) -> Found:
    """Find the threshold by two passes that count, first high halves of the bits, then low halves under one of them."""
    highs, lows = np.zeros(1 << 15, np.int64), np.zeros(1 << 16, np.int64)
    for _, x in chunks():
        kernels.magnitude_histogram(x, highs)
    high, wanted = bin_of(highs, keep)
    for _, x in chunks():
        kernels.refine_histogram(x, high, lows)
    low, wanted = bin_of(lows, wanted)
    return Found(high << 16 | low, int(lows[low]), wanted)


def bin_of(counts: NDArray[np.int64], wanted: int) -> tuple[int, int]:
    """Return the bin with the wanted-th element from the top, and which of that bin's it is, from 1."""
    from_top = np.cumsum(counts[::-1])
    place = int(np.searchsorted(from_top, wanted))
    return len(counts) - 1 - place, wanted - int(from_top[place] - counts[::-1][place])


def last_index(chunks: Chunks, kernels: Kernels, found: Found, total: int) -> int:
    """Return the index of the last selected among equals; where all are selected, the last of the tensor."""
    if found.wanted == found.equal:
        return total - 1
    wanted = found.wanted
    for offset, x in chunks():
        count = kernels.count_equal(x, found.pattern)
        if wanted <= count:
            return offset + kernels.nth_equal(x, found.pattern, wanted - 1)
        wanted -= count
    raise ValueError("the chunks of a tensor differ between two passes over it")

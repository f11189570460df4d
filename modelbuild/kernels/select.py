"""The k largest magnitudes of a tensor, exactly, ties to the lowest index, seen chunk by chunk.

A sample from all over the tensor brackets the threshold between two magnitudes; one pass counts, for every input at once,
what lies above, at and between them and keeps the few between, among which the threshold is then found.  Where a bracket
missed, histograms of the bits decide.  The result never depends on the sample.
"""

from __future__ import annotations

from itertools import chain
from math import ceil, dist, floor, inf, sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from modelbuild.kernels.operands import length
from modelbuild.kernels.standing import nth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from modelbuild.kernels import Stream

    Patterns = NDArray[np.int32]

RUNS = 16
"""A sample is taken in so many runs of elements, spread evenly."""
SAMPLE_SHARE = 64
SAMPLE_LEAST, SAMPLE_MOST = 4096, 65536
"""Elements to bracket from: one in SAMPLE_SHARE, within these, as far as they do.  Tensors of no more than the most are collected whole."""

DEVIATIONS = 4.0
"""Half the width of the bracket, in standard deviations of the sample's rank."""

COLLECT_MOST = 1 << 22
"""Patterns kept from between the bracket; a bracket that holds more has missed."""

NARROW = COLLECT_MOST / (2 * DEVIATIONS)
"""Of a tensor of n elements, (n / NARROW)^2 are sampled where SAMPLE_MOST are fewer: of a half of it, what single elements let expect
between is then half of what may be collected."""

TOP, INFINITY = 0x7FFFFFFF, 0x7F800000
"""The largest pattern there may be, and infinity's; those above it are NaN."""


class Cut(NamedTuple):
    """Where a selection ends: keep |x| > magnitude, and |x| == magnitude up to and including index `last`.

    A last of -1 keeps none of the equal ones; a magnitude of -1.0 keeps everything.
    """

    magnitude: float
    last: int


EVERYTHING, NOTHING = Cut(-1.0, -1), Cut(inf, -1)


class Wanted(NamedTuple):
    """A cut of an input that keeps so many of its elements."""

    i: int
    keep: int


class Bracket(NamedTuple):
    """Two patterns that a threshold should lie between; -1 and TOP are the open ends."""

    low: int
    high: int


class Between(NamedTuple):
    """What a chunk has around a bracket: counts above and at its ends, the patterns strictly between, and the highest of all."""

    above: int
    at_high: int
    at_low: int
    inside: Patterns
    highest: int


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


def largest(stream: Stream, keeps: Sequence[int], of: Sequence[int] = ()) -> tuple[Cut, ...]:
    """Find the cuts that keep exactly so many of the largest magnitudes, the lowest indices among equals; in one pass.

    Where one of these inputs is seen not to be finite, or not seen at all, the stream is doubted.

    Args:
        stream: one tensor's inputs.
        keeps: how many, at least 0.
        of: the input that each is about; none means one cut for each input.

    """
    of = of or range(len(keeps))
    wanted = [Wanted(i, keep) for i, keep in zip(of, keeps, strict=True)]
    open_ones = [one for one in wanted if 0 < one.keep < stream.numel]
    seen = sweep(stream, brackets(stream, open_ones)) if open_ones else {}
    if {one.i for one in wanted} != {one.i for one in seen} or any(sightings.highest >= INFINITY for sightings in seen.values()):
        stream.doubt()
    cuts = {one: seen[one].cut(stream, *one) or counted(stream, *one) for one in seen}
    return tuple(cuts.get(one, EVERYTHING if one.keep else NOTHING) for one in wanted)


def at_least(magnitude: float) -> Cut:
    """Return the cut that keeps what is of this magnitude or above, all of it."""
    return Cut(magnitude, TOP) if magnitude >= 0 else EVERYTHING


def threshold(streams: Sequence[Stream], i: int, keep: int) -> float:
    """Return the keep-th largest magnitude of input `i` in several tensors together."""
    highs, lows = np.zeros(1 << 15, np.int64), np.zeros(1 << 16, np.int64)
    for stream in streams:
        for _, (x,) in stream.chunks(i):
            stream.kernels.magnitude_histogram(x, highs)
    high, wanted = bin_of(highs, keep)
    for stream in streams:
        for _, (x,) in stream.chunks(i):
            stream.kernels.refine_histogram(x, high, lows)
    low, _ = bin_of(lows, wanted)
    return magnitude_of(high << 16 | low)


def brackets(stream: Stream, wanted: Sequence[Wanted]) -> dict[Wanted, Bracket]:
    """Bracket thresholds from samples of inputs."""
    total = stream.numel
    if total <= SAMPLE_MOST:
        return dict.fromkeys(wanted, Bracket(-1, TOP))
    length = sample_size(total, stream.chunk) // RUNS
    inputs = sorted({one.i for one in wanted})
    apart, sampled = stream.sample(RUNS, length, *inputs)
    runs = {i: stream.kernels.magnitudes(x, RUNS, length, apart) for i, x in zip(inputs, sampled, strict=True)}
    return {one: ends(runs[one.i], one.keep / total) for one in wanted}


def sample_size(total: int, most: int) -> int:
    """Return how many elements to bracket from, of so many, where a buffer takes `most`."""
    return max(min(total // SAMPLE_SHARE, max(SAMPLE_MOST, ceil((total / NARROW) ** 2)), most), SAMPLE_LEAST)


def ends(runs: Patterns, share: float) -> Bracket:
    """Bracket the pattern above which `share` of the tensor lies.

    A tensor's rows differ, so its runs may: half the width is the larger of what single elements and what runs let expect.

    Args:
        runs: (runs, elements).
        share: in [0, 1].

    """
    sample = runs.reshape(-1)
    rank, last = share * len(sample), len(sample) - 1
    (guess,) = nth(sample, min(max(last - floor(rank), 0), last))
    above = [np.count_nonzero(run) for run in runs > guess.pattern]
    deviation = max(sqrt(rank * (1 - share)), dist(above, [sum(above) / len(above)] * len(above)))
    margin = DEVIATIONS * deviation + 2
    lower, upper = last - ceil(rank + margin), last - floor(rank - margin)
    low, high = nth(sample, max(lower, 0), min(upper, last))
    return Bracket(low.pattern if lower >= 0 else -1, high.pattern if upper <= last else TOP)


def sweep(stream: Stream, wanted: Mapping[Wanted, Bracket]) -> dict[Wanted, Sightings]:
    """Pass over some inputs once and note what lies around their brackets, chunk by chunk."""
    seen = {one: Sightings(bracket) for one, bracket in wanted.items()}
    which = sorted({one.i for one in wanted})
    for offset, inputs in stream.chunks(*which):
        open_ones = [[sightings for one, sightings in seen.items() if one.i == i and sightings.fits] for i in which]
        found = stream.kernels.brackets(inputs, [[sightings.bracket for sightings in of_one] for of_one in open_ones])
        for sightings, between in zip(chain(*open_ones), chain(*found), strict=True):
            sightings.note(offset, length(inputs[0]), between)
    return seen


class Sightings:
    """What a pass saw of one input around a bracket."""

    def __init__(self, bracket: Bracket) -> None:
        """Have seen nothing yet."""
        self.bracket = bracket
        self.fits = True
        self.highest = 0
        """The highest pattern that was seen."""
        self._chunks: list[tuple[int, int, Between]] = []
        self._collected = 0

    def note(self, offset: int, count: int, seen: Between) -> None:
        """Take one chunk."""
        self._collected += len(seen.inside)
        self.highest = max(self.highest, seen.highest)
        self._chunks.append((offset, count, seen))
        self.fits = self._collected <= COLLECT_MOST
        if not self.fits:
            self._chunks.clear()

    def cut(self, stream: Stream, i: int, keep: int) -> Cut | None:
        """Return where the selection of input `i` ends; None if that is not in the bracket."""
        found = self._located(keep) if self.fits else None
        if found is None:
            return None
        if found.wanted == found.equal:
            return Cut(magnitude_of(found.pattern), stream.numel - 1)
        left = found.wanted
        for offset, count, seen in self._chunks:
            here = self._equal(seen, found.pattern)
            if left <= here:
                (x,) = stream.read(offset, count, i)
                return Cut(magnitude_of(found.pattern), offset + stream.kernels.nth_equal(x, found.pattern, left - 1))
            left -= here
        raise ValueError("the chunks of a tensor differ between two passes over it")

    def _equal(self, seen: Between, pattern: int) -> int:
        if pattern == self.bracket.high:
            return seen.at_high
        return seen.at_low if pattern == self.bracket.low else int(np.count_nonzero(seen.inside == pattern))

    def _located(self, keep: int) -> Found | None:
        low, high = self.bracket
        wanted = keep - sum(seen.above for _, _, seen in self._chunks)
        if wanted <= 0:
            return None
        at_high = sum(seen.at_high for _, _, seen in self._chunks)
        if wanted <= at_high:
            return Found(high, at_high, wanted)
        wanted -= at_high
        inside = np.concatenate([seen.inside for _, _, seen in self._chunks])
        if wanted <= len(inside):
            ((pattern, less, equal),) = nth(inside, len(inside) - wanted)
            return Found(pattern, equal, wanted - (len(inside) - less - equal))
        wanted -= len(inside)
        at_low = sum(seen.at_low for _, _, seen in self._chunks) if low < high else 0
        return Found(low, at_low, wanted) if wanted <= at_low else None


def counted(stream: Stream, i: int, keep: int) -> Cut:
    """Find a cut by two passes that count, first high halves of the bits, then low halves under one of them.

    They see all of the input, of which a bracket that did not fit saw a part: it is doubted where it is not finite.
    """
    highs, lows = np.zeros(1 << 15, np.int64), np.zeros(1 << 16, np.int64)
    for _, (x,) in stream.chunks(i):
        stream.kernels.magnitude_histogram(x, highs)
    if highs[INFINITY >> 16 :].any():
        stream.doubt()
    high, wanted = bin_of(highs, keep)
    for _, (x,) in stream.chunks(i):
        stream.kernels.refine_histogram(x, high, lows)
    low, wanted = bin_of(lows, wanted)
    pattern = high << 16 | low
    return Cut(magnitude_of(pattern), last_index(stream, i, pattern, wanted))


def bin_of(counts: NDArray[np.int64], wanted: int) -> tuple[int, int]:
    """Return the bin with the wanted-th element from the top, and which of that bin's it is, from 1."""
    from_top = np.cumsum(counts[::-1])
    place = int(np.searchsorted(from_top, wanted))
    return len(counts) - 1 - place, wanted - int(from_top[place] - counts[::-1][place])


def last_index(stream: Stream, i: int, pattern: int, wanted: int) -> int:
    """Return the index of the wanted-th element, from 1, with this pattern."""
    for offset, (x,) in stream.chunks(i):
        count = stream.kernels.count_equal(x, pattern)
        if wanted <= count:
            return offset + stream.kernels.nth_equal(x, pattern, wanted - 1)
        wanted -= count
    raise ValueError("the chunks of a tensor differ between two passes over it")

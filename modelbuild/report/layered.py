"""Where the boxes of a drawn graph stand: in layers, so that every edge goes one way, with few crossings.

Sugiyama, Tagawa, Toda, "Methods for Visual Understanding of Hierarchical System Structures", 1981: layers by longest path,
an edge that spans several layers passes through a point in each, layers are ordered by the barycentre of their neighbours,
and boxes move towards their neighbours as far as the order lets them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise

from msgspec import Struct

_SWEEPS = 12
_PULLS = 16

Place = tuple[str, str, int]
"""A box is (name, "", 0); a point that an edge passes through is (from, to, layer)."""


class Laid(Struct, frozen=True):
    """A graph laid out.

    Args:
        layers: of each box.
        at: the middle of each box across the layers, from 0 on.
        edges: of each (from, to), the middles it passes through, layer by layer.
        span: the room across the layers.

    """

    layers: Mapping[str, int]
    at: Mapping[str, float]
    edges: Mapping[tuple[str, str], tuple[float, ...]]
    span: float


def lay_out(inputs: Mapping[str, Sequence[str]], sizes: Mapping[str, float], gap: float, lane: float) -> Laid:
    """Lay out a graph without cycles.

    Args:
        inputs: of each box, in an order in which each follows what it reads.
        sizes: of each box, across the layers.
        gap: between two boxes of a layer.
        lane: what an edge takes that passes a layer.

    """
    layers = _layers(inputs)
    rows: list[list[Place]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    for name, layer in layers.items():
        rows[layer].append((name, "", 0))
    chains: dict[tuple[str, str], list[Place]] = {}
    for name, read in inputs.items():
        for one in dict.fromkeys(read):
            between: list[Place] = [(one, name, layer) for layer in range(layers[one] + 1, layers[name])]
            for place in between:
                rows[place[2]].append(place)
            chains[one, name] = [(one, "", 0), *between, (name, "", 0)]
    before: dict[Place, list[Place]] = {place: [] for row in rows for place in row}
    after: dict[Place, list[Place]] = {place: [] for row in rows for place in row}
    for chain in chains.values():
        for left, right in pairwise(chain):
            after[left].append(right)
            before[right].append(left)
    rows = _ordered(rows, before, after)
    half = {place: (lane if place[1] else sizes[place[0]]) / 2 for row in rows for place in row}
    at = _pulled(rows, before, after, half, gap)
    low = min((at[place] - half[place] for place in at), default=0.0)
    high = max((at[place] + half[place] for place in at), default=0.0)
    return Laid(
        layers,
        {name: at[name, "", 0] - low for name in inputs},
        {edge: tuple(at[place] - low for place in chain) for edge, chain in chains.items()},
        high - low,
    )


def _layers(inputs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Put each box right of all that it reads; what reads nothing stands next to the first that reads it."""
    layers: dict[str, int] = {}
    for name, read in inputs.items():
        layers[name] = max((layers[one] + 1 for one in read), default=0)
    for name, read in inputs.items():
        if not read:
            layers[name] = min((layers[other] for other, theirs in inputs.items() if name in theirs), default=1) - 1
    return layers


def _ordered(rows: list[list[Place]], before: Mapping[Place, list[Place]], after: Mapping[Place, list[Place]]) -> list[list[Place]]:
    """Return the rows in the order of fewest crossings that sweeps to and fro have come by."""
    best, fewest = rows, _crossings(rows, after)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        forth = sweep % 2 == 0
        rows = [*rows]
        numbers = range(1, len(rows)) if forth else range(len(rows) - 2, -1, -1)
        for i in numbers:
            beside = rows[i - 1] if forth else rows[i + 1]
            rank = {place: k for k, place in enumerate(beside)}
            neighbours = before if forth else after
            own = {place: k for k, place in enumerate(rows[i])}
            rows[i] = sorted(rows[i], key=lambda place: (_mean([rank[one] for one in neighbours[place]], own[place]), own[place]))
        if (crossings := _crossings(rows, after)) < fewest:
            best, fewest = rows, crossings
    return best


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _crossings(rows: Sequence[Sequence[Place]], after: Mapping[Place, Sequence[Place]]) -> int:
    """Count the pairs of edges that cross between two layers."""
    count = 0
    for row, beyond in pairwise(rows):
        rank = {place: k for k, place in enumerate(beyond)}
        seen: list[int] = []
        for end in (end for place in row for end in sorted(rank[one] for one in after[place])):
            at = bisect_right(seen, end)
            count += len(seen) - at
            seen.insert(at, end)
    return count


def _pulled(
    rows: Sequence[Sequence[Place]],
    before: Mapping[Place, Sequence[Place]],
    after: Mapping[Place, Sequence[Place]],
    half: Mapping[Place, float],
    gap: float,
) -> dict[Place, float]:
    """Return the middle of every place: near its neighbours', in order, and apart by at least the gap."""
    at: dict[Place, float] = {}
    for row in rows:
        edge = 0.0
        for place in row:
            at[place] = edge + half[place]
            edge += 2 * half[place] + gap
    for pull in range(_PULLS):
        forth = pull % 2 == 0
        for row in rows if forth else reversed(rows):
            wanted = []
            for place in row:
                sides = (before[place], after[place]) if pull == _PULLS - 1 else ((before if forth else after)[place],)
                wanted.append(_mean([at[one] for side in sides for one in side], at[place]))
            at.update(zip(row, _apart(row, wanted, half, gap), strict=True))
    return at


def _apart(row: Sequence[Place], wanted: Sequence[float], half: Mapping[Place, float], gap: float) -> list[float]:
    """Return the positions nearest to those wanted, in least squares, that keep order and gaps: pool adjacent violators."""
    offsets, edge = [], 0.0
    for i, place in enumerate(row):
        edge += half[place] + (half[row[i - 1]] + gap if i else 0.0)
        offsets.append(edge)
    blocks: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        total, count = want - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / count:
            more, others = blocks.pop()
            total, count = total + more, count + others
        blocks.append((total, count))
    starts = [total / count for total, count in blocks for _ in range(count)]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]

"""A merged tensor measured against what it was merged from, in one pass over all of them by chunks."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations, combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from modelbuild.cache.figures import Figures, pairs
from modelbuild.checkpoint.dtypes import ARITHMETIC
from modelbuild.engine.streams import Reader
from modelbuild.engine.windows import faults
from modelbuild.engine.workspace import Job, Workspace
from modelbuild.kernels import BLOCK, total
from modelbuild.kernels.operands import length
from modelbuild.plan import Action, Ref, Step, Survey

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = BLOCK
"""Elements of a chunk: those of a base, two parents and a result stay in a core's caches as float32."""


class Measured(Struct, frozen=True):
    """What is held against what.

    Args:
        base: a tensor of a source, or what stands for one: what all deltas are taken to.
        parents: what was merged, in order.
        result: what came of it.

    """

    base: Ref
    parents: tuple[Ref, ...]
    result: Action


def measurable(result: Action) -> Measured | None:
    """Return what a tensor is to be held against; None where that is nothing of its own kind.

    The base is the merge's own, else its first input, and where that was merged too, the base of that, until a source is
    reached: so all merges of one family are measured from one place.  A second rounding and a task vector that is scaled in the
    end are looked through.
    """
    found = _merged(result)
    if found is None:
        return None
    base, parents = found
    while isinstance(base, Action) and (further := _merged(base)):
        base = further[0]
    refs = (base, *parents, result)
    if any(ref.shape != result.shape or ref.dtype not in ARITHMETIC for ref in refs) or not result.numel:
        return None
    return Measured(base, parents, result)


def _merged(action: Action) -> tuple[Ref, tuple[Ref, ...]] | None:
    """Return the base and the parents of an action."""
    if isinstance(action, Step | Survey) or not action.inputs:
        return None
    first = action.inputs[0]
    if action.method.name == "passthrough" and len(action.inputs) == 1 and isinstance(first, Action):
        return _merged(first)
    vector = action.inputs[-1]
    if isinstance(vector, Action) and vector.bare:
        action = vector
    return action.base or action.inputs[0], action.inputs


def measure(what: Measured, job: Job, workspace: Workspace) -> Figures:
    """Measure one tensor; the figures depend on its bytes and those of its parents alone.

    Args:
        what: what is compared.
        job: the action of `reading`, with its regions.
        workspace: of the CPU.

    """
    before = faults()
    figures = _measured(what, job, workspace)
    if faults() == before:
        return figures
    with workspace.copying():  # a file lost bytes that were looked at: reading says what is wrong with it
        return _measured(what, job, workspace)


def _measured(what: Measured, job: Job, workspace: Workspace) -> Figures:
    kernels, parents = workspace.device.kernels, len(what.parents)
    sums: dict[tuple[int, int], list[float]] = {pair: [] for pair in pairs(parents)}
    counts = np.zeros(3 + 2 * parents, np.int64)
    buffers = [kernels.room(min(workspace.chunk, what.result.numel)) for _ in range(parents + 2)]
    for _, operands in Reader(job, workspace).chunks():
        base, *deltas = vectors = [buffer[: length(operands[0])] for buffer in buffers]
        kernels.copy(operands[0].base, base)
        for operand, delta in zip(operands, deltas, strict=True):
            kernels.copy(operand.x, delta)
            with np.errstate(invalid="ignore", over="ignore"):
                np.subtract(delta, base, out=delta)
        for group, taken in _cover(parents):
            blocks = kernels.products(*(vectors[i] for i in group))
            for column, pair in taken:
                sums[pair] += blocks[:, column].tolist()
        counts += _counted(deltas)
    touched, conflicts, changed, *rest = counts.tolist()
    products = tuple(map(total, sums.values()))
    return Figures(products, touched, conflicts, changed, tuple(rest[:parents]), tuple(rest[parents:]), what.result.numel)


def reading(what: Measured) -> Action:
    """Return an action that is never run: it says what is read, the base's elements beside each parent's and the result's."""
    result = what.result
    return Action(
        result.node, result.tensor, result.method, (), what.base, (*what.parents, result), "F32", result.shape, 0, lenient=result.lenient
    )


def _counted(deltas: list[NDArray[np.float32]]) -> NDArray[np.int64]:
    """Count elements of a chunk: touched, conflicts, changed, then for each parent differs, then for each kept."""
    *parents, result = deltas
    above, below = result > 0, result < 0
    up, down = np.zeros_like(above), np.zeros_like(above)
    differs, kept = [], []
    for delta in parents:
        more, less = delta > 0, delta < 0
        up |= more
        down |= less
        differs.append(np.count_nonzero(more) + np.count_nonzero(less))
        kept.append(np.count_nonzero(more & above) + np.count_nonzero(less & below))
    touched = up | down
    whole = [np.count_nonzero(touched), np.count_nonzero(up & down), np.count_nonzero(touched & (above | below))]
    return np.array([*whole, *differs, *kept], np.int64)


Group = tuple[int, ...]
Taken = tuple[tuple[int, tuple[int, int]], ...]
"""(column of what a kernel returns, the pair whose sum stands there)"""


@lru_cache
def _cover(parents: int) -> tuple[tuple[Group, Taken], ...]:
    """Return groups of two or three vectors that hold each pair, so that few passes read them; each pair is taken once."""
    wanted = pairs(parents)
    left = {(i, j) for i, j in wanted if i != j}
    done: set[tuple[int, int]] = set()
    found = []
    while left:
        groups = (*combinations(range(parents + 2), 2), *combinations(range(parents + 2), 3))
        group = max(groups, key=lambda one: (len(left.intersection(combinations(one, 2))), -len(one)))
        left.difference_update(combinations(group, 2))
        columns = tuple(enumerate(combinations_with_replacement(group, 2)))
        found.append((group, tuple((column, pair) for column, pair in columns if pair in wanted and pair not in done)))
        done.update(pair for _, pair in columns)
    return tuple(found)

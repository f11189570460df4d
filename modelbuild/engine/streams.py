"""The inputs of an action chunk by chunk, and its result: hashed as they pass, and looked through for NaN and infinity."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from blake3 import blake3

from modelbuild.checkpoint.dtypes import SIZES
from modelbuild.digest import tensor_hasher
from modelbuild.engine.devices import Staged, Torch
from modelbuild.engine.needs import Need
from modelbuild.engine.nonfinite import in_needs, quieten
from modelbuild.engine.regions import Region
from modelbuild.engine.workspace import SHOWN, Job, Workspace
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.kernels import Operand, Place
from modelbuild.kernels.operands import Delta

AHEAD = 2
"""Chunks that are asked for before the first of them is looked at: those of one input are read while another's are hashed."""


class Reader:
    """The inputs of one action as a `Stream`: deltas where the method wants deltas.

    Args:
        job: the action, and where its inputs are.
        workspace: what they are seen through, or read into.
        looks: whether NaN and infinity are counted in each input in the first pass over all of it, when its bytes are near.

    """

    def __init__(self, job: Job, workspace: Workspace, *, looks: bool = False) -> None:
        action = job.action
        self.workspace, self.kernels = workspace, workspace.device.kernels
        self.numel, self.shape, self.streams, self.chunk = action.numel, action.shape, job.streams, workspace.chunk
        self.survey = _numbers(job.regions[-1]) if action.survey else ()
        self.delta = action.base is not None
        self.base: Operand = None
        """The base's elements of the chunk in hand, as they are stored."""
        self.doubted = False
        """Whether the method cannot tell that all inputs are finite."""
        self._job = job
        self._read = [Need(job, i, workspace, looks=looks) for i in range(len(action.needs))]

    def chunks(self, *which: int) -> Iterator[tuple[int, tuple[Operand, ...]]]:
        """Yield (offset, one operand per input)."""
        needs = self._needs(which)
        for offset in range(0, self.numel, self.workspace.chunk):
            self._job.check()
            yield offset, self._operands(self._arrays(needs, offset, min(self.workspace.chunk, self.numel - offset)))

    def look_through(self) -> None:
        """Count NaN and infinity in a pass that does nothing else."""
        for need in self._read:
            need.looks = True
        for _ in self.chunks():
            pass

    def doubt(self) -> None:
        """Remember that one of them may not be finite."""
        self.doubted = True

    def marks(self, i: int, count: int) -> Any:
        """Return room for a mask of an input."""
        return self.workspace.marks(i, count)

    def read(self, offset: int, count: int, *which: int) -> tuple[Operand, ...]:
        """Return one operand per input."""
        return self._operands(self._arrays(self._needs(which), offset, count))

    def sample(self, runs: int, length: int, *which: int) -> tuple[int, tuple[Operand, ...]]:
        """Return one operand per input: all of it where it lies in view, else the runs one after another."""
        needs, apart = [self._read[i] for i in self._needs(which)], self.numel // runs
        for need in needs:
            need.ahead(0, SHOWN * self.chunk)
        whole = [array for need in needs if (array := need.whole()) is not None]
        if len(whole) == len(needs):
            return apart, self._operands(whole)
        return length, self._operands([need.copied([(run * apart, length) for run in range(runs)]) for need in needs])

    def _needs(self, which: Sequence[int]) -> list[int]:
        """Return which needs are read for some inputs; none of them means all."""
        first = 1 if self.delta else 0
        chosen = [i + first for i in which or range(len(self._job.action.inputs))]
        return [*chosen, 0] if self.delta else chosen

    def _arrays(self, needs: Sequence[int], offset: int, count: int) -> list[Operand]:
        for i in needs:
            self._read[i].ahead(offset, AHEAD * count)
        return [self._read[i].elements(offset, count) for i in needs]

    def _operands(self, arrays: list[Operand]) -> tuple[Operand, ...]:
        if not self.delta:
            return tuple(arrays)
        self.base = arrays.pop()
        return tuple(Delta(array, self.base) for array in arrays)

    def digests(self) -> tuple[str, ...]:
        """Return the digests of what was read: of each need, once a pass over all inputs is over."""
        return tuple(need.digest for need in self._read)

    def complain(self) -> None:
        """Say which inputs are not finite."""
        action = self._job.action
        facts = tuple(in_needs(action, [need.nonfinite for need in self._read]))
        if facts:
            hint = 'use another checkpoint, or allow it: `nonfinite = "allow"`'
            raise ModelbuildError(
                Problem(f"NaN or Inf in what `{action.label}` is merged from", facts=facts, hint=hint), Exit.ACTION_FAILED
            )

    def warnings(self) -> Iterator[str]:
        """Say the same of an action that allows it."""
        for fact in in_needs(self._job.action, [need.nonfinite for need in self._read]):
            yield f"{fact} NaN or Inf, where `{self._job.action.label}` reads them"


def _numbers(region: Region) -> tuple[float, ...]:
    """Read what a survey found."""
    held = bytearray(region.nbytes)
    region.read_into(memoryview(held), 0)
    return tuple(np.frombuffer(held, "<f8").tolist())


class Out:
    """The result of one action: rounded, hashed and written chunk by chunk."""

    def __init__(self, job: Job, workspace: Workspace) -> None:
        self._job, self._workspace, self._device = job, workspace, workspace.device
        self._hasher: blake3 = tensor_hasher(job.action.dtype, job.action.shape)
        self.nonfinite: Any = 0
        """How many elements of what was written are NaN or infinite."""
        self._width = SIZES[job.action.dtype]
        self._raw: Any = None
        self._staged: Staged
        self._landing: deque[tuple[int, int, Staged]] = deque()

    def place(self, count: int) -> Place:
        """Return where the result of a chunk is to be written."""
        self._staged = self._workspace.staging(-1, self._width)
        self._raw = self._device.download(self._staged, count * self._width)
        return self._device.kernels.stored(self._raw, self._job.action.dtype)

    def fill(self, offset: int, values: Any, kernels: Any) -> None:
        """Round float32 values into their place; as numpy has them they go to where the kernels work."""
        if isinstance(self._device, Torch) and isinstance(values, np.ndarray):
            import torch

            values = torch.from_numpy(values).to(self._device.name)
        raw = self.place(len(values))
        kernels.copy(values, raw)
        self.put(offset, raw)

    def put(self, offset: int, written: Place) -> None:
        """Take what was written there."""
        (count,) = self._device.kernels.not_finite(written)
        self.nonfinite += count
        self._device.landing(self._staged, self._raw)
        self._landing.append((offset * self._width, len(written) * self._width, self._staged))
        while len(self._landing) >= self._device.depth:
            self._land()

    def _land(self) -> None:
        """Hash and write the chunk that was computed longest ago."""
        start, nbytes, staged = self._landing.popleft()
        self._device.wait(staged)
        if self._job.action.lenient:
            quieten(staged.view[:nbytes], self._job.action.dtype)
        self._hasher.update(staged.view[:nbytes])
        self._job.write(start, staged.view[:nbytes])

    def digest(self) -> str:
        """Write what is left, and return the digest of all."""
        while self._landing:
            self._land()
        action = self._job.action
        if self.nonfinite and not action.lenient:
            facts = (f"{int(self.nonfinite)} of {action.numel} elements are, in {action.dtype}",)
            hint = 'use smaller weights, a wider `dtype`, or allow it: `nonfinite = "allow"`'
            raise ModelbuildError(Problem(f"NaN or Inf in the result of `{action.label}`", facts=facts, hint=hint), Exit.ACTION_FAILED)
        return self._hasher.hexdigest()

    def warnings(self) -> Iterator[str]:
        """Say what is not finite in the result of an action that allows it."""
        action = self._job.action
        if self.nonfinite:
            yield f"{int(self.nonfinite)} of {action.numel} elements of `{action.label}` are NaN or Inf, in {action.dtype}"

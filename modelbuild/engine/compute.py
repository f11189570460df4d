"""One action computed: chunks in, arithmetic in float32, one rounding, chunks out, hashed as they pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from blake3 import blake3

from modelbuild.checkpoint.dtypes import ARITHMETIC, SIZES
from modelbuild.digest import tensor_hasher
from modelbuild.engine.devices import Device, Staged, Torch
from modelbuild.engine.nonfinite import in_needs, quieten
from modelbuild.engine.regions import Region
from modelbuild.engine.steps import pieces
from modelbuild.engine.windows import Window, faults
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.kernels import BLOCK, Operand, Place
from modelbuild.kernels.machine import address
from modelbuild.kernels.operands import Delta, Plus, length
from modelbuild.plan import Action, Ref, Step, Survey

Run = tuple[int, int]
"""(index of the first, number) of elements that follow each other"""

Write = Callable[[int, memoryview], None]
"""write(offset in bytes from the tensor's start, bytes)"""


SHOWN = 8
"""Chunks of a tensor that a window lays out at most."""


class Interrupted(Exception):
    """The build was told to stop between two chunks."""


@dataclass(frozen=True, slots=True)
class Job:
    """An action with everything it needs at hand.

    Args:
        action: what to compute.
        regions: the bytes of `action.needs`, in order.
        digests: theirs, each "" where it is to be learned on the way.
        streams: the keys of the random masks, one per input; empty where the method draws none.
        write: takes the result.
        check: called between chunks; raises to stop.

    """

    action: Action
    regions: tuple[Region, ...]
    digests: tuple[str, ...]
    streams: tuple[int, ...]
    write: Write
    check: Callable[[], None]


class Computed(NamedTuple):
    """The digest of a result, those of what it was computed from, and what is to be said of NaN and Inf that are allowed."""

    digest: str
    needs: tuple[str, ...]
    warnings: tuple[str, ...] = ()


class Workspace:
    """The buffers of one worker, made once and used for every tensor.

    Args:
        device: where kernels work.
        chunk: elements per chunk, a multiple of the kernels' BLOCK.

    """

    def __init__(self, device: Device, chunk: int) -> None:
        """Allocate nothing yet."""
        self.device, self.chunk = device, chunk
        self.line = device.line()
        self.in_place = device.in_place
        """Whether files are looked at where they lie."""
        self._staged: dict[tuple[int, int], deque[Staged]] = {}
        self._windows: dict[tuple[int, int], Window] = {}

    def staging(self, i: int, width: int) -> Staged:
        """Return a host buffer for a chunk of the i-th tensor, of elements of `width` bytes: the one used longest ago."""
        ring = self._staged.setdefault((i, width), deque())
        if len(ring) < self.device.depth:
            ring.append(self.device.staging(self.chunk * width))
        else:
            self.device.wait(ring[0])
            ring.rotate(-1)
        return ring[-1]

    def window(self, i: int, width: int) -> Window:
        """Return what a chunk of the i-th tensor is seen through, of elements of `width` bytes."""
        if (i, width) not in self._windows:
            self._windows[i, width] = Window(SHOWN * self.chunk * width)
        return self._windows[i, width]

    @contextmanager
    def copying(self) -> Iterator[None]:
        """Read for a while, whatever could be looked at, and forget what was seen."""
        self._windows.clear()
        self.in_place = False
        try:
            yield
        finally:
            self.in_place = self.device.in_place

    def shrink(self) -> bool:
        """Go on with chunks of half the size, and tell whether they can be any smaller."""
        if self.chunk == BLOCK:
            return False
        self.chunk = max(BLOCK, self.chunk // 2 // BLOCK * BLOCK)
        self._staged.clear()
        self.device.tidy()
        return True


def compute(job: Job, workspace: Workspace) -> Computed:
    """Run an action in the form its method has, and return the digests of what was written and of what was read.

    Where memory gets full, it starts again with smaller chunks: they change no byte.  Where a file lost bytes that were looked
    at, it starts again and reads, which says what is wrong with the file.

    Raises:
        ModelbuildError: exit 1 if there are NaN or Inf in what is read or in what would be written and the action is not
            lenient; exit 6 if there is too little memory even so.

    """
    before = faults()
    try:
        computed = _fitted(job, workspace)
    except (ModelbuildError, ArithmeticError, ValueError):
        if faults() == before:
            raise
    else:
        if faults() == before:
            return computed
    with workspace.copying():
        return _fitted(job, workspace)


def _fitted(job: Job, workspace: Workspace) -> Computed:
    while True:
        with suppress(*workspace.device.exhausted), workspace.line:
            return _computed(job, workspace)
        if not (job.action.streaming and workspace.shrink()):
            fact = f"merging `{job.action.label}` needs more"
            hint = "use fewer --jobs, or --device cpu"
            raise ModelbuildError(Problem(f"the memory of {workspace.device.name} is full", facts=(fact,), hint=hint), Exit.LOCAL_IO)


def _computed(job: Job, workspace: Workspace) -> Computed:
    action = job.action
    if isinstance(action, Survey):
        return _surveyed(action, job, workspace)
    if isinstance(action, Step):
        return _stepped(action, job, workspace)
    out = _Out(job, workspace)
    reader = _Reader(job, workspace)
    params = action.arguments
    if action.streaming:
        _streamed(action, reader, out, params)
    else:
        _whole(job, reader, out, params)
    if not action.lenient:
        reader.complain()
    digest = out.digest()
    return Computed(digest, reader.digests(), (*reader.warnings(), *out.warnings()))


def _surveyed(action: Survey, job: Job, workspace: Workspace) -> Computed:
    readers, at = [], 0
    for part in action.parts:
        to = at + len(part.needs)
        readers.append(_Reader(replace(job, action=part, regions=job.regions[at:to], digests=job.digests[at:to]), workspace))
        at = to
    found = np.asarray(action.method.short(readers, **action.arguments), "<f8").tobytes()
    job.write(0, memoryview(found))
    hasher = tensor_hasher(action.dtype, action.shape)
    hasher.update(found)
    return Computed(hasher.hexdigest(), tuple(digest for reader in readers for digest in reader.digests()))


def _stepped(action: Step, job: Job, workspace: Workspace) -> Computed:
    out, kernels, at = _Out(job, workspace), workspace.device.kernels, 0
    for piece in pieces(action, job.regions, workspace.chunk):
        job.check()
        out.fill(at, piece, kernels)
        at += len(piece)
    return Computed(out.digest(), job.digests, tuple(out.warnings()))


def _streamed(action: Action, reader: _Reader, out: _Out, params: dict[str, Any]) -> None:
    method, kernels = action.method, reader.kernels
    assert method.apply is not None
    try:
        state = method.stats(reader, **params) if method.stats else None
        for offset, inputs in reader.last_pass():
            raw = out.place(length(inputs[0]))
            place = Plus(raw, reader.base) if reader.delta and not action.bare else raw
            method.apply(kernels, inputs, place, state, offset, **params)
            out.put(offset, raw)
    except (ArithmeticError, ValueError) as error:
        if not action.lenient:
            raise
        raise _failed(action, error, 'remove `nonfinite = "allow"` to see what is NaN or Inf') from error


def _whole(job: Job, reader: _Reader, out: _Out, params: dict[str, Any]) -> None:
    """Run the short form: whole float32 tensors of the action's shape."""
    import torch

    action = job.action
    target = torch.device(reader.workspace.device.name)
    whole = [torch.empty(action.numel, dtype=torch.float32, device=target) for _ in action.inputs]
    base = torch.empty(action.numel, dtype=torch.float32, device=target) if reader.delta and not action.bare else None
    for offset, inputs in reader.last_pass():
        for tensor, chunk in zip(whole, inputs, strict=True):
            tensor[offset : offset + length(chunk)] = torch.as_tensor(reader.kernels.floats(chunk))
        if base is not None:
            base[offset : offset + length(inputs[0])] = torch.as_tensor(reader.kernels.floats(reader.base))
    more: dict[str, Any] = {"streams": job.streams} if action.method.random else {}
    more |= {"survey": reader.survey} if action.survey else {}
    device = reader.workspace.device
    try:
        result = action.method.short([tensor.reshape(action.shape) for tensor in whole], **params, **more)
    except device.exhausted:
        raise
    except (ArithmeticError, AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError) as error:  # a stranger's
        raise _failed(action, error, "mend the method") from error
    if not isinstance(result, torch.Tensor) or tuple(result.shape) != action.shape:
        found = f"a tensor of shape {list(result.shape)}" if isinstance(result, torch.Tensor) else f"a {type(result).__name__}"
        raise ModelbuildError(
            Problem(
                f"`{action.method.name}` returned {found} for `{action.label}`",
                facts=(f"expected a tensor of shape {list(action.shape)}",),
                hint="mend the method",
            ),
            Exit.ACTION_FAILED,
        )
    merged = result.detach().to(torch.float32).reshape(-1)
    merged = merged if base is None else base + merged
    chunk = reader.workspace.chunk
    for offset in range(0, action.numel, chunk):
        piece = merged[offset : offset + chunk]
        out.fill(offset, piece if isinstance(device, Torch) else piece.numpy(), reader.kernels)


def _failed(action: Action, error: Exception, hint: str) -> ModelbuildError:
    fact = f"{type(error).__name__}: {error}"
    what = f"the method `{action.method.name}` failed on `{action.label}`"
    return ModelbuildError(Problem(what, facts=(fact,), hint=hint), Exit.ACTION_FAILED)


class _Reader:
    """The inputs of one action as a `Stream`: deltas where the method wants deltas."""

    def __init__(self, job: Job, workspace: Workspace) -> None:
        action = job.action
        self.workspace, self.kernels = workspace, workspace.device.kernels
        self.numel, self.shape, self.streams, self.chunk = action.numel, action.shape, job.streams, workspace.chunk
        self.survey = _numbers(job.regions[-1]) if action.survey else ()
        self.delta = action.base is not None
        self.base: Operand = None
        """The base's elements of the chunk in hand, as they are stored."""
        self._job = job
        self._dtypes = [need.dtype for need in action.needs]
        self._nonfinite: list[Any] = [0] * len(action.needs)
        self._counting = False
        self._passing = [_Passing(need, known) for need, known in zip(action.needs, job.digests, strict=True)]

    def chunks(self, *which: int) -> Iterator[tuple[int, tuple[Operand, ...]]]:
        """Yield (offset, one operand per input)."""
        for offset in range(0, self.numel, self.workspace.chunk):
            self._job.check()
            yield offset, self.read(offset, min(self.workspace.chunk, self.numel - offset), *which)

    def read(self, offset: int, count: int, *which: int) -> tuple[Operand, ...]:
        """Return one operand per input."""
        return self._read([(offset, count)], which)

    def sample(self, runs: int, length: int, *which: int) -> tuple[Operand, ...]:
        """Return one operand per input, of runs from all over it."""
        return self._read([(run * (self.numel // runs), length) for run in range(runs)], which)

    def _read(self, runs: Sequence[Run], which: tuple[int, ...]) -> tuple[Operand, ...]:
        first = 1 if self.delta else 0
        chosen = [i + first for i in which] or range(first, first + len(self._job.action.inputs))
        read = [*chosen, 0] if self.delta else chosen
        arrays = [self._load(i, runs) for i in read]
        if self._counting:
            for i, count in zip(read, self.kernels.not_finite(*arrays), strict=True):
                self._nonfinite[i] += count
        if not self.delta:
            return tuple(arrays)
        self.base = arrays.pop()
        return tuple(Delta(array, self.base) for array in arrays)

    def last_pass(self) -> Iterator[tuple[int, tuple[Operand, ...]]]:
        """Yield all inputs once more, counting what is not finite."""
        self._counting = True
        return self.chunks()

    def digests(self) -> tuple[str, ...]:
        """Return the digests of what was read: of each need, once the last pass is over."""
        return tuple(passing.digest for passing in self._passing)

    def _load(self, i: int, runs: Sequence[Run]) -> Operand:
        width, dtype = SIZES[self._dtypes[i]], self._dtypes[i]
        if len(runs) == 1 and self.workspace.in_place and not self._job.action.lenient:
            start, nbytes = runs[0][0] * width, runs[0][1] * width
            lying = self._job.regions[i].lying(self.workspace.window(i, width), start, nbytes)
            if lying is not None:
                raw = np.frombuffer(lying, np.uint8)
                if address(raw) % width == 0:
                    self._passing[i].see(start, lying)
                    return self.kernels.stored(raw, dtype)
        staged, filled = self.workspace.staging(i, width), 0
        for offset, count in runs:
            part = staged.view[filled : filled + count * width]
            self._job.regions[i].read_into(part, offset * width)
            self._passing[i].see(offset * width, part)
            filled += len(part)
        if self._job.action.lenient and self._dtypes[i] in ARITHMETIC:
            quieten(staged.view[:filled], self._dtypes[i])
        return self.kernels.stored(self.workspace.device.upload(staged, filled), self._dtypes[i])

    def complain(self) -> None:
        """Say which inputs are not finite."""
        action = self._job.action
        facts = tuple(in_needs(action, self._nonfinite))
        if facts:
            hint = 'use another checkpoint, or allow it: `nonfinite = "allow"`'
            raise ModelbuildError(
                Problem(f"NaN or Inf in what `{action.label}` is merged from", facts=facts, hint=hint), Exit.ACTION_FAILED
            )

    def warnings(self) -> Iterator[str]:
        """Say the same of an action that allows it."""
        for fact in in_needs(self._job.action, self._nonfinite):
            yield f"{fact} NaN or Inf, where `{self._job.action.label}` reads them"


def _numbers(region: Region) -> tuple[float, ...]:
    """Read what a survey found."""
    held = bytearray(region.nbytes)
    region.read_into(memoryview(held), 0)
    return tuple(np.frombuffer(held, "<f8").tolist())


class _Passing:
    """The digest of a need: known, or learned from its bytes as they pass in order for the first time."""

    def __init__(self, need: Ref, known: str) -> None:
        self._hasher = None if known else tensor_hasher(need.dtype, need.shape)
        self._known, self._seen = known, 0

    def see(self, start: int, data: memoryview) -> None:
        """Take bytes: of those that reach beyond what was seen, without a gap, the part beyond."""
        if self._hasher and start <= self._seen < start + len(data):
            self._hasher.update(data[self._seen - start :])
            self._seen = start + len(data)

    @property
    def digest(self) -> str:
        return self._hasher.hexdigest() if self._hasher else self._known


class _Out:
    """The result of one action: rounded, hashed and written chunk by chunk."""

    def __init__(self, job: Job, workspace: Workspace) -> None:
        self._job, self._workspace, self._device = job, workspace, workspace.device
        self._hasher: blake3 = tensor_hasher(job.action.dtype, job.action.shape)
        self._nonfinite: Any = 0
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
        self._nonfinite += count
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
        if self._nonfinite and not action.lenient:
            facts = (f"{int(self._nonfinite)} of {action.numel} elements are, in {action.dtype}",)
            hint = 'use smaller weights, a wider `dtype`, or allow it: `nonfinite = "allow"`'
            raise ModelbuildError(Problem(f"NaN or Inf in the result of `{action.label}`", facts=facts, hint=hint), Exit.ACTION_FAILED)
        return self._hasher.hexdigest()

    def warnings(self) -> Iterator[str]:
        """Say what is not finite in the result of an action that allows it."""
        action = self._job.action
        if self._nonfinite:
            yield f"{int(self._nonfinite)} of {action.numel} elements of `{action.label}` are NaN or Inf, in {action.dtype}"


def masks(seed: int, digests: Sequence[str]) -> tuple[int, ...]:
    """Return the 64-bit key of each input's random mask: a function of the seed and the input's content alone."""
    return tuple(int.from_bytes(blake3(f"mask {seed} {digest}".encode()).digest()[:8], "little") for digest in digests)

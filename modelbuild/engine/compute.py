"""One action computed: chunks in, arithmetic in float32, one rounding, chunks out, hashed as they pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from modelbuild.checkpoint.dtypes import SIZES
from modelbuild.digest import tensor_hasher
from modelbuild.engine.devices import Device
from modelbuild.engine.regions import Region
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.kernels import Array
from modelbuild.plan import Action

Write = Callable[[int, memoryview], None]
"""write(offset in bytes from the tensor's start, bytes)"""


class Interrupted(Exception):
    """The build was told to stop between two chunks."""


@dataclass(frozen=True, slots=True)
class Job:
    """An action with everything it needs at hand.

    Args:
        action: what to compute.
        regions: the bytes of `action.needs`, in order.
        streams: the keys of the random masks, one per input; empty where the method draws none.
        write: takes the result.
        check: called between chunks; raises to stop.

    """

    action: Action
    regions: tuple[Region, ...]
    streams: tuple[int, ...]
    write: Write
    check: Callable[[], None]


class Workspace:
    """The buffers of one worker, made once and used for every tensor.

    Args:
        device: where kernels work.
        chunk: elements per chunk, a multiple of the kernels' BLOCK.

    """

    def __init__(self, device: Device, chunk: int) -> None:
        """Allocate nothing yet."""
        self.device, self.chunk = device, chunk
        self._floats: list[Array] = []
        self._staged: dict[int, tuple[Any, memoryview]] = {}

    def floats(self, i: int, count: int) -> Array:
        """Return the i-th float32 buffer, `count` elements of it."""
        while len(self._floats) <= i:
            self._floats.append(self.device.floats(self.chunk))
        return self._floats[i][:count]

    def staging(self, width: int) -> tuple[Any, memoryview]:
        """Return the host buffer for elements of `width` bytes."""
        if width not in self._staged:
            self._staged[width] = self.device.staging(self.chunk * width)
        return self._staged[width]


def compute(job: Job, workspace: Workspace) -> str:
    """Run an action in the form its method has, and return the digest of what was written.

    Raises:
        ModelbuildError: exit 1 if there are NaN or Inf in what is read or in what would be written.

    """
    action = job.action
    out = _Out(job, workspace)
    reader = _Reader(job, workspace)
    params = {param.python_name: value for param in action.method.params for name, value in action.params if name == param.name}
    if action.method.streaming:
        _streamed(action, reader, out, params)
    else:
        _whole(job, reader, out, params)
    reader.complain()
    return out.digest()


def _streamed(action: Action, reader: _Reader, out: _Out, params: dict[str, Any]) -> None:
    method, kernels = action.method, reader.kernels
    assert method.apply is not None
    state = method.stats(reader, **params) if method.stats else None
    for offset, inputs in reader.last_pass():
        result = out.floats(len(inputs[0]))
        method.apply(kernels, inputs, result, state, offset, **params)
        if reader.delta:
            kernels.add(reader.base(len(result)), result, result)
        out.put(offset, result)


def _whole(job: Job, reader: _Reader, out: _Out, params: dict[str, Any]) -> None:
    """Run the short form: whole float32 tensors of the action's shape."""
    import torch

    action, device = job.action, reader.workspace.device.name
    target = torch.device(device)
    whole = [torch.empty(action.numel, dtype=torch.float32, device=target) for _ in action.inputs]
    base = torch.empty(action.numel, dtype=torch.float32, device=target) if reader.delta else None
    for offset, inputs in reader.last_pass():
        for tensor, chunk in zip(whole, inputs, strict=True):
            tensor[offset : offset + len(chunk)] = torch.as_tensor(chunk)
        if base is not None:
            base[offset : offset + len(inputs[0])] = torch.as_tensor(reader.base(len(inputs[0])))
    if action.method.random:
        params = {**params, "streams": job.streams}
    try:
        result = action.method.short([tensor.reshape(action.shape) for tensor in whole], **params)
    except (ArithmeticError, AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError) as error:  # a stranger's
        fact = f"{type(error).__name__}: {error}"
        problem = Problem(f"the method `{action.method.name}` failed on `{action.label}`", facts=(fact,), hint="mend the method")
        raise ModelbuildError(problem, Exit.ACTION_FAILED) from error
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
    if base is not None:
        merged = base + merged
    chunk = reader.workspace.chunk
    for offset in range(0, action.numel, chunk):
        piece = merged[offset : offset + chunk]
        out.put(offset, piece.numpy() if device == "cpu" else piece)


class _Reader:
    """The inputs of one action as a `Stream`: deltas where the method wants deltas."""

    def __init__(self, job: Job, workspace: Workspace) -> None:
        action = job.action
        self.workspace, self.kernels = workspace, workspace.device.kernels
        self.numel, self.shape, self.streams = action.numel, action.shape, job.streams
        self.delta = action.base is not None
        self._job = job
        self._dtypes = [need.dtype for need in action.needs]
        self._nonfinite = [0] * len(action.needs)
        self._counting = False

    def chunks(self, *which: int) -> Iterator[tuple[int, tuple[Array, ...]]]:
        """Yield (offset, one array per input)."""
        first = 1 if self.delta else 0
        chosen = which or tuple(range(len(self._dtypes) - first))
        for offset in range(0, self.numel, self.workspace.chunk):
            self._job.check()
            count = min(self.workspace.chunk, self.numel - offset)
            arrays = tuple(self._load(i + first, offset, self.workspace.floats(2 + at, count)) for at, i in enumerate(chosen))
            if self.delta:
                base = self._load(0, offset, self.base(count))
                for array in arrays:
                    self.kernels.subtract(array, base, array)
            yield offset, arrays

    def last_pass(self) -> Iterator[tuple[int, tuple[Array, ...]]]:
        """Yield all inputs once more, counting what is not finite."""
        self._counting = True
        return self.chunks()

    def base(self, count: int) -> Array:
        """Return the base's elements of the chunk in hand."""
        return self.workspace.floats(1, count)

    def _load(self, i: int, offset: int, out: Array) -> Array:
        width = SIZES[self._dtypes[i]]
        staged, view = self.workspace.staging(width)
        nbytes = len(out) * width
        self._job.regions[i].read_into(view[:nbytes], offset * width)
        nonfinite = self.kernels.widen(self.workspace.device.upload(staged, nbytes), self._dtypes[i], out)
        if self._counting:
            self._nonfinite[i] += nonfinite
        return out

    def complain(self) -> None:
        """Say which inputs are not finite."""
        facts = tuple(
            f"{count} of {self.numel} elements of `{need.label}` are"
            for need, count in zip(self._job.action.needs, self._nonfinite, strict=True)
            if count
        )
        if facts:
            raise ModelbuildError(
                Problem(f"NaN or Inf in what `{self._job.action.label}` is merged from", facts=facts, hint="use another checkpoint"),
                Exit.ACTION_FAILED,
            )


class _Out:
    """The result of one action: rounded, hashed and written chunk by chunk."""

    def __init__(self, job: Job, workspace: Workspace) -> None:
        self._job, self._workspace = job, workspace
        self._hasher: blake3 = tensor_hasher(job.action.dtype, job.action.shape)
        self._nonfinite = 0

    def floats(self, count: int) -> Array:
        return self._workspace.floats(0, count)

    def put(self, offset: int, result: Array) -> None:
        device, dtype = self._workspace.device, self._job.action.dtype
        width = SIZES[dtype]
        nbytes = len(result) * width
        staged, view = self._workspace.staging(width)
        raw = device.download(staged, nbytes)
        self._nonfinite += device.kernels.narrow(result, dtype, raw)
        device.landed(staged, raw)
        self._hasher.update(view[:nbytes])
        self._job.write(offset * width, view[:nbytes])

    def digest(self) -> str:
        action = self._job.action
        if self._nonfinite:
            facts = (f"{self._nonfinite} of {action.numel} elements are, in {action.dtype}",)
            raise ModelbuildError(
                Problem(f"NaN or Inf in the result of `{action.label}`", facts=facts, hint="use smaller weights, or a wider `dtype`"),
                Exit.ACTION_FAILED,
            )
        return self._hasher.hexdigest()


def masks(seed: int, digests: Sequence[str]) -> tuple[int, ...]:
    """Return the 64-bit key of each input's random mask: a function of the seed and the input's content alone."""
    return tuple(int.from_bytes(blake3(f"mask {seed} {digest}".encode()).digest()[:8], "little") for digest in digests)

"""Actions: what is to be computed, as inert data, and the one description that the hasher and the explainer share."""

from __future__ import annotations

from math import prod
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from modelbuild.checkpoint.dtypes import nbytes
from modelbuild.checkpoint.header import TensorInfo
from modelbuild.digest import Sink, Value
from modelbuild.method import Method
from modelbuild.methods import load

SURVEYED = "F64"
"""The type of what a survey finds."""


class Leaf(Struct, frozen=True, eq=False):
    """A tensor of a source; compared by identity."""

    source: str
    info: TensorInfo

    @property
    def dtype(self) -> str:
        """Storage type, safetensors code."""
        return self.info.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions."""
        return self.info.shape

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return self.info.nbytes

    @property
    def label(self) -> str:
        """How people call it."""
        return f"{self.source}::{self.info.name}"


class Action(Struct, frozen=True, eq=False):
    """The computation of one output tensor of one node; compared by identity.

    Args:
        node: the merge it belongs to; no part of its key.
        tensor: its name in the node's output; no part of its key.
        method: what is computed.
        params: (name, value) for each parameter, as resolved for this tensor; a tuple where there is one per input.
        base: what deltas are taken against, or None.
        inputs: in Modelfile order.
        dtype: what the result is rounded to, safetensors code.
        shape: of the result and of every input.
        seed: of the random masks; part of the key for random methods only.
        survey: what it has to know of other tensors, or None.
        bare: whether its result is a task vector as it is, to which the base is not added.
        lenient: whether NaN and infinity may be in what it reads and writes.

    """

    node: str
    tensor: str
    method: Method
    params: tuple[tuple[str, Any], ...]
    base: Ref | None
    inputs: tuple[Ref, ...]
    dtype: str
    shape: tuple[int, ...]
    seed: int
    survey: Survey | None = None
    bare: bool = False
    lenient: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of the result."""
        return nbytes(self.dtype, self.shape)

    @property
    def numel(self) -> int:
        """Elements of the result."""
        return prod(self.shape)

    @property
    def needs(self) -> tuple[Ref, ...]:
        """Everything it reads: the base, the inputs, the survey."""
        base, survey = () if self.base is None else (self.base,), () if self.survey is None else (self.survey,)
        return (*base, *self.inputs, *survey)

    @property
    def arguments(self) -> dict[str, Any]:
        """The parameters by Python name, as the method takes them; inert ones are left out."""
        given = dict(self.params)
        return {param.python_name: given[param.name] for param in self.method.params if param.name in given}

    @property
    def streaming(self) -> bool:
        """Whether it is computed chunk by chunk; else its inputs are held whole."""
        return self.method.streams(self.arguments)

    @property
    def learns(self) -> bool:
        """Whether the digests of what it reads can be learned while it is computed."""
        return self.streaming and not self.method.random

    @property
    def label(self) -> str:
        """How people call it."""
        return f"{self.node}::{self.tensor}"


class Survey(Action, frozen=True, eq=False):
    """The action of a method's survey: numbers from many tensors.

    Args:
        parts: one for each tensor, that says what is read of it and is never run; complete when its node is planned.

    """

    parts: list[Action] = field(default_factory=list)

    @property
    def needs(self) -> tuple[Ref, ...]:
        """Everything it reads, tensor by tensor."""
        return tuple(need for part in self.parts for need in part.needs)

    @property
    def streaming(self) -> bool:
        """Always: no tensor is held whole."""
        return True


class Step(Action, frozen=True, eq=False):
    """What no merge method does: a tensor computed from tensors of other shapes, whole or by rows.

    Args:
        payload: what it is computed by, of which `params` hold the digest.

    """

    payload: Any = None

    @property
    def streaming(self) -> bool:
        """Always: it takes its inputs by pieces."""
        return True

    @property
    def learns(self) -> bool:
        """Never: it may read its inputs in any order."""
        return False


Ref = Leaf | Action
"""Where a tensor comes from."""


def stepped(
    node: str,
    tensor: str,
    name: str,
    revision: int,
    *,
    params: tuple[tuple[str, Any], ...],
    inputs: tuple[Ref, ...],
    dtype: str,
    shape: tuple[int, ...],
    payload: Any,
    numerics: Literal["exact", "device"] = "exact",
    lenient: bool = False,
) -> Step:
    """Make the action of a step; what it is called is how the engine finds what computes it."""
    kind = Method(name, _no_method, "weight", "none", (1, 1 << 30), (), revision, numerics)
    return Step(node, tensor, kind, params, None, inputs, dtype, shape, 0, lenient=lenient, payload=payload)


def _no_method(*_: Any) -> None:
    raise NotImplementedError


def surveyed(node: str, method: Method, params: tuple[tuple[str, Any], ...], count: int) -> Survey:
    """Make the action of a method's survey of `count` inputs, with no parts yet."""
    survey = method.survey
    assert survey is not None
    given = tuple((name, value) for name, value in params if name in survey.params)
    taken = Method(survey.name, survey.take, method.space, method.base, method.inputs, method.params, survey.revision)
    return Survey(node, f"({survey.name})", taken, given, None, (), SURVEYED, (count,), 0)


def scaled_apart(action: Action) -> tuple[Action, Action]:
    """Split an action of a method whose task vector is scaled in the end: into that task vector, and base + factor times it."""
    method = action.method
    factor = dict(action.params)[method.scaled_by]
    rest = tuple((name, value) for name, value in action.params if name != method.scaled_by)
    vector = replace(action, node=f"{action.node} (task vector)", params=rest, dtype="F32", bare=True)
    assert action.base is not None
    weights = (("weight", (1.0, factor)), ("normalize", False))
    return vector, replace(action, method=load("linear"), params=weights, base=None, inputs=(action.base, vector), seed=0, survey=None)


def rounded(node: str, tensor: str, ref: Ref, dtype: str, *, lenient: bool) -> Action:
    """Make the action that hands a tensor on in another type."""
    return Action(node, tensor, load("passthrough"), (("scale", (1.0,)),), None, (ref,), dtype, ref.shape, 0, lenient=lenient)


def describe(action: Action, digests: tuple[str, ...], device: str, sink: Sink) -> None:
    """Tell `sink` everything that an action's bytes depend on.

    Args:
        action: what is described.
        digests: of `action.needs`, in order.
        device: what computes; told for methods that are not exact, and for those alone.
        sink: the hasher or the explainer.

    """
    method = action.method
    sink.field("method", method.name)
    sink.field("revision", method.revision)
    sink.field("numerics", method.numerics)
    if method.numerics != "exact":
        sink.field("device", device)
    for name, value in action.params:
        sink.field(f"params.{name}", _value(value))
    if method.random:
        sink.field("seed", action.seed)
    if action.base is not None:
        sink.field("base", digests[0])
        digests = digests[1:]
    if action.survey is not None:
        sink.field("survey", digests[-1])
        digests = digests[:-1]
    if action.bare:
        sink.field("bare", action.bare)
    if action.lenient:
        sink.field("nonfinite", "allow")
    sink.field("inputs", digests)
    sink.field("dtype", action.dtype)
    sink.field("shape", action.shape)


def _value(value: Any) -> Value:
    return value  # type: ignore[no-any-return]

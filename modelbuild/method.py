"""What a merge method is: its parameters, its inputs, and one or two ways to compute it.  Imports no torch.

The short form is a pure function on whole float32 tensors.  The streaming form splits it into `stats` over chunks, giving
a small state, and `apply` for each chunk, so that memory is bounded by the chunk and not by the tensor.  Where a method
has both they give the same bits; the engine uses the streaming form, tests hold it against the short one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from inspect import getdoc
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

Scalar = bool | int | float | str
Params = Mapping[str, Any]
"""Parameters as resolved for one tensor, by Python name: a scalar each, or a tuple with one scalar per input."""


class _Required:
    def __repr__(self) -> str:
        return "required"


REQUIRED = _Required()
"""The default of a parameter that has none."""


class Param(Struct, frozen=True):
    """A parameter of a method.

    Args:
        name: what the Modelfile calls it.
        kind: bool, int, float or str; an int given for a float is taken as one.
        per: "node" for one value, "input" for one value per input.
        default: its value where the Modelfile gives none, or REQUIRED.
        low: smallest allowed number.
        high: largest allowed number.
        choices: the allowed strings.
        also: other spellings of a value, such as true for "l1".
        arg: the Python argument, where the name cannot be one (`lambda`).
        inert: accepted for the sake of recipes from elsewhere, and without effect.

    """

    name: str
    kind: type
    per: Literal["node", "input"] = "node"
    default: Scalar | _Required = REQUIRED
    low: float = float("-inf")
    high: float = float("inf")
    choices: tuple[str, ...] = ()
    also: tuple[tuple[Scalar, Scalar], ...] = ()
    arg: str = ""
    inert: bool = False

    @property
    def python_name(self) -> str:
        """The keyword argument that carries it."""
        return self.arg or self.name

    def read(self, value: Scalar) -> Scalar:
        """Take a value as written and return it in the parameter's kind.

        Raises:
            ValueError: with the facts, if the value is of another kind or out of range.

        """
        for written, meant in self.also:
            if type(value) is type(written) and value == written:
                return meant
        if self.kind is float and type(value) is int:
            value = float(value)
        if type(value) is not self.kind:
            raise ValueError(f"expected {self.kind_in_words}, found {_shown(value)}")
        if self.choices and value not in self.choices:
            raise ValueError(f"expected one of {', '.join(map(_shown, self.choices))}, found {_shown(value)}")
        if isinstance(value, int | float) and not self.low <= value <= self.high:
            raise ValueError(f"expected {self.kind_in_words} {self.range}, found {value}")
        return value

    @property
    def kind_in_words(self) -> str:
        """What kind of value it has."""
        return _KINDS[self.kind]

    @property
    def range(self) -> str:
        """The values it may have, in words; "" where there is no limit."""
        if self.choices:
            return " | ".join(self.choices)
        if self.low == float("-inf"):
            return "" if self.high == float("inf") else f"at most {self.high:g}"
        return f"at least {self.low:g}" if self.high == float("inf") else f"from {self.low:g} to {self.high:g}"


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}


def _shown(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


Stats = Callable[..., Any]
"""stats(stream, **params) -> state: any small value."""
Apply = Callable[..., None]
"""apply(kernels, inputs, out, state, offset, **params): fill `out`, the place of one chunk, from its inputs, in one call of a kernel."""
Alias = Callable[[Params, int], int | None]
"""alias(params, number of inputs) -> the input whose bytes are the result as they are, or None."""
When = Callable[[Params], bool]
"""when(params) -> whether something is so with these values."""
Surveying = Callable[..., Sequence[float]]
"""take(streams, **params) -> one number or more: see `Survey`."""
Check = Callable[[Params, int], str]
"""check(params, number of inputs) -> what is wrong with these values together, or ""."""


def always(params: Params) -> bool:  # noqa: ARG001 - whatever they are
    """Tell that it is so."""
    return True


def never(params: Params) -> bool:  # noqa: ARG001
    """Tell that it is not."""
    return False


class Survey(Struct, frozen=True, dict=True):
    """What a method has to know of all tensors of a node before it merges one of them: an action of its own, and cached.

    Args:
        name: what it is called.
        take: the function, `f(streams, **params) -> numbers`, of one stream for each tensor; it may run over them often.
        params: names of the method's parameters that it depends on.
        wanted: whether a tensor with these parameters needs it.  Those whose `params` are equal are surveyed together.
        revision: raised by hand whenever its numbers change.

    """

    name: str
    take: Surveying
    params: tuple[str, ...]
    wanted: When
    revision: int


class Method(Struct, frozen=True, dict=True):
    """A merge method, registered under its name in the entry-point group `modelbuild.methods`.

    Args:
        name: what the Modelfile calls it.
        short: the pure function, `f(tensors, **params) -> Tensor`.
        space: "delta" if it merges differences to the base (the engine subtracts and adds it), else "weight".
        base: "required" in delta space; in weight space "first" (one of the inputs, the first where none is named; it
            stands first among them), "optional" (where one is named, it merges differences to it, and its result is one),
            or "none".
        inputs: smallest and largest number of inputs; a base that differences are taken to is not counted.
        params: what it takes.
        revision: raised by hand whenever the bits of its results change.
        numerics: "exact" if its bytes depend on neither threads, chunks nor device.
        random: whether it draws masks; then the seed is part of its key and `streams=` is passed.
        alias: when an input's bytes are the result.
        check: what cannot be computed, said before any work.
        stats: of the streaming form, or None.
        apply: of the streaming form; None if there is none.
        whole: which values need the short form all the same, though others stream.
        survey: what it has to know of all tensors, or None; `stats` finds it in `stream.survey`.
        carries: with which values an element that is NaN or infinite in an input or in the base is so in what the streaming form
            writes, or further elements with it, or else `stats` doubts (`Stream.doubt`): then inputs are looked through only
            where a result is not finite, or in doubt.
        holds: bytes that `stats` leaves for `apply` for each element of each input, of the whole tensor; 0 where no memory grows with it.
        scaled_by: the parameter that multiplies the merged task vector in the end, of a method that is dear to compute; "" for
            none.  The plan takes it out, so that its task vector is kept and another factor costs no other run.

    """

    name: str
    short: Callable[..., Any]
    space: Literal["weight", "delta"]
    base: Literal["required", "first", "optional", "none"]
    inputs: tuple[int, int]
    params: tuple[Param, ...]
    revision: int
    numerics: Literal["exact", "device"] = "exact"
    random: bool = False
    alias: Alias = field(default=lambda params, count: None)
    check: Check = field(default=lambda params, count: "")
    stats: Stats | None = None
    apply: Apply | None = None
    whole: When = never
    survey: Survey | None = None
    carries: When = never
    holds: float = 0.0
    scaled_by: str = ""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the short form."""
        return self.short(*args, **kwargs)

    def streams(self, params: Params) -> bool:
        """Tell whether it is computed in the streaming form."""
        return self.apply is not None and not self.whole(params)

    @property
    def text(self) -> str:
        """What it does, with its formula and its arguments: the docstring of the short form."""
        return getdoc(self.short) or ""

    @property
    def source(self) -> str:
        """The paper, and what differs from it: the docstring of the module."""
        return (sys.modules[self.short.__module__].__doc__ or "").strip()

    def param(self, name: str) -> Param | None:
        """Return the parameter of that name, or None."""
        return next((param for param in self.params if param.name == name), None)

    def streamed(
        self,
        *,
        apply: Apply,
        stats: Stats | None = None,
        whole: When = never,
        survey: Survey | None = None,
        carries: When = never,
        holds: float = 0.0,
    ) -> Method:
        """Return the method with a streaming form as well; see `Method` for the arguments."""
        return replace(self, apply=apply, stats=stats, whole=whole, survey=survey, carries=carries, holds=holds)

    def surveyed(self, survey: Survey) -> Method:
        """Return a method of the short form that knows something of all tensors: its argument `survey`."""
        return replace(self, survey=survey)


def method(
    *,
    space: Literal["weight", "delta"] = "weight",
    base: Literal["first", "optional", "none"] = "none",
    inputs: tuple[int, int] = (1, 1 << 30),
    params: Sequence[Param] = (),
    revision: int,
    numerics: Literal["exact", "device"] = "exact",
    random: bool = False,
    alias: Alias = lambda params, count: None,
    check: Check = lambda params, count: "",
    name: str = "",
    scaled_by: str = "",
) -> Callable[[Callable[..., Any]], Method]:
    """Declare a merge method around its short form; see `Method` for the arguments."""

    def declare(short: Callable[..., Any]) -> Method:
        return Method(
            name or short.__name__,
            short,
            space,
            "required" if space == "delta" else base,
            inputs,
            tuple(params),
            revision,
            numerics,
            random,
            alias,
            check,
            scaled_by=scaled_by,
        )

    return declare

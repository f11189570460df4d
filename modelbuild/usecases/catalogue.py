"""The installed merge methods, as people see them."""

from __future__ import annotations

from msgspec import Struct

from modelbuild.errors import ModelbuildError, Problem, did_you_mean
from modelbuild.method import REQUIRED, Method
from modelbuild.methods import installed, load


class MethodView(Struct, frozen=True):
    """A method as people see it; `params` are (name, kind, scope, default, range)."""

    name: str
    space: str
    base: str
    inputs: tuple[int, int]
    numerics: str
    revision: int
    forms: tuple[str, ...]
    params: tuple[tuple[str, str, str, str, str], ...]
    text: str
    source: str


def methods(name: str) -> tuple[MethodView, ...]:
    """See `modelbuild.usecases.list_methods`."""
    if name and name not in installed():
        raise ModelbuildError(
            Problem(
                f"no merge method is called `{name}`", facts=(f"installed: {', '.join(installed())}",), hint=did_you_mean(name, installed())
            )
        )
    return tuple(_viewed(load(one)) for one in ((name,) if name else installed()))


def _viewed(method: Method) -> MethodView:
    forms = ("streaming", "short") if method.apply else ("short",)
    params = tuple(
        (
            param.name,
            param.kind.__name__,
            param.per,
            "required"
            if param.default is REQUIRED
            else str(param.default).lower()
            if isinstance(param.default, bool)
            else str(param.default),
            param.range,
        )
        for param in method.params
    )
    return MethodView(
        method.name, method.space, method.base, method.inputs, method.numerics, method.revision, forms, params, method.text, method.source
    )

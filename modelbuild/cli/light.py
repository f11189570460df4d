"""Values of options read without pydantic, by which typer reads them: importing it takes as long as a whole null build."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from typer.core import TyperArgument, TyperOption

if TYPE_CHECKING:
    from typer import _click


class Light:
    """Reads what is simple; whatever is not, or is wrong, is left to typer.

    Args:
        parameter: an option or an argument.

    """

    def __init__(self, parameter: TyperArgument | TyperOption) -> None:
        """Keep what typer would read the parameter with; it is not made before it is needed."""
        self._typer = parameter.get_runtime_param
        self._kind: Any = parameter.type_descriptor.annotation
        self._parser = parameter.type_descriptor.parameter_info.parser

    def coerce(self, value: Any, param: TyperArgument | TyperOption, ctx: _click.Context) -> Any:
        """Return a value as the command takes it."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if self._parser is None:
            if value == param.default or self._is_right(value):
                return value
            if self._kind is Path or (self._kind is int and value.isdecimal() and int(value) >= (param.min or 0)):
                return self._kind(value)
        return self._typer().coerce(value, param, ctx)

    def _is_right(self, value: Any) -> bool:
        return self._kind in (str, list[str]) or (get_origin(self._kind) is Literal and value in get_args(self._kind))


def lighten(parameters: Iterable[_click.Parameter]) -> None:
    """Let parameters be read by `Light`, where this typer has a place for it; those that are already stay as they are."""
    for parameter in parameters:
        if (
            isinstance(parameter, TyperArgument | TyperOption)
            and hasattr(parameter, "get_runtime_param")
            and "get_runtime_param" not in vars(parameter)
        ):
            light = Light(parameter)
            parameter.get_runtime_param = lambda light=light: light  # type: ignore[method-assign, misc]

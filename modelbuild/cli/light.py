"""Values of options read without pydantic, by which typer reads them: importing it takes as long as a whole null build."""

from __future__ import annotations

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
        self._kind = parameter.type_descriptor.annotation
        self._parser = parameter.type_descriptor.parameter_info.parser

    def coerce(self, value: Any, param: TyperArgument | TyperOption, ctx: _click.Context) -> Any:
        """Return a value as the command takes it."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if self._parser is None:
            if value == param.default or self._kind is str:
                return value
            if self._kind == list[str]:
                return tuple(value)
            if self._kind is Path:
                return Path(value)
            if get_origin(self._kind) is Literal and value in get_args(self._kind):
                return value
            if self._kind is int and value.isdecimal() and int(value) >= (param.min or 0):
                return int(value)
        return self._typer().coerce(value, param, ctx)


def lighten(command: _click.Command) -> None:
    """Let the parameters of a command be read by `Light`, where this typer has a place for it."""
    for parameter in command.params:
        if isinstance(parameter, TyperArgument | TyperOption) and hasattr(parameter, "get_runtime_param"):
            light = Light(parameter)
            parameter.get_runtime_param = lambda light=light: light  # type: ignore[method-assign, assignment, misc]

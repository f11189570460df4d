"""The commands by name, imported on use, and the options that all of them have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

import modelbuild
from modelbuild.cli import completion, endings
from modelbuild.cli.common import Colour, Common
from modelbuild.cli.light import lighten

if TYPE_CHECKING:
    from typer import _click
    from typer.core import TyperArgument, TyperOption

COMMANDS: Mapping[str, str] = {
    "build": "Bring targets up to date.",
    "watch": "Build again whenever the Modelfile is saved.",
    "status": "Say of each target whether it is fresh, or stale and why.",
    "explain": "Say why tensors are, or would be, rebuilt.",
    "why": "Show a path in the graph from A to B, which rests on it.",
    "log": "List past builds, or show one whole.",
    "diff": "Compare two models: recipes, then what differs of the tensors.",
    "restore": "Make outputs of a past build again.",
    "show": "Show targets tensor by tensor.",
    "graph": "Draw the graph of merges.",
    "report": "Write one HTML file of what a merge changed, and where.",
    "methods": "Show the installed methods, or one in full.",
    "lock": "Resolve sources to commits and digests in the lock.",
    "verify": "Hold lock, sources and outputs against their digests.",
    "test": "Run the checks of targets.",
    "compare": "Put models side by side by the scores of checks.",
    "search": "Choose parameters, or a soup's ingredients, by checks.",
    "fetch": "Bring here what targets read of the hub, ahead of a build.",
    "card": "Show the model card that `push` publishes.",
    "push": "Publish a target on a hub, in one commit.",
    "clean": "Remove outputs that modelbuild made.",
    "cache": "See what the cache holds, and keep it small and sound.",
    "init": "Write a first Modelfile, to be changed.",
    "import": "Read mergekit configurations as a Modelfile.",
    "export": "Write merges as mergekit configurations.",
    "schema": "Print the JSON Schema of a Modelfile, for editors.",
    "doctor": "Look at environment, cache, devices and Modelfile.",
}
"""In the order of the help, with the first sentence of theirs, so that a list imports none; each is a module of this package with a
function, or a group, of its name."""


class Commands(TyperGroup):
    """The group of all commands, each imported when it is asked for."""

    def list_commands(self, ctx: _click.Context) -> list[str]:  # noqa: ARG002 - typer passes it
        """Return their names."""
        return list(COMMANDS)

    def get_command(self, ctx: _click.Context, cmd_name: str) -> _click.Command | None:
        """Import a command, and give it the options that all have."""
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            own = cmd_name + "_" * iskeyword(cmd_name)
            function = getattr(import_module(f"modelbuild.cli.{own}"), own)
            app = function if isinstance(function, typer.Typer) else typer.Typer(add_completion=False, rich_markup_mode=None)
            if app is not function:
                app.command(cmd_name)(function)
            command = self.commands[cmd_name] = get_command(app)
            for one in _all(command):
                one.params += self._shared()
                lighten(one.get_params(ctx))
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: _click.Context, formatter: _click.HelpFormatter) -> None:  # noqa: ARG002 - typer passes it
        """List the commands for the help, without importing them."""
        limit = formatter.width - 6 - max(map(len, COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl([(name, TyperCommand(name, help=text).get_short_help_str(limit)) for name, text in COMMANDS.items()])

    def get_params(self, ctx: _click.Context) -> list[_click.Parameter]:
        """Return the options that stand before a command."""
        params = super().get_params(ctx)
        lighten(params)
        return params

    def resolve_command(self, ctx: _click.Context, args: list[str]) -> tuple[str | None, _click.Command | None, list[str]]:
        """Find the command; for one that is misspelt all are imported, so that the nearest can be named."""
        if args[0] not in COMMANDS:
            for name in COMMANDS:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: _click.Context) -> Any:
        """Run a command; how it was interrupted is ours to say."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, OSError) as error:
            raise typer.Exit(endings.tell(error, ctx.obj, ctx.invoked_subcommand or "")) from None

    def _shared(self) -> list[TyperArgument | TyperOption]:
        return [param for param in self.params if param.name in Common.NAMES]  # type: ignore[misc]


def _all(command: _click.Command) -> Iterator[_click.Command]:
    """Yield a command, and those of a group."""
    yield command
    for one in command.commands.values() if isinstance(command, TyperGroup) else ():
        yield from _all(one)


def _keep(context: typer.Context, parameter: typer.CallbackParam, value: object) -> None:
    """Note a common option, which may stand before or after the command."""
    if value and parameter.name:
        setattr(context.obj, parameter.name, value)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"modelbuild {modelbuild.__version__}")
        raise typer.Exit


_FILE = typer.Option("--file", "-f", metavar="FILE", help="The Modelfile; default Modelfile.toml.", callback=_keep, expose_value=False)
_DIRECTORY = typer.Option("--directory", "-C", metavar="DIR", help="Where the Modelfile is.", callback=_keep, expose_value=False)
_QUIET = typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.", callback=_keep, expose_value=False)
_VERBOSE = typer.Option("--verbose", "-v", help="Say more: a line for every action.", callback=_keep, expose_value=False)
_COLOUR = typer.Option("--color", help="When to use colour; default auto.", callback=_keep, expose_value=False)
_DEBUG = typer.Option("--debug", help="Show the traceback of an error.", callback=_keep, expose_value=False)


def _common(
    file: Annotated[Path | None, _FILE] = None,
    directory: Annotated[Path | None, _DIRECTORY] = None,
    quiet: Annotated[bool, _QUIET] = False,
    verbose: Annotated[bool, _VERBOSE] = False,
    color: Annotated[Colour | None, _COLOUR] = None,
    debug: Annotated[bool, _DEBUG] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)] = False,
) -> None:
    """Make for model merging: declared graphs of merges, built tensor by tensor through a content-hash cache."""


def program() -> TyperGroup:
    """Return the group of all commands; none of them is imported yet."""
    app = typer.Typer(
        cls=Commands,
        add_completion=True,
        rich_markup_mode=None,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_common)
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    return command


def run(arguments: Sequence[str] | None, common: Common) -> None:
    """Run the command that the arguments name; always ends in an exception, SystemExit where a command had its say."""
    command = program()
    completion.prepare()
    command(args=None if arguments is None else list(arguments), prog_name="modelbuild", obj=common)

"""Completion in a shell: what typer does, and what it leaves to the program."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from modelbuild.usecases.completing import Kind

VARIABLE = "_MODELBUILD_COMPLETE"
"""What the script in the shell sets when it asks."""

_BREAKS = "@="
"""What bash takes for words of their own, and names of variants have inside."""


def completed(kind: Kind) -> Callable[[typer.Context, str], list[str]]:
    """Return what completes a word to names of a kind."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        from modelbuild import usecases as use_cases

        if kind == "sources" and "=" in incomplete:
            return []  # a path or a revision: no name
        return [one for one in use_cases.names(ctx.find_root().obj.where(), kind) if one.startswith(incomplete)]

    return complete


def prepare() -> None:
    """Let typer complete as fast as it can, and bash as far as it breaks words; where this typer has no place for it, it is as it is."""
    if not os.environ.get(VARIABLE):
        return
    try:
        from typer import _completion_classes as classes
        from typer._click.shell_completion import CompletionItem, add_completion_class
    except ImportError:
        return

    if hasattr(classes, "_sanitize_help_text"):
        classes._sanitize_help_text = lambda text: text  # noqa: SLF001 - it would import rich, to take colours away that no help text here has

    class Bash(classes.BashComplete):
        """bash gives `x@t=0.3` as the words x, @, t, = and 0.3, and puts the answer in place of what stands after `=`, or from `@` on."""

        def get_completion_args(self) -> tuple[list[str], str]:
            args, incomplete = super().get_completion_args()
            self.kept = ""
            words: list[str] = []
            for word in (*args, incomplete):
                glued = words and ((word[:1] in _BREAKS and word) or (words[-1][-1:] in _BREAKS and words[-1]))
                if glued:
                    words[-1] += word
                else:
                    words.append(word)
            whole = words.pop()
            self.kept = (whole if incomplete == "=" else whole.removesuffix(incomplete)).removesuffix("@")
            return words, whole

        def format_completion(self, item: CompletionItem) -> str:
            return super().format_completion(item).removeprefix(self.kept)

    add_completion_class(Bash, "bash")

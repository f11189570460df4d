"""mergekit's configurations taken over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modelbuild import files, mergekit
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.graph import bind
from modelbuild.modelfile.parse import parse


def import_mergekit(configurations: Sequence[Path], output: Path | None) -> tuple[str, tuple[str, ...]]:
    """See `modelbuild.build.import_mergekit`."""
    found = mergekit.imported(configurations)
    listed = ", ".join(path.name for path in configurations)
    text = mergekit.written(found.sections, [f"Imported from {listed}.", *found.notes])
    bind(parse(output or Path("Modelfile.toml"), text))
    if output is not None:
        try:
            files.write_new(output, text.encode())
            files.sync_directory(output.parent)
        except FileExistsError:
            problem = Problem(f"`{output}` exists already", hint="name another file, or remove it")
            raise ModelbuildError(problem, Exit.USAGE) from None
    return text, found.notes

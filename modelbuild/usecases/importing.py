"""mergekit's configurations taken over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modelbuild import files, mergekit
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.graph import bind


def import_mergekit(configurations: Sequence[Path], output: Path | None, root: Path) -> tuple[str, tuple[str, ...]]:
    """See `modelbuild.usecases.import_mergekit`."""
    bind(mergekit.read(configurations, root))
    found = mergekit.imported(configurations, root, output.parent if output else root)
    listed = ", ".join(path.name for path in configurations)
    text = mergekit.written(found.document, [f"Imported from {listed}.", *found.notes])
    if output is not None:
        try:
            files.write_new(output, text.encode())
            files.sync_directory(output.parent)
        except FileExistsError:
            problem = Problem(f"`{output}` exists already", hint="name another file, or remove it")
            raise ModelbuildError(problem, Exit.USAGE) from None
    return text, found.notes

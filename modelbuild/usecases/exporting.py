"""A Modelfile in mergekit's words."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelbuild import files, mergekit
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.graph import bind, select
from modelbuild.usecases.where import is_configuration, modelfile_at

if TYPE_CHECKING:
    from modelbuild.graph import Graph
    from modelbuild.usecases.where import Where


def export_mergekit(
    where: Where, targets: Sequence[str], output: Path | None, seen_from: Path
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """See `modelbuild.usecases.export_mergekit`."""
    graph = bind(modelfile_at(where))
    chosen = select(graph.modelfile, targets) or graph.default
    if output is None or is_configuration(output.name):
        wanted = [(output, chosen)]
    else:
        wanted = [(output / f"{name}.yml", (name,)) for name in chosen]
    told = [(path, *_told(where, graph, names, seen_from)) for path, names in wanted]
    for path, text, _ in told:
        if path is not None:
            _write(path, text)
    notes = tuple(dict.fromkeys(note for _, _, notes in told for note in notes))
    return tuple((str(path or ""), text) for path, text, _ in told), notes


def _told(where: Where, graph: Graph, targets: tuple[str, ...], seen_from: Path) -> tuple[str, tuple[str, ...]]:
    """Return the text of a file that makes some targets."""
    away = os.path.relpath(where.root, seen_from)
    final = targets[0] if len(targets) == 1 else ""
    found = mergekit.exported(graph.modelfile, graph.upstream(targets), final, "" if away == "." else f"{away}/")
    kind = "mergekit-moe" if "experts" in found.documents[-1] else "mergekit-yaml" if len(found.documents) == 1 else "mergekit-multi"
    head = [f"Exported from {where.file.name} for {kind}.", *found.notes]
    return "".join(f"# {line}\n" for line in head) + _yaml(found.documents), found.notes


def _yaml(documents: tuple[dict[str, Any], ...]) -> str:
    import yaml

    return "---\n".join(yaml.safe_dump(one, sort_keys=False, allow_unicode=True, width=140, default_flow_style=None) for one in documents)


def _write(path: Path, text: str) -> None:
    files.make_directory(path.parent)
    try:
        files.write_new(path, text.encode())
    except FileExistsError:
        raise ModelbuildError(Problem(f"`{path}` exists already", hint="name another file, or remove it"), Exit.USAGE) from None

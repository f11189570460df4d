"""The names that a shell may complete a word to.  Imports nothing heavy, and says nothing where a Modelfile is not sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import tomli

from modelbuild.modelfile.locate import Locator
from modelbuild.modelfile.sweep import points, size, variant
from modelbuild.modelfile.variables import substitute
from modelbuild.reading import TEXT, read_small
from modelbuild.usecases.where import Where

Kind = Literal["targets", "sources", "methods", "templates"]

_MOST = 2_000
"""Variants that are named."""


def names(where: Where, kind: Kind) -> tuple[str, ...]:
    """See `modelbuild.usecases.names`."""
    if kind == "methods":
        from modelbuild.methods import installed

        return tuple(installed())
    if kind == "templates":
        from modelbuild.usecases.templates import TEMPLATES

        return tuple(TEMPLATES)
    try:
        text = read_small(where.file, TEXT).decode("utf-8-sig")
        document, _ = substitute(tomli.loads(text), Locator(str(where.file), text))
        found = _targets(document) if kind == "targets" else document.get("source", {})
        return tuple(dict.fromkeys(found))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):  # none, or none that is sound: a build will say so
        return ()


def _targets(document: Mapping[str, Any]) -> Iterator[str]:
    for name, merge in document.get("merge", {}).items():
        yield name
        matrix = merge.get("matrix")
        if isinstance(matrix, dict) and size(matrix) <= _MOST:
            yield from (variant(name, point) for point in points(matrix))
    yield from document.get("group", {})

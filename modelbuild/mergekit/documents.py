"""YAML documents with the places of their keys: only what JSON could say as well is read, and nothing is made of tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelbuild.errors import Exit, ModelbuildError, Place, Problem
from modelbuild.names import KeyPath, dotted, plain
from modelbuild.reading import YAML, Unfit, read_small

_MOST = 20_000
"""Keys and entries of a document: an alias costs a few bytes and repeats whatever it stands for."""

_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge"))


@dataclass(frozen=True)
class Document:
    """One document of a file.

    Args:
        file: the file's name, as the user wrote it.
        table: what it says.
        places: line and column of each key and entry.

    """

    file: Path
    table: Mapping[str, Any]
    places: Mapping[KeyPath, Place]

    def problem(self, what: str, path: KeyPath, facts: tuple[str, ...] = (), hint: str = "") -> Problem:
        """Word a problem at a key."""
        return Problem(what, at=dotted(path), place=self.places.get(path), facts=facts, hint=hint)


def documents(file: Path) -> tuple[Document, ...]:
    """Read the documents of a file.

    Raises:
        ModelbuildError: exit 2 if it is no YAML, or a document is no table; 5 if there is no such file.

    """
    import yaml

    found = []
    try:
        for node in yaml.compose_all(read_small(file, YAML).decode(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            places: dict[KeyPath, Place] = {}
            found.append(Document(file, _read(node, (), file, places), places))
    except FileNotFoundError:
        raise ModelbuildError(Problem(f"there is no `{file}`", hint="name a mergekit configuration"), Exit.SOURCE) from None
    except (yaml.YAMLError, Unfit, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = Place(str(file), mark.line + 1, mark.column + 1) if mark else None
        fact = plain(str(getattr(error, "problem", error)), 200)
        raise ModelbuildError(Problem(f"`{file}` is no YAML", place=place, facts=(fact,), hint="mend it there")) from None
    if not found or not all(isinstance(document.table, dict) for document in found):
        raise ModelbuildError(Problem(f"`{file}` is no mergekit configuration", facts=("a document in it is no table of keys",)))
    return tuple(found)


def _read(node: Any, path: KeyPath, file: Path, places: dict[KeyPath, Place]) -> Any:
    import yaml

    if len(places) > _MOST:
        raise ValueError(f"it has more than {_MOST} keys and entries, those that aliases repeat included")
    places.setdefault(path, Place(str(file), node.start_mark.line + 1, node.start_mark.column + 1))
    if node.tag not in _TAGS:
        raise yaml.constructor.ConstructorError(None, None, f"the tag {node.tag} makes more than text and numbers", node.start_mark)
    if isinstance(node, yaml.MappingNode):
        table = {}
        for key, value in node.value:
            name = str(key.value)
            places[*path, name] = Place(str(file), key.start_mark.line + 1, key.start_mark.column + 1)
            table[name] = _read(value, (*path, name), file, places)
        return table
    if isinstance(node, yaml.SequenceNode):
        return [_read(one, (*path, i), file, places) for i, one in enumerate(node.value)]
    return yaml.SafeLoader("").construct_object(node, deep=True)

"""YAML documents with the places of their keys: only what JSON could say as well is read, and nothing is made of tags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from modelbuild.errors import Exit, ModelbuildError, Place, Problem
from modelbuild.names import KeyPath, dotted, plain
from modelbuild.reading import YAML, Unfit, read_small

_MOST = 20_000
"""Keys and entries of a document: an alias costs a few bytes and repeats whatever it stands for."""

_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge"))
_MERGE = "tag:yaml.org,2002:merge"


class Document(Struct, frozen=True, dict=True):
    """One document of a file.

    Args:
        file: the file's name, as the user wrote it.
        table: what it says.
        places: line and column of each key and entry.
        doubles: keys that stand in their table twice.

    """

    file: Path
    table: Mapping[str, Any]
    places: Mapping[KeyPath, Place]
    doubles: tuple[KeyPath, ...] = ()

    def place(self, path: KeyPath) -> Place:
        """Return where a key stands, or what it would stand in."""
        known = next((path[:end] for end in range(len(path), -1, -1) if path[:end] in self.places), ())
        return self.places[known]

    def problem(self, what: str, path: KeyPath, facts: tuple[str, ...] = (), hint: str = "") -> Problem:
        """Word a problem at a key."""
        return Problem(what, at=dotted(path), place=self.place(path), facts=facts, hint=hint)


def documents(file: Path) -> tuple[Document, ...]:
    """Read the documents of a file.

    Raises:
        ModelbuildError: exit 2 if it is no YAML, or a document is no table; 5 if there is no such file.

    """
    import yaml

    try:
        nodes = yaml.compose_all(read_small(file, YAML).decode(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        found = tuple(_Reader(file).document(node) for node in nodes)
    except FileNotFoundError:
        raise ModelbuildError(Problem(f"there is no `{file}`", hint="name a mergekit configuration"), Exit.SOURCE) from None
    except IsADirectoryError:
        raise ModelbuildError(Problem(f"`{file}` is a directory", hint="name a mergekit configuration")) from None
    except (yaml.YAMLError, Unfit, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = Place(str(file), mark.line + 1, mark.column + 1) if mark else None
        fact = plain(str(getattr(error, "problem", error)), 200)
        refused = isinstance(error, yaml.constructor.ConstructorError | Unfit | RecursionError)
        what = f"`{file}` is no {'mergekit configuration' if refused else 'YAML'}"
        raise ModelbuildError(Problem(what, place=place, facts=(fact,), hint="mend it there")) from None
    if not found or not all(isinstance(document.table, dict) for document in found):
        raise ModelbuildError(
            Problem(f"`{file}` is no mergekit configuration", facts=("a document in it is no table of keys",), hint="name another file")
        )
    return found


class _Reader:
    """Reads the documents of one file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.places: dict[KeyPath, Place] = {}
        self.doubles: list[KeyPath] = []
        self.count = 0

    def document(self, node: Any) -> Document:
        self.places, self.doubles, self.count = {}, [], 0
        table = self.value(node, ())
        return Document(self.file, table, self.places, tuple(self.doubles))

    def place(self, mark: Any) -> Place:
        return Place(str(self.file), mark.line + 1, mark.column + 1)

    def refuse(self, what: str, mark: Any) -> Exception:
        import yaml

        error: Exception = yaml.constructor.ConstructorError(None, None, what, mark)
        return error

    def value(self, node: Any, path: KeyPath) -> Any:
        import yaml

        self.count += 1
        if self.count > _MOST:
            raise self.refuse(f"it has more than {_MOST} keys and entries, those that aliases repeat included", node.start_mark)
        self.places.setdefault(path, self.place(node.start_mark))
        if node.tag not in _TAGS:
            raise self.refuse(f"the tag {node.tag} makes more than text and numbers", node.start_mark)
        if isinstance(node, yaml.MappingNode):
            return self.table(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(one, (*path, i)) for i, one in enumerate(node.value)]
        return yaml.SafeLoader("").construct_object(node, deep=True)

    def table(self, node: Any, path: KeyPath) -> dict[str, Any]:
        """Read a table; what `<<` merges into it gives way to its own keys."""
        table: dict[str, Any] = {}
        merged = [one for key, value in node.value if key.tag == _MERGE for one in self.merged(value)]
        for key, value, own in [*((key, value, False) for key, value in merged), *((key, value, True) for key, value in node.value)]:
            if own and key.tag == _MERGE:
                continue
            name = str(key.value)
            at = (*path, name)
            if own and name in table and not any(name == str(one.value) for one, _ in merged):
                self.doubles.append(at)
            self.places[at] = self.place(key.start_mark)
            table[name] = self.value(value, at)
        return table

    def merged(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Yield the keys and values that `<<` merges: those of the first table last, for it goes before the others."""
        import yaml

        tables = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for table in reversed(tables):
            if not isinstance(table, yaml.MappingNode):
                raise self.refuse("`<<` merges tables, and this is none", table.start_mark)
            yield from (one for key, value in table.value if key.tag == _MERGE for one in self.merged(value))
            yield from ((key, value) for key, value in table.value if key.tag != _MERGE)

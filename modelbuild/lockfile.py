"""The lock: what a Modelfile resolved to, as TOML that is written the same every time, one line for one thing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli
from msgspec import Struct, field

from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.names import is_file_name, plain
from modelbuild.reading import LOCK, Unfit, read_small

VERSION = 1
"""The version of the format that this program reads and writes."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_HEX = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}|")


class LockedFile(Struct, frozen=True):
    """A file as it was: bytes, and sha256 of the content."""

    size: int
    sha256: str


class LockedSource(Struct, frozen=True):
    """A source as it was.

    Args:
        location: `from`, as the Modelfile had it.
        commit: of a repository on the hub; "" of what lies here.
        root: Merkle root over (name, dtype, shape, digest) of the tensors in its weight files; "" where they have not been read.
        files: those that some merge reads, by name.

    """

    location: str
    commit: str = ""
    root: str = ""
    files: Mapping[str, LockedFile] = field(default_factory=dict)


class LockedMerge(Struct, frozen=True):
    """A merge as it was.

    Args:
        graph: hash of what it computes of its inputs, called by their names.
        seed: of a method that draws random masks; -1 where nothing is drawn.
        root: Merkle root over (name, dtype, shape, digest) of its output's tensors; "" where it has not been built.
        files: of its output, by name.

    """

    graph: str
    seed: int = -1
    root: str = ""
    files: Mapping[str, LockedFile] = field(default_factory=dict)


class LockedTrial(Struct, frozen=True):
    """A candidate of a search: what was set, and its score in each objective."""

    edits: tuple[str, ...]
    scores: tuple[float, ...]


class LockedSearch(Struct, frozen=True):
    """What a search came to.

    Args:
        definition: hash of what was searched, and by what.
        winner: the number of the trial that won.
        trail: every trial, in order.

    """

    definition: str
    winner: int
    trail: tuple[LockedTrial, ...]

    @property
    def edits(self) -> tuple[str, ...]:
        """What the winner sets."""
        return self.trail[self.winner].edits


class Lock(Struct, frozen=True):
    """A whole lock.

    Args:
        methods: revision and numerics class, by name.
        sources: by name.
        merges: by name.
        searches: by name, those of soups by the name of their merge.

    """

    methods: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    sources: Mapping[str, LockedSource] = field(default_factory=dict)
    merges: Mapping[str, LockedMerge] = field(default_factory=dict)
    searches: Mapping[str, LockedSearch] = field(default_factory=dict)

    def root_of(self, merge: str) -> str:
        """Return the digest over a merge's tensors; "" where the lock does not tell."""
        return self.merges[merge].root if merge in self.merges else ""


def read(path: Path) -> Lock | None:
    """Read the lock at `path`; None where there is none.

    Raises:
        ModelbuildError: exit 3 if it is of a newer format, or no lock.

    """
    try:
        return parse(path, read_small(path, LOCK))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Unfit as error:
        raise _unsound(path, str(error)) from None


def parse(path: Path, data: bytes) -> Lock:
    """Parse the bytes of a lock; `path` is what errors call it.

    Raises:
        ModelbuildError: exit 3 if it is of a newer format, or no lock.

    """
    try:
        table = tomli.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise _unsound(path, str(error)) from None
    version = table.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ModelbuildError(
            Problem(f"`{path}` is a lock of version {version}, and this modelbuild knows version {VERSION}", hint="use a newer modelbuild"),
            Exit.LOCK,
        )
    try:
        return _lock(table)
    except KeyError as error:
        raise _unsound(path, f"it lacks `{error.args[0]}`") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise _unsound(path, str(error)) from None


def _unsound(path: Path, fact: str) -> ModelbuildError:
    hint = "take it back from version control; or remove it, and run `modelbuild lock`"
    return ModelbuildError(Problem(f"`{path}` is no sound lock", facts=(plain(fact, 200),), hint=hint), Exit.LOCK)


def _lock(table: Mapping[str, Any]) -> Lock:
    _only(table, "version", "method", "source", "merge", "search")
    if _of(int, table["version"]) != VERSION:
        raise ValueError(f"`version` is {table['version']}")
    return Lock(
        {name: _method(entry) for name, entry in _section(table, "method").items()},
        {name: _source(entry) for name, entry in _section(table, "source").items()},
        {name: _merge(entry) for name, entry in _section(table, "merge").items()},
        {name: _search(entry) for name, entry in _section(table, "search").items()},
    )


def _method(entry: Mapping[str, Any]) -> tuple[int, str]:
    _only(entry, "revision", "numerics")
    return _of(int, entry["revision"]), _of(str, entry["numerics"])


def _source(entry: Mapping[str, Any]) -> LockedSource:
    _only(entry, "from", "commit", "root", "files")
    return LockedSource(_of(str, entry["from"]), _digest(entry.get("commit", "")), _digest(entry.get("root", "")), _files(entry))


def _merge(entry: Mapping[str, Any]) -> LockedMerge:
    _only(entry, "graph", "seed", "root", "files")
    return LockedMerge(_digest(entry["graph"]), _of(int, entry.get("seed", -1)), _digest(entry.get("root", "")), _files(entry))


def _search(entry: Mapping[str, Any]) -> LockedSearch:
    _only(entry, "definition", "winner", "trail")
    trail = tuple(_trial(one) for one in _of(list, entry["trail"]))
    winner = _of(int, entry["winner"])
    if not 0 <= winner < len(trail):
        raise ValueError(f"`winner` is {winner}, of {len(trail)} trials")
    return LockedSearch(_digest(entry["definition"]), winner, trail)


def _trial(entry: Mapping[str, Any]) -> LockedTrial:
    _only(entry, "scores", "set")
    scores = tuple(float(_of(float, score)) for score in _of(list, entry["scores"]))
    return LockedTrial(tuple(_of(str, one) for one in _of(list, entry["set"])), scores)


def _files(entry: Mapping[str, Any]) -> Mapping[str, LockedFile]:
    held = _section(entry, "files")
    for one in held.values():
        _only(one, "size", "sha256")
    return {_name(name): LockedFile(_of(int, one["size"]), _digest(one["sha256"])) for name, one in held.items()}


def _section(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = table.get(name, {})
    if not isinstance(section, dict):
        raise TypeError(f"`{name}` is {section!r} and no table")
    return section


def _only(table: Mapping[str, Any], *known: str) -> None:
    if not isinstance(table, dict):
        raise TypeError(f"{table!r} stands where a table should")
    unknown = sorted(table.keys() - set(known))
    if unknown:
        raise ValueError(f"`{unknown[0]}` is no key of a lock")


def _of(kind: type[Any], value: object) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _name(text: str) -> str:
    """Return a file's name: what leads elsewhere is none, and what is locked is read."""
    if not is_file_name(text):
        raise ValueError(f"`{plain(text)}` is no name of a file")
    return text


def _digest(value: object) -> str:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise ValueError(f"{value!r} is no digest")
    return value


def to_text(lock: Lock) -> str:
    """Write a lock: sorted, without times and absolute paths."""
    return "\n".join(_lines(lock)) + "\n"


def _lines(lock: Lock) -> Iterator[str]:
    yield "# Written by `modelbuild lock` and `modelbuild build`, and read by them.  Keep it in version control."
    yield f"version = {VERSION}"
    for name, (revision, numerics) in sorted(lock.methods.items()):
        yield ""
        yield f"[method.{_key(name)}]"
        yield f"revision = {revision}"
        yield f"numerics = {_text(numerics)}"
    for name, source in sorted(lock.sources.items()):
        yield ""
        yield f"[source.{_key(name)}]"
        yield f"from = {_text(source.location)}"
        yield from _given(source, "commit", "root")
        yield from _file_lines(f"source.{_key(name)}", source.files)
    for name, merge in sorted(lock.merges.items()):
        yield ""
        yield f"[merge.{_key(name)}]"
        yield f"graph = {_text(merge.graph)}"
        if merge.seed >= 0:
            yield f"seed = {merge.seed}"
        yield from _given(merge, "root")
        yield from _file_lines(f"merge.{_key(name)}", merge.files)
    for name, search in sorted(lock.searches.items()):
        yield ""
        yield f"[search.{_key(name)}]"
        yield f"definition = {_text(search.definition)}"
        yield f"winner = {search.winner}"
        yield "trail = ["
        for trial in search.trail:
            scores = ", ".join(repr(float(score)) for score in trial.scores)
            yield f"  {{ scores = [{scores}], set = [{', '.join(map(_text, trial.edits))}] }},"
        yield "]"


def _given(one: LockedSource | LockedMerge, *names: str) -> Iterator[str]:
    for name in names:
        value = getattr(one, name)
        if value:
            yield f"{name} = {_text(value)}"


def _file_lines(at: str, files: Mapping[str, LockedFile]) -> Iterator[str]:
    if files:
        yield f"[{at}.files]"
    for name, file in sorted(files.items()):
        yield f"{_text(name)} = {{ size = {file.size}, sha256 = {_text(file.sha256)} }}"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


_text: Callable[[str], str] = json.dumps
"""Of what a name or a path may hold, JSON and TOML write the same."""

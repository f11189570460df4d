"""A disk that loses power: the log of a build's operations, played out with some of what was never synced lost, torn or out of order.

What is promised here is less than any file system of today promises.  A write is on disk when its file was synced after it; a name is
there, given, moved or gone, when its directory was synced after that.  Everything else may have happened or not, each for itself,
in any order but that of changes of one name; a rename alone is one thing, unless `split`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from modelbuild.files import Operation
from modelbuild.files.door import AT_END

NEVER = 1 << 60
SECTOR = 512

Entry = tuple[int, str, int]
"""A directory, a name in it, and the node that has it; 0 where nothing has it any more."""


@dataclass
class Node:
    """A file or a directory."""

    is_directory: bool
    mode: int = 0o644
    data: bytearray = field(default_factory=bytearray)
    names: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Node:
        return Node(self.is_directory, self.mode, bytearray(self.data), dict(self.names))


@dataclass
class Effect:
    """What an operation did: names given and taken, bytes written, or a size.

    Args:
        at: the number of the operation.
        entries: all of them at once.
        node: the file whose bytes these are, 0 where it is about names.
        offset: where.
        data: which.
        size: at least this many bytes afterwards.
        mode: permissions, where they change.
        safe: the number of the operation that brought it to disk.

    """

    at: int
    entries: tuple[Entry, ...] = ()
    node: int = 0
    offset: int = 0
    data: bytes = b""
    size: int = 0
    mode: int = -1
    safe: int = NEVER


class Disk:
    """A directory as it was, all of it on disk, and everything that was done to it since."""

    def __init__(self, root: Path, skipped: Path) -> None:
        """Read a directory; what is in `skipped` is left out."""
        self.root, self._skipped = root, skipped
        self.nodes: dict[int, Node] = {}
        self.effects: list[Effect] = []
        self._first: dict[int, Node] = {}
        self._seen: dict[tuple[int, int], int] = {}
        self._read(root)
        self._first = {number: node.copy() for number, node in self.nodes.items()}
        self.length = 0

    def _new(self, *, is_directory: bool, mode: int = 0o644) -> int:
        number = len(self.nodes) + 1
        self.nodes[number] = Node(is_directory, mode)
        if self._first:
            self._first[number] = Node(is_directory, mode)
        return number

    def _read(self, path: Path) -> int:
        status = path.lstat()
        key = status.st_dev, status.st_ino
        if key not in self._seen:
            number = self._seen[key] = self._new(is_directory=path.is_dir(), mode=status.st_mode & 0o777)
            if path.is_dir():
                for entry in sorted(path.iterdir()):
                    if entry != self._skipped:
                        self.nodes[number].names[entry.name] = self._read(entry)
            else:
                self.nodes[number].data[:] = path.read_bytes()
        return self._seen[key]

    def _find(self, path: Path) -> int:
        number = 1
        for name in path.relative_to(self.root).parts:
            number = self.nodes[number].names.get(name, 0)
            if not number:
                return 0
        return number

    def do(self, operation: Operation) -> None:
        """Do an operation, and note its effects."""
        at, self.length = self.length, self.length + 1
        if self.root not in operation.path.parents or self._skipped in (operation.path, *operation.path.parents):
            if operation.kind == "sync_directory" and operation.path == self.root:
                self._names_are_safe(1, at)
            return
        for effect in self._effects(at, operation):
            self.effects.append(effect)
            _apply(self.nodes, effect)

    def _effects(self, at: int, operation: Operation) -> Iterator[Effect]:  # noqa: C901, PLR0912 - one case for each kind
        path, node, parent = operation.path, self._find(operation.path), self._find(operation.path.parent)
        source = self._find(operation.source) if operation.source else 0
        match operation.kind:
            case "create" | "lock" | "make_directory":
                if not node:
                    made = self._new(
                        is_directory=operation.kind == "make_directory", mode=0o755 if operation.kind == "make_directory" else 0o644
                    )
                    yield Effect(at, ((parent, path.name, made),))
            case "write" | "append":
                offset = len(self.nodes[node].data) if operation.offset == AT_END else operation.offset
                yield Effect(at, node=node, offset=offset, data=bytes(operation.data))
            case "clone":
                yield Effect(at, node=node, data=bytes(self.nodes[source].data))
            case "allocate" | "truncate":
                yield Effect(at, node=node, size=operation.size)
            case "set_mode":
                yield Effect(at, node=node, mode=operation.size)
            case "hardlink":
                yield Effect(at, ((parent, path.name, source),))
            case "rename":
                assert operation.source
                yield Effect(at, ((parent, path.name, source), (self._find(operation.source.parent), operation.source.name, 0)))
            case "exchange":
                assert operation.source
                yield Effect(at, ((parent, path.name, source), (self._find(operation.source.parent), operation.source.name, node)))
            case "unlink" | "remove_directory":
                yield Effect(at, ((parent, path.name, 0),))
            case "sync":
                for effect in self.effects:
                    if effect.node == node:
                        effect.safe = min(effect.safe, at)
            case "sync_directory":
                self._names_are_safe(node, at)
            case "touch":
                pass
            case other:
                raise AssertionError(other)

    def _names_are_safe(self, directory: int, at: int) -> None:
        for effect in self.effects:
            if effect.entries and effect.entries[0][0] == directory:
                effect.safe = min(effect.safe, at)

    def after(self, last: int, choice: str, drawn: random.Random) -> dict[int, Node]:
        """Return what may stand on disk where power is lost after operation `last`.

        Args:
            last: the number of the last operation that was done.
            choice: of what was not synced: "dropped", "kept", "names" without bytes, "torn" bytes, or "reordered" and split.
            drawn: decides.

        """
        nodes = {number: node.copy() for number, node in self._first.items()}
        for effect in self.effects:
            if effect.at > last:
                break
            if effect.safe <= last:
                _apply(nodes, effect)
            else:
                for part in _survivors(effect, choice, drawn):
                    _apply(nodes, part)
        return nodes

    def write(self, nodes: dict[int, Node]) -> None:
        """Make the directory what the disk holds."""
        made: dict[int, Path] = {}
        self.root.mkdir()
        _write(nodes, 1, self.root, made)


def _survivors(effect: Effect, choice: str, drawn: random.Random) -> Iterator[Effect]:  # noqa: C901 - one case for each choice
    """Yield what gets to disk of an effect that nobody waited for."""
    is_name = bool(effect.entries)
    match choice:
        case "kept":
            yield effect
        case "names" if is_name:
            yield effect
        case "torn" if is_name:
            yield effect
        case "torn":
            if effect.data:
                yield from _torn(effect, drawn)
            elif drawn.random() < 0.5:
                yield effect
        case "reordered" if is_name:
            if len({entry[0] for entry in effect.entries}) > 1:
                yield from (Effect(effect.at, (entry,)) for entry in effect.entries if drawn.random() < 0.5)
            elif drawn.random() < 0.5:
                yield effect
        case "reordered":
            if drawn.random() < 0.5:
                yield effect


def _torn(effect: Effect, drawn: random.Random) -> Iterator[Effect]:
    for start in range(0, len(effect.data), SECTOR):
        if drawn.random() < 0.5:
            yield Effect(effect.at, node=effect.node, offset=effect.offset + start, data=effect.data[start : start + SECTOR])


def _apply(nodes: dict[int, Node], effect: Effect) -> None:
    for directory, name, number in effect.entries:
        if number:
            nodes[directory].names[name] = number
        else:
            nodes[directory].names.pop(name, None)
    if effect.node:
        node = nodes[effect.node]
        end = max(effect.offset + len(effect.data), effect.size)
        if end > len(node.data):
            node.data.extend(bytes(end - len(node.data)))
        node.data[effect.offset : effect.offset + len(effect.data)] = effect.data
        node.mode = effect.mode if effect.mode >= 0 else node.mode


def _write(nodes: dict[int, Node], number: int, path: Path, made: dict[int, Path]) -> None:
    for name, child in nodes[number].names.items():
        node, there = nodes[child], path / name
        if node.is_directory:
            there.mkdir()
            _write(nodes, child, there, made)
        elif child in made:
            os.link(made[child], there)
        else:
            made[child] = there
            there.write_bytes(node.data)
            there.chmod(node.mode)

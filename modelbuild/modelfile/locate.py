"""From a key path to file, line and column, and to a problem worded there."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property

from msgspec import Struct

from modelbuild.errors import Place, Problem
from modelbuild.modelfile.scan import Node, scan, string_at
from modelbuild.modelfile.shown import plain
from modelbuild.names import KeyPath, dotted

_PATH_LIMIT = 200


class Edit(Struct, frozen=True):
    """A key that `--set` changed in memory: it stands in no file.

    Args:
        path: what was set.
        text: the edit as the user gave it, `merge.blend.t=0.5`.

    """

    path: KeyPath
    text: str


class Locator:
    """Places of key paths in a Modelfile.

    The text is scanned when a place is first asked for: a Modelfile without problems costs nothing here.
    """

    def __init__(self, file_label: str, text: str, edits: Sequence[Edit] = ()) -> None:
        """Take a TOML text that the parser has accepted.

        Args:
            file_label: what errors print: the path as the user gave it.
            text: the file's text, which places refer to.
            edits: what `--set` changed; problems there name the option instead of a place.

        """
        self.file_label = file_label
        self.text = text
        self.edits = tuple(edits)
        self._origins: dict[KeyPath, tuple[KeyPath, Mapping[KeyPath, KeyPath]]] = {}

    def come_from(self, table: KeyPath, written: KeyPath, values: Mapping[KeyPath, KeyPath]) -> None:
        """Learn that a table stands in no file: it was made from another.

        Args:
            table: the path of the table that was made.
            written: the path of the table that it was made from.
            values: where those of its values stand that come from elsewhere, by their paths in the table.

        """
        self._origins[table] = (written, values)

    def written(self, path: KeyPath, *, key: bool = False) -> KeyPath:
        """Return where what stands at `path` was written; with `key`, where its last key was."""
        if not self._origins or path[:2] not in self._origins:
            return path
        table, values = self._origins[path[:2]]
        rest = path[2:]
        for end in range(len(rest), 0, -1):
            if rest[:end] in values:
                at = values[rest[:end]]
                return at[:-1] if key and end == len(rest) and isinstance(at[-1], int) else (*at, *rest[end:])
        return (*table, *rest)

    def place(self, path: KeyPath) -> Place:
        """Return where the value at `path` starts, or its key for a table made by a header or a dotted key.

        A path that is not in the file gives the place of its nearest ancestor that is; the file itself starts at 1:1.
        """
        node, _ = self._nearest(path)
        return self._at(node.value)

    def key_place(self, path: KeyPath) -> Place:
        """Return where the last key of `path` starts; the entry itself for a position in a list."""
        node, missing = self._nearest(path)
        return self._at(node.value if missing else node.key)

    def problem(self, what: str, path: KeyPath, *, key: bool = False, facts: Sequence[str] = (), hint: str = "") -> Problem:
        """Return the problem `what` at `path`.

        Where the value came out of `--set` or holds a variable, a fact is added that says so.

        Args:
            what: the sentence after `error:`.
            path: where it is wrong.
            key: point at the key instead of the value.
            facts: lines that show what was found.
            hint: one way out.

        """
        path = self.written(path, key=key)
        if edit := self.edit_of(path):
            at = plain(dotted(path), _PATH_LIMIT)
            return Problem(what, at, None, (*facts, f"from: `--set {plain(edit.text)}`"), hint)
        return self._located(what, path, key=key, facts=tuple(facts), hint=hint)

    def _located(self, what: str, path: KeyPath, *, key: bool, facts: tuple[str, ...], hint: str) -> Problem:
        at = plain(dotted(path), _PATH_LIMIT)
        written = "" if key else string_at(self.text, self._nearest(path)[0].value)
        if "${" in written:
            facts = (*facts, f"written: {plain(written)}")
        return Problem(what, at, self.key_place(path) if key else self.place(path), facts, hint)

    def edit_of(self, path: KeyPath) -> Edit | None:
        """Return the last edit that `path` owes its value or its table to, or None where the file is to blame."""
        if not self.edits:
            return None
        in_file = self._known(path)
        for edit in reversed(self.edits):
            shared = next((i for i, (left, right) in enumerate(zip(edit.path, path, strict=False)) if left != right), None)
            if shared is None:
                shared = min(len(edit.path), len(path))
            if shared == len(edit.path) or shared > in_file:
                return edit
        return None

    def _known(self, path: KeyPath) -> int:
        """Return how many keys of `path` the file has."""
        return len(path) - self._nearest(path)[1]

    def _nearest(self, path: KeyPath) -> tuple[Node, int]:
        """Return the node at `path` or its nearest ancestor, and how many keys of `path` lie below it."""
        node = self._root
        for index, part in enumerate(path):
            child = node.children.get(part)
            if child is None:
                return node, len(path) - index
            node = child
        return node, 0

    def _at(self, offset: int) -> Place:
        line = bisect_right(self._line_starts, offset)
        return Place(self.file_label, line, offset - self._line_starts[line - 1] + 1)

    @cached_property
    def _root(self) -> Node:
        return scan(self.text)

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(offset + 1 for offset, char in enumerate(self.text) if char == "\n")]

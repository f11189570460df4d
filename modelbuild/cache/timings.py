"""How long each tensor of each merge took when it was last merged: what a report shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild.cache.history import project_prefix

if TYPE_CHECKING:
    from modelbuild.cache.index import Index

KEY_DIGITS = 16
"""Of a key, what tells whether a time is that of the same work."""


class Timings:
    """The times of one project, under `w:` in an index."""

    def __init__(self, index: Index, modelfile: Path) -> None:
        """Look at the project of that Modelfile."""
        self._index, self._prefix = index, project_prefix("w:", modelfile)

    def of(self, node: str) -> Mapping[str, tuple[str, float]]:
        """Return (the first digits of its key, seconds) of a node's tensors, by name."""
        stored = self._index.get(self._prefix + node)
        found: dict[str, tuple[str, float]] = {}
        for tensor, value in stored.items() if isinstance(stored, dict) else ():
            match value:
                case [str(key), int() | float() as seconds]:
                    found[tensor] = (key, float(seconds))
        return found

    def remember(self, seconds: Mapping[tuple[str, str], float], keys: Mapping[str, Mapping[str, str]]) -> None:
        """Note how long the actions of a build took, by (node, tensor)."""
        nodes: dict[str, dict[str, list[str | float]]] = {}
        for (node, tensor), one in seconds.items():
            if key := keys.get(node, {}).get(tensor):
                nodes.setdefault(node, {})[tensor] = [key[:KEY_DIGITS], round(one, 6)]
        self._index.put_many({self._prefix + node: {**self.of(node), **now} for node, now in nodes.items()})

"""Which key each tensor of each node had in the last build, and before it last changed: what `explain` compares with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from blake3 import blake3
from msgspec import Struct

from modelbuild.cache.index import Index
from modelbuild.cache.layout import Json, is_digest


class Past(Struct, frozen=True):
    """The keys of one tensor's action: in the last build, and before it last changed ("" if it never did)."""

    key: str
    before: str


class History:
    """The past of one project, under `n:` in an index."""

    def __init__(self, index: Index, modelfile: Path) -> None:
        """Look at the project of that Modelfile."""
        self._index = index
        self._prefix = project_prefix("n:", modelfile)

    def of(self, node: str) -> Mapping[str, Past]:
        """Return the past of a node's tensors, by name."""
        found: dict[str, Past] = {}
        stored = self._index.get(self._prefix + node)
        for tensor, keys in stored.items() if isinstance(stored, dict) else ():
            match keys:
                case [str(key), str(before)] if is_digest(key):
                    found[tensor] = Past(key, before if is_digest(before) else "")
        return found

    def remember(self, nodes: Mapping[str, Mapping[str, str]]) -> None:
        """Note the keys of a build: by node, by tensor."""
        pairs: dict[str, Json] = {}
        for node, keys in nodes.items():
            past = self.of(node)
            now = {tensor: _moved_on(past.get(tensor), key) for tensor, key in keys.items()}
            if now != past:
                pairs[self._prefix + node] = {tensor: [one.key, one.before] for tensor, one in now.items()}
        self._index.put_many(pairs)


def _moved_on(past: Past | None, key: str) -> Past:
    if past is None:
        return Past(key, "")
    return past if past.key == key else Past(key, past.key)


def project_prefix(kind: str, modelfile: Path) -> str:
    """Return what the keys of one project start with, in an index that several may share."""
    return f"{kind}{blake3(os.fsencode(os.path.realpath(modelfile))).hexdigest()[:16]}:"

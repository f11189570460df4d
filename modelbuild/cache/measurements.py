"""Measurements: what a check found of a model, by its key.  Small, and kept when the model is gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from modelbuild.cache.index import Index
from modelbuild.cache.layout import Json

_MEASUREMENT = "m:"
ANSWER = "a:"
"""Before what libraries were asked that takes seconds to ask, and that is no measurement of a model."""


class Measurements:
    """What was found in an index under a prefix."""

    def __init__(self, index: Index, prefix: str = _MEASUREMENT) -> None:
        """Keep it in `index`."""
        self._index, self._prefix = index, prefix

    def get_many(self, keys: Iterable[str]) -> dict[str, Json]:
        """Return those that are known, by key."""
        found = self._index.get_many(self._prefix + key for key in keys)
        return {key.removeprefix(self._prefix): value for key, value in found.items()}

    def any(self) -> bool:
        """Tell whether there is one."""
        return self._index.has(self._prefix)

    def put(self, key: str, measured: Mapping[str, object] | bool) -> None:
        """Store one at once: a process that is killed later has it all the same."""
        self._index.put_many({self._prefix + key: measured})

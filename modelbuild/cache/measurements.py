"""Measurements: what a check found of a model, by its key.  Small, and kept when the model is gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from modelbuild.cache.index import Index
from modelbuild.cache.layout import Json

_MEASUREMENT = "m:"


class Measurements:
    """The measurements in an index, under `m:`."""

    def __init__(self, index: Index) -> None:
        """Keep them in `index`."""
        self._index = index

    def get_many(self, keys: Iterable[str]) -> dict[str, Json]:
        """Return those that are known, by key."""
        found = self._index.get_many(_MEASUREMENT + key for key in keys)
        return {key.removeprefix(_MEASUREMENT): value for key, value in found.items()}

    def any(self) -> bool:
        """Tell whether there is one."""
        return self._index.has(_MEASUREMENT)

    def put(self, key: str, measured: Mapping[str, object] | bool) -> None:
        """Store one at once: a process that is killed later has it all the same."""
        self._index.put_many({_MEASUREMENT + key: measured})

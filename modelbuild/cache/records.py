"""Records: which bytes an action gave, by its key.  Tiny, and kept when the bytes are gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from modelbuild.cache.index import Index
from modelbuild.cache.layout import Json, is_digest
from modelbuild.digest import Value

Description = tuple[tuple[str, Value], ...]
"""The ingredients of a key, by name and in order."""

_AT_ONCE = 4096
"""Records that are read together, before the first is asked for: a thousand in a quarter of the time that asking for each takes."""

_DIGEST = "r:"
_DESCRIPTION = "e:"


class Record(Struct, frozen=True):
    """One action's outcome.

    Args:
        key: the action's key, 64 hexadecimal digits.
        digest: the digest of the tensor that it gave.
        description: what the key was made of, for people to read; () where that is not known.

    """

    key: str
    digest: str
    description: Description = ()


class Records:
    """The records in an index."""

    def __init__(self, index: Index) -> None:
        """Keep records in `index`, under `r:` their digests and under `e:` what explains them."""
        self._index = index
        self._known: dict[str, str] | None = None
        """What was seen of them: it holds, whatever becomes of the index."""

    def any(self) -> bool:
        """Tell whether there are any."""
        return self._index.has(_DIGEST)

    def digest(self, key: str) -> str | None:
        """Return the digest of what the action gave, or None where nobody has run it."""
        if self._known is None:
            self._known = _digests(self._index.scan(_DIGEST, _AT_ONCE))
        digest = self._known.get(key) or _digest(self._index.get(_DIGEST + key))
        if digest:
            self._known[key] = digest
        return digest

    def digests(self, keys: Iterable[str]) -> dict[str, str]:
        """Return the digests that are known, by key; twice as fast as asking for each."""
        return _digests(self._index.get_many(_DIGEST + key for key in keys))

    def get(self, key: str) -> Record | None:
        """Return a whole record, description included."""
        digest = self.digest(key)
        return Record(key, digest, _description(self._index.get(_DESCRIPTION + key))) if digest else None

    def put_many(self, records: Iterable[Record]) -> None:
        """Store records in one transaction; a later one replaces an earlier one with its key."""
        records = tuple(records)
        if self._known is not None:
            self._known |= {record.key: record.digest for record in records}
        self._index.put_many(pairs(records))


def pairs(records: Iterable[Record]) -> dict[str, Json]:
    """Return what an index stores for records, so that it can be stored together with other things."""
    stored: dict[str, Json] = {}
    for record in records:
        stored[_DIGEST + record.key] = record.digest
        if record.description:
            stored[_DESCRIPTION + record.key] = [[name, _thaw(value)] for name, value in record.description]
    return stored


def _digests(found: Mapping[str, Json]) -> dict[str, str]:
    return {key.removeprefix(_DIGEST): digest for key, value in found.items() if (digest := _digest(value))}


def _digest(value: Json) -> str | None:
    return value if isinstance(value, str) and is_digest(value) else None


def _description(value: Json) -> Description:
    fields = value if isinstance(value, list) else []
    found: list[tuple[str, Value]] = []
    for field in fields:
        match field:
            case [str(name), ingredient]:
                found.append((name, _freeze(ingredient)))
    return tuple(found)


def _thaw(value: Value) -> Json:
    return [_thaw(item) for item in value] if isinstance(value, tuple) else value


def _freeze(value: Json) -> Value:
    if isinstance(value, list):
        return tuple(map(_freeze, value))
    return value if isinstance(value, bool | int | float | str) else ""

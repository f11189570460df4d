"""Records: key to digest, and what explains a key."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.cache import Cache, Description, Record
from modelbuild.cache.index import Index
from modelbuild.cache.records import Records, pairs

A, B, C = "a" * 64, "b" * 64, "c" * 64

VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=8,
)


def test_a_record_is_found_by_its_key(cache: Cache):
    """One by one, many at once, and whole."""
    record = Record(A, B, (("method", "linear"), ("weights", (0.5, -0.0, True)), ("inputs", ())))
    cache.records.put_many([record, Record(B, C)])

    assert B == cache.records.digest(A)
    assert {A: B, B: C} == cache.records.digests([A, B, C])
    assert record == cache.records.get(A)
    assert Record(B, C, ()) == cache.records.get(B)
    assert cache.records.get(C) is None


@given(st.lists(st.tuples(st.text(), VALUES), max_size=5).map(tuple))
@settings(deadline=None)
def test_a_description_comes_back_as_it_was(description: Description):
    """Through JSON: order, nesting, types."""

    class Memory(Index):
        def __init__(self) -> None:
            self._memory, self._database = {}, None

    records = Records(Memory())

    records.put_many([Record(A, B, description)])

    found = records.get(A)
    assert found is not None
    assert repr(description) == repr(found.description)


def test_what_is_no_digest_is_no_record(cache: Cache):
    """It could become part of a path."""
    for value in ("../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n", 7, [B], None):
        cache.index.put_many({"r:" + A: value, "e:" + A: "x"})

        assert cache.records.digest(A) is None
        assert {} == cache.records.digests([A])
        assert cache.records.get(A) is None


def test_a_record_without_a_description_stores_none():
    """Records are tiny."""
    assert {"r:" + A: B} == pairs([Record(A, B)])

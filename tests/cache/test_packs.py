"""Packs: what is at a name is what the name says, or it is not there."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from modelbuild import files
from modelbuild.cache import Cache, TensorEntry, pack_id
from modelbuild.cache import packs as packs_module
from modelbuild.cache.layout import parse_json
from modelbuild.cache.sidecar import parse_tensor, tensor_json
from tests.support.doors import Failing

from .conftest import Arm, Killed, Make, entry, key, write_pack

X, Y = b"first tensor", b"second"
ENTRIES = st.builds(
    TensorEntry,
    st.text(),
    st.sampled_from(["F32", "BF16", "U8"]),
    st.lists(st.integers(0, 9), max_size=3).map(tuple),
    st.sampled_from(["a" * 64, "b" * 64]),
    st.sampled_from(["", "c" * 64]),
)


def located(cache: Cache, data: bytes) -> bytes | None:
    """Read a tensor where the cache says it is."""
    tensor = entry("", data)
    found = cache.packs.locate(tensor.digest, tensor.dtype, tensor.shape)
    if found is None:
        return None
    with found.path.open("rb") as file:
        file.seek(found.offset)
        return file.read(found.nbytes)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    """Change bytes of a read-only file in place, as an editor of an output's hard link would."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    path.chmod(0o444)


def reopened(cache: Cache) -> Cache:
    """Return the cache as another process sees it."""
    cache.close()
    return Cache.open(cache.directory)


def test_a_pack_is_found_by_its_tensors_and_its_name(cache: Cache, make: Make):
    """With its records, read-only, and with nothing else left."""
    pack = make(x=X, y=Y)

    assert (X, Y) == (located(cache, X), located(cache, Y))
    assert located(cache, b"other") is None
    assert cache.packs.path(pack) == cache.packs.has(pack)
    assert entry("x", X).digest == cache.records.digest(key("x"))
    assert 0o444 == stat.S_IMODE(cache.packs.path(pack).stat().st_mode)
    assert cache.packs.trusted(pack)
    assert [f"{pack}.json", f"{pack}.safetensors"] == sorted(path.name for path in (cache.directory / "packs").iterdir())
    assert [] == list((cache.directory / "staging").iterdir())


def test_permissions_stay_within_the_umask(cache: Cache, make: Make):
    """A private model is not opened to the world."""
    before = os.umask(0o077)
    try:
        pack = make(x=X)
    finally:
        os.umask(before)

    assert 0o400 == stat.S_IMODE(cache.packs.path(pack).stat().st_mode)


def test_a_pack_added_twice_is_stored_once(cache: Cache, make: Make):
    """The first file stays, the second is dropped, and both actions have records."""
    pack = make(x=X, y=Y)
    inode = cache.packs.path(pack).stat().st_ino
    staging = cache.staging()
    staged, entries, offsets, start = write_pack(staging, {"x": X, "y": Y})

    again = cache.packs.add(staged, [replace(tensor, key=key("new " + tensor.name)) for tensor in entries], offsets, start)

    assert pack == again
    assert inode == cache.packs.path(pack).stat().st_ino
    assert not staged.exists()
    assert {entry("x", X).digest} == {cache.records.digest(key("x")), cache.records.digest(key("new x"))}
    staging.close()


def test_a_pack_that_was_damaged_heals_when_it_is_added_again(cache: Cache, make: Make):
    """The staged file takes its place."""
    pack = make(x=X, y=Y)
    overwrite(cache.packs.path(pack), cache.packs.path(pack).stat().st_size - 1, b"!")

    assert pack == make(x=X, y=Y)

    assert cache.packs.is_intact(pack)
    assert cache.packs.trusted(pack)


@given(st.lists(ENTRIES, max_size=4), st.lists(ENTRIES, max_size=4))
def test_a_name_says_names_types_shapes_and_digests_in_order_and_no_keys(one: list[TensorEntry], other: list[TensorEntry]):
    """Two packs share a name where they share all of that."""

    def contents(entries: list[TensorEntry]) -> list[object]:
        return [(tensor.name, tensor.dtype, tensor.shape, tensor.digest) for tensor in entries]

    assert (contents(one) == contents(other)) == (pack_id(one) == pack_id(other))
    assert pack_id(one) == pack_id(replace(tensor, key="") for tensor in one)


def test_the_name_of_a_pack_stays_over_versions():
    """If this digest changes, raise PACK_FORMAT: every pack of every user is written again."""
    tensors = [TensorEntry("model.norm.weight", "BF16", (2, 3), "a" * 64, "b" * 64)]

    assert "7f4a3b69806914e617a2a8c1df2b6773b16a55c48cda803c5465c77e76dcc0f9" == pack_id(tensors)


@given(ENTRIES, st.integers(0, 2**60))
def test_a_tensor_comes_back_from_json_as_it_was(tensor: TensorEntry, offset: int):
    """The journal and the file beside a pack say the same."""
    text = json.dumps(tensor_json(tensor, offset))

    assert (tensor, offset) == parse_tensor(parse_json(text))


@pytest.mark.parametrize(
    "change",
    [
        {"name": 3}, {"dtype": "F99"}, {"shape": [1, -1]}, {"shape": [True]}, {"shape": "x"}, {"digest": "../x"}, {"key": "/etc"},
        {"offset": -1}, {"offset": 1.5}, {"offset": None}, {"offset": True},
    ],
)  # fmt: skip
def test_a_tensor_that_makes_no_sense_is_none(change: dict[str, object]):
    """Field by field."""
    assert parse_tensor({**tensor_json(entry("x", X), 0), **change}) is None


def test_a_touched_pack_is_hashed_once_and_known_again(cache: Cache, make: Make, monkeypatch: pytest.MonkeyPatch):
    """A link moves its ctime; a link of our own is noted right after it and costs nothing."""
    pack = make(x=X, y=Y)
    hashed = []
    is_intact = cache.packs.is_intact
    monkeypatch.setattr(cache.packs, "is_intact", lambda pack: hashed.append(pack) or is_intact(pack))

    os.link(cache.packs.path(pack), cache.directory / "theirs")
    assert cache.packs.trusted(pack)
    assert cache.packs.trusted(pack)
    assert [pack] == hashed

    os.link(cache.packs.path(pack), cache.directory / "ours")
    cache.packs.refresh(pack)
    assert cache.packs.trusted(pack)
    assert [pack] == hashed


@pytest.mark.parametrize("where", ["header", "first tensor", "last byte", "shorter", "longer"])
def test_a_pack_with_other_bytes_is_removed_and_missing(cache: Cache, make: Make, where: str):
    """Whatever part of the file it was; its records stay."""
    pack = make(x=X, y=Y)
    path = cache.packs.path(pack)
    size = path.stat().st_size
    if where in ("shorter", "longer"):
        path.chmod(0o644)
        os.truncate(path, size + (1 if where == "longer" else -1))
    else:
        overwrite(path, {"header": 12, "first tensor": size - len(X + Y), "last byte": size - 1}[where], b"!")

    assert not cache.packs.trusted(pack)

    assert cache.packs.has(pack) is None
    assert located(cache, X) is None
    assert entry("x", X).digest == cache.records.digest(key("x"))
    assert [] == list((cache.directory / "packs").iterdir())


def test_a_pack_that_went_is_missing(cache: Cache, make: Make):
    """So is one of another size, or a link in its place."""
    pack = make(x=X)
    path = cache.packs.path(pack)
    moved = path.rename(cache.directory / "moved")
    assert located(cache, X) is None
    assert not cache.packs.trusted(pack)
    path.symlink_to(moved)

    assert located(cache, X) is None
    assert cache.packs.has(pack) is None


def test_a_discarded_pack_takes_only_what_it_alone_held(cache: Cache, make: Make):
    """A tensor that the index places in another pack stays there."""
    one, other = make(x=X, y=Y), make(x=X)

    gone = cache.packs.discard(one)

    assert {entry("x", X).digest, entry("y", Y).digest} == gone
    assert (X, None) == (located(cache, X), located(cache, Y))
    assert cache.packs.trusted(other)


@pytest.mark.parametrize(
    "row",
    [
        ["../../../etc/passwd", 0, 10],
        ["a" * 64, 0, 12],
        [3, 0, 12],
        ["{}", -1, 12],
        ["{}", 2**70, 12],
        ["{}", "0", 12],
        ["{}", 0],
        {},
        "x",
        7,
    ],
    ids=str,
)
def test_a_row_that_makes_no_sense_locates_nothing(cache: Cache, make: Make, row: object):
    """Of a hostile index."""
    pack = make(x=X)
    digest = entry("x", X).digest
    cache.index.put_many({"d:" + digest: [pack if part == "{}" else part for part in row] if isinstance(row, list) else row})

    assert located(cache, X) is None


@pytest.mark.parametrize("name", ["", "../x", "a" * 63, "A" * 64, "a" * 64 + "/"])
def test_only_an_id_becomes_a_path(cache: Cache, name: str):
    """Anything else is a mistake of ours."""
    with pytest.raises(ValueError, match="is not the id of a pack"):
        cache.packs.path(name)


@pytest.mark.parametrize("loss", ["removed", "garbage"])
def test_a_lost_index_is_rebuilt_from_the_files_beside_the_packs(cache: Cache, make: Make, loss: str):
    """Tensors and records are found again; the bytes are hashed before they are trusted."""
    pack = make(x=X, y=Y)
    cache.close()
    if loss == "removed":
        shutil.rmtree(cache.directory / "index")
    else:
        (cache.directory / "index/cache.db").write_bytes(b"garbage" * 1000)

    again = reopened(cache)

    assert X == located(again, X)
    assert entry("y", Y).digest == again.records.digest(key("y"))
    assert again.packs.trusted(pack)
    again.close()


def test_an_index_lost_on_the_way_is_rebuilt_too(cache: Cache, make: Make):
    """By whoever asks next, even after another pack was added."""
    make(x=X)
    cache.index.close()
    (cache.directory / "index/cache.db").write_bytes(b"garbage" * 1000)
    cache.index.put_many({"k": 1})

    make(y=Y)

    assert 1 == cache.index.generation
    assert (X, Y) == (located(cache, X), located(cache, Y))


def test_an_index_that_is_there_is_not_rebuilt(cache: Cache, make: Make, monkeypatch: pytest.MonkeyPatch):
    """One question tells."""
    make(x=X)
    again = reopened(cache)
    monkeypatch.setattr(packs_module, "read_sidecar", lambda _: pytest.fail("read"))

    assert X == located(again, X)
    again.close()


def test_looking_for_a_tensor_makes_nothing(cache: Cache):
    """Not even the directory."""
    assert located(cache, X) is None
    assert not cache.packs.trusted("a" * 64)
    assert 0 == cache.packs.total_size()
    cache.packs.refresh("a" * 64)
    cache.packs.discard("a" * 64)

    assert not cache.directory.exists()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"format":2}', b"\xff" * 100, b"[" * 100_000])
def test_a_pack_that_nothing_explains_is_not_trusted(cache: Cache, make: Make, data: bytes):
    """Its digests are unknown."""
    pack = make(x=X)
    (cache.directory / "packs" / f"{pack}.json").write_bytes(data)
    shutil.rmtree(cache.directory / "index")
    again = reopened(cache)

    assert located(again, X) is None
    assert not again.packs.trusted(pack)
    again.close()


def test_another_packs_sidecar_does_not_explain_a_pack(cache: Cache, make: Make):
    """Every tensor may be right, and still not be what the name says."""
    one, other = make(x=X), make(x=Y)
    for suffix in ("json", "safetensors"):
        shutil.copy(cache.directory / "packs" / f"{other}.{suffix}", cache.directory / f"copy.{suffix}")
        (cache.directory / f"copy.{suffix}").rename(cache.directory / "packs" / f"{one}.{suffix}")

    assert not cache.packs.trusted(one)
    assert cache.packs.trusted(other)


def test_whatever_kills_an_addition_when_the_cache_is_sound(cache: Cache, make: Make, die_before: Arm):
    """Ended before each operation: another process finds the pack whole or not at all, and can add it again."""
    make(first=b"of all")
    found = []
    for last in range(100):
        data = b"tensor %d" % last
        staging = cache.staging()
        staged, entries, offsets, start = write_pack(staging, {"x": data})
        die_before(last)
        try:
            pack = cache.packs.add(staged, entries, offsets, start)
        except Killed:
            pack = ""
        die_before(-1)

        again = reopened(cache)
        assert located(again, data) in (None, data)
        assert again.packs.has(pack_id(entries)) is None or again.packs.trusted(pack_id(entries))
        found.append(again.packs.has(pack_id(entries)) is not None)
        if not pack:
            new = again.staging()
            again.packs.add(*write_pack(new, {"x": data}))
            new.close()
        assert data == located(again, data)
        assert again.packs.trusted(pack_id(entries))
        again.close()
        staging.close()
        if pack:
            break

    assert found == sorted(found)
    assert found[0] is False
    assert 6 <= len(found) < 100


def test_a_full_disk_while_adding_is_an_error_and_the_cache_is_sound(cache: Cache, make: Make, monkeypatch: pytest.MonkeyPatch):
    """The file beside the pack does not fit."""
    staging = cache.staging()
    arguments = write_pack(staging, {"x": X})
    full = Failing(errno.ENOSPC, lambda operation: operation.kind == "write" and ".json." in operation.path.name)
    monkeypatch.setattr(files.door, "current", full)
    with pytest.raises(OSError, match="No space left"):
        cache.packs.add(*arguments)
    monkeypatch.undo()

    assert located(cache, X) is None
    assert [] == list((cache.directory / "packs").iterdir())
    staging.close()
    make(x=X)
    assert X == located(cache, X)

"""What changes the file system, ended at every operation."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from modelbuild import files
from modelbuild.files import Operation, operations
from modelbuild.files.door import Door
from tests.support.doors import Dying, Failing, Killed

OLD = {"config.json": b"old", "model.safetensors": b"old bytes", "sub/tokenizer.json": b"old words"}
NEW = {"config.json": b"new", "model.safetensors": b"new bytes, and more of them"}
ENDLESS = 10_000

Whole = dict[str, bytes] | bytes
"""A directory by the names in it, or a file."""


def fill(directory: Path, contents: dict[str, bytes]) -> Path:
    """Write a directory."""
    for name, data in contents.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    return directory


def read(directory: Path) -> dict[str, bytes]:
    """Read a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def put(path: Path, what: Whole) -> Path:
    """Write a directory, or a file."""
    if isinstance(what, dict):
        return fill(path, what)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(what)
    return path


def whole(path: Path) -> Whole:
    """Read a directory, or a file."""
    return path.read_bytes() if path.is_file() else read(path)


def hidden(parent: Path) -> list[str]:
    """List what stands beside an output."""
    return sorted(path.name for path in parent.iterdir() if path.name != "out")


@pytest.fixture(params=["exchange", "two renames"])
def swapping(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Publish with and without an exchange of names."""
    if request.param == "two renames":

        def refuse(one: Path, other: Path) -> bool:
            files.door.current.before(Operation("exchange", other, one))
            return False

        monkeypatch.setattr(operations, "exchange", refuse)
    return str(request.param)


def test_a_directory_is_published_where_nothing_stood(tmp_path: Path):
    """And nothing is left beside it."""
    files.publish(fill(tmp_path / "staged", NEW), tmp_path / "out")

    assert NEW == read(tmp_path / "out")
    assert [] == hidden(tmp_path)


@pytest.mark.usefixtures("swapping")
def test_a_directory_is_published_over_an_old_one(tmp_path: Path):
    """And nothing of the old one is left in it or beside it."""
    fill(tmp_path / "out", OLD)

    files.publish(fill(tmp_path / "staged", NEW), tmp_path / "out")

    assert NEW == read(tmp_path / "out")
    assert [] == hidden(tmp_path)


@pytest.mark.parametrize(("old", "new"), [(OLD, NEW), (OLD, b"new"), (b"old", NEW), (b"old", b"new")], ids=["dd", "df", "fd", "ff"])
def test_whatever_kills_a_publication_when_old_or_new_stands_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapping: str, old: Whole, new: Whole
):
    """Each operation in turn is the one that never happens; an exchange needs no recovery to be complete, and a file over a file neither."""
    outcomes = []
    for last in range(ENDLESS):
        place = tmp_path / str(last)
        staged = put(place / "staged", new)
        put(place / "out", old)
        death = Dying(last)
        monkeypatch.setattr(files.door, "current", death)
        with contextlib.suppress(Killed):
            files.publish(staged, place / "out")
        monkeypatch.setattr(files.door, "current", Door())

        if swapping == "exchange" or (old, new) == (b"old", b"new"):
            assert whole(place / "out") in (old, new)
        files.recover(place / "out")
        found = whole(place / "out")

        assert found in (old, new)
        assert not [name for name in hidden(place) if ".old-" in name]
        outcomes.append(found == new)
        if death.survived:
            break

    assert outcomes == sorted(outcomes)
    assert outcomes[0] is False
    assert outcomes[-1] is True
    assert len(outcomes) >= (3 if (old, new) == (b"old", b"new") else 5)


def test_a_publication_after_a_killed_one_needs_no_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapping: str):
    """It recovers by itself first, wherever the last one stopped."""
    del swapping
    for last in range(12):
        place = tmp_path / str(last)
        fill(place / "out", OLD)
        monkeypatch.setattr(files.door, "current", Dying(last))
        staged = fill(place / "staged", {"half": b""})
        with contextlib.suppress(Killed):
            files.publish(staged, place / "out")
        monkeypatch.setattr(files.door, "current", Door())

        files.publish(fill(place / "again", NEW), place / "out")

        assert NEW == read(place / "out")
        assert not [name for name in hidden(place) if ".old-" in name]


def test_a_rename_that_fails_puts_the_old_directory_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without an exchange, and with an error that the program outlives."""
    fill(tmp_path / "out", OLD)
    full = Failing(errno.ENOSPC, lambda operation: operation.kind == "rename" and operation.source == tmp_path / "staged")
    monkeypatch.setattr(operations, "exchange", lambda *_: False)
    monkeypatch.setattr(files.door, "current", full)

    with pytest.raises(OSError, match="No space left"):
        files.publish(fill(tmp_path / "staged", NEW), tmp_path / "out")

    assert OLD == read(tmp_path / "out")
    assert ["staged"] == hidden(tmp_path)


def test_recovery_leaves_what_only_looks_like_an_old_tree(tmp_path: Path):
    """An old tree has eight hexadecimal digits after its name, and the name is taken literally."""
    fill(tmp_path / "out", NEW)
    for name in (".out.old-mine", ".out.old-0123456", ".outXold-01234567", ".other.old-01234567"):
        (tmp_path / name).mkdir()

    files.recover(tmp_path / "out")

    assert [".other.old-01234567", ".out.old-0123456", ".out.old-mine", ".outXold-01234567"] == hidden(tmp_path)


def test_an_output_that_is_a_symbolic_link_is_replaced_and_its_target_stays(tmp_path: Path):
    """What a link pointed to belongs to somebody else."""
    fill(tmp_path / "elsewhere", OLD)
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")

    files.publish(fill(tmp_path / "staged", NEW), tmp_path / "out")

    assert not (tmp_path / "out").is_symlink()
    assert NEW == read(tmp_path / "out")
    assert OLD == read(tmp_path / "elsewhere")


def test_exchange_swaps_two_names_or_changes_nothing(tmp_path: Path):
    """Whichever this system can do."""
    fill(tmp_path / "a", {"f": b"1"})
    fill(tmp_path / "b", {"f": b"2"})

    swapped = files.exchange(tmp_path / "a", tmp_path / "b")

    found = ((tmp_path / "a/f").read_bytes(), (tmp_path / "b/f").read_bytes())
    assert ((b"2", b"1") if swapped else (b"1", b"2")) == found


def test_exchange_with_a_missing_name_is_an_error(tmp_path: Path):
    """Not a reason to rename."""
    fill(tmp_path / "a", {"f": b"1"})
    fill(tmp_path / "b", {"f": b"2"})
    if not files.exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("no exchange here")

    with pytest.raises(FileNotFoundError):
        files.exchange(tmp_path / "a", tmp_path / "missing")


def test_an_atomic_write_that_dies_leaves_the_old_file_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """open, write, sync, rename, sync of the directory: ended before each."""
    seen = []
    for last in range(6):
        path = tmp_path / f"f{last}"
        path.write_bytes(b"old")
        death = Dying(last)
        monkeypatch.setattr(files.door, "current", death)
        with contextlib.suppress(Killed):
            files.write_atomic(path, b"new")
        seen.append(path.read_bytes())

    assert [b"old", b"old", b"old", b"old", b"new", b"new"] == seen
    assert ["create", "write", "sync", "rename", "sync_directory"] == death.seen


def test_a_write_that_fails_leaves_no_temporary_file_and_names_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The disk is full from the beginning, at the sync, then at the rename."""
    for failing in ("create", "sync", "rename"):
        full = Failing(errno.ENOSPC, lambda operation, failing=failing: operation.kind == failing)
        monkeypatch.setattr(files.door, "current", full)
        with pytest.raises(OSError, match="No space left") as failed:
            files.write_atomic(tmp_path / "f", b"new")
        assert (str(tmp_path / "f"), None) == (failed.value.filename, failed.value.filename2)

    assert [] == list(tmp_path.iterdir())


def test_a_new_file_is_new_and_honours_the_umask(tmp_path: Path):
    """0o666 less the umask, and never over another."""
    before = os.umask(0o027)
    try:
        files.write_new(tmp_path / "f", b"data")
    finally:
        os.umask(before)

    assert 0o640 == stat.S_IMODE((tmp_path / "f").stat().st_mode)
    with pytest.raises(FileExistsError):
        files.write_new(tmp_path / "f", b"other")
    assert b"data" == (tmp_path / "f").read_bytes()


def test_a_short_write_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The system takes three bytes at a time."""
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: pwrite(fd, data[:3], offset))
    fd = files.open_new(tmp_path / "f")
    files.allocate(fd, tmp_path / "f", 12)

    files.write_at(fd, tmp_path / "f", memoryview(bytes(range(8))).cast("H"), 2)
    os.close(fd)

    assert b"\0\0" + bytes(range(8)) + b"\0\0" == (tmp_path / "f").read_bytes()


def test_allocation_without_support_only_sets_the_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """And a full disk is an error."""

    def fallocate(code: int) -> None:
        def fail(fd: int, offset: int, size: int) -> None:
            del fd, offset, size
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "posix_fallocate", fail, raising=False)

    fd = files.open_new(tmp_path / "f")
    fallocate(errno.EOPNOTSUPP)
    files.allocate(fd, tmp_path / "f", 5000)

    assert 5000 == os.fstat(fd).st_size
    fallocate(errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"):
        files.allocate(fd, tmp_path / "f", 6000)
    os.close(fd)


@pytest.mark.parametrize("way", ["reflink", "hardlink", "copy"])
def test_a_link_has_the_bytes_and_the_permissions_in_every_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str):
    """Where shared blocks are refused a hard link is made, where that is refused a copy."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def clone(destination: int, request: int, source: int) -> int:
        assert operations.FICLONE == request
        return os.write(destination, os.read(source, 100))

    monkeypatch.setattr(fcntl, "ioctl", clone if way == "reflink" else refuse)
    if way == "copy":
        monkeypatch.setattr(os, "link", refuse)
    source, made = tmp_path / "pack", tmp_path / "shard"
    source.write_bytes(b"tensor bytes")
    source.chmod(0o444)

    assert way == files.link_as(source, made)

    assert b"tensor bytes" == made.read_bytes()
    assert 0o444 == stat.S_IMODE(made.stat().st_mode)
    assert (way == "hardlink") == (source.stat().st_ino == made.stat().st_ino)
    with pytest.raises(FileExistsError):
        files.link_as(source, made)
    assert b"tensor bytes" == made.read_bytes()


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The disk fills up on the way."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "pack").write_bytes(b"tensor bytes")
    monkeypatch.setattr(fcntl, "ioctl", refuse)
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "write", full)

    with pytest.raises(OSError, match="No space left"):
        files.link_as(tmp_path / "pack", tmp_path / "shard")

    assert ["pack"] == [path.name for path in tmp_path.iterdir()]


def test_removing_a_tree_follows_no_link(tmp_path: Path):
    """Neither one at its name nor one inside it; and what is not there is removed already."""
    fill(tmp_path / "precious", OLD)
    tree = fill(tmp_path / "tree", NEW)
    (tree / "inside").symlink_to(tmp_path / "precious")
    (tmp_path / "link").symlink_to(tmp_path / "precious")

    for name in ("tree", "link", "missing"):
        files.remove_tree(tmp_path / name)

    assert ["precious"] == [path.name for path in tmp_path.iterdir()]
    assert OLD == read(tmp_path / "precious")


def test_a_lock_is_had_once_and_again_after_its_release(tmp_path: Path):
    """Two holders of one process are two."""
    lock = files.try_lock(tmp_path / "lock")

    assert lock is not None
    assert lock.excludes
    assert files.try_lock(tmp_path / "lock") is None
    lock.release()
    lock.release()
    again = files.try_lock(tmp_path / "lock")
    assert again is not None
    again.release()


def test_a_lock_on_a_file_that_lost_its_name_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its directory was removed between opening and locking."""
    flock = fcntl.flock

    def late(fd: int, operation: int) -> None:
        (tmp_path / "lock").unlink(missing_ok=True)
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)

    assert files.try_lock(tmp_path / "lock") is None


def test_without_locks_everybody_gets_one_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Some network file systems have none."""

    def none(fd: int, operation: int) -> None:
        del fd, operation
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)

    locks = [files.try_lock(tmp_path / "lock") for _ in range(2)]

    assert [False, False] == [lock.excludes for lock in locks if lock is not None]
    for lock in locks:
        assert lock is not None
        lock.release()


def test_a_lock_that_is_granted_to_everybody_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Some network file systems say yes, and do nothing: asked twice, they say yes twice."""
    monkeypatch.setattr(fcntl, "flock", lambda fd, operation: None)

    lock = files.try_lock(tmp_path / "lock")

    assert lock is not None
    assert not lock.excludes
    lock.release()


def test_two_publications_that_cross_both_end_and_one_is_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapping: str):
    """The other comes in before each operation in turn; nothing stays beside the output."""
    for last in range(12):
        place = tmp_path / str(last)
        fill(place / "out", OLD)
        staged, other = fill(place / "staged", NEW), fill(place / "other", {"config.json": b"other"})

        class Crossing(Door):
            passed = 0

            def before(self, operation: Operation, place: Path = place, other: Path = other, last: int = last) -> int:
                Crossing.passed += 1
                if Crossing.passed == last + 1:
                    files.publish(other, place / "out")
                return len(operation.data)

        monkeypatch.setattr(files.door, "current", Crossing())
        files.publish(staged, place / "out")
        monkeypatch.setattr(files.door, "current", Door())

        assert read(place / "out") in (NEW, {"config.json": b"other"})
        assert [] == [name for name in hidden(place) if name != "other" or Crossing.passed > last]


def test_a_missing_lock_file_is_made_only_on_request(tmp_path: Path):
    """A cleaner must not add to what it looks at."""
    assert files.try_lock(tmp_path / "lock", create=False) is None

    assert [] == list(tmp_path.iterdir())


def test_a_line_is_appended_whole(tmp_path: Path):
    """After whatever others appended meanwhile."""
    one, other = files.open_append(tmp_path / "f"), files.open_append(tmp_path / "f")

    files.append_line(one, tmp_path / "f", b"first")
    files.append_line(other, tmp_path / "f", b"second")
    files.append_line(one, tmp_path / "f", b"third")
    os.close(one)
    os.close(other)

    assert b"first\nsecond\nthird\n" == (tmp_path / "f").read_bytes()

"""Every change the program makes to a file system, and nothing else.

This is the only module that opens for writing, renames, syncs, links or unlinks.  Each operation first calls `step` with its
name and its path, so a test can count the operations of a build, end it at the N-th, delay that one or make it fail.
An OSError passes through as it is: what it means to the user is for the floors above to say.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

Buffer = bytes | bytearray | memoryview
"""What can be written: contiguous bytes, or a memoryview of an array."""

LARGEST_WRITE = 1 << 30
COPY_CHUNK = 8 << 20
FICLONE = 0x40049409
AT_FDCWD = -100
RENAME_EXCHANGE = 2
SYNC_FILE_RANGE_WRITE = 2
NOT_SUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}


def no_step(operation: str, path: Path) -> None:
    """Take note of an operation about to happen; this one takes none."""


step: Callable[[str, Path], None] = no_step
"""Called before every operation; tests put their own in its place."""


def make_directory(path: Path, mode: int = 0o777) -> None:
    """Make a directory and its missing parents; one that is there stays as it is.

    Args:
        path: the directory.
        mode: permissions of the last component, before the umask; parents get 0o777.

    """
    step("make_directory", path)
    path.mkdir(mode, parents=True, exist_ok=True)


def open_new(path: Path) -> int:
    """Create a file that must not exist and return its descriptor, for reading and writing."""
    step("open_new", path)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def open_sparse(path: Path, size: int) -> int:
    """Open a file to write to, of that size, with holes where nothing was written; return its descriptor."""
    step("open_sparse", path)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    os.ftruncate(fd, size)
    return fd


def open_append(path: Path) -> int:
    """Open a file to append lines to, created where it is missing."""
    step("open_append", path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)


def allocate(fd: int, path: Path, size: int) -> None:
    """Give a new file its size, with the blocks reserved where the system can, so that a full disk shows now."""
    step("allocate", path)
    if size and hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError as error:
            if error.errno not in NOT_SUPPORTED:
                raise
        else:
            return
    os.ftruncate(fd, size)


def write_at(fd: int, path: Path, data: Buffer, offset: int) -> None:
    """Write all of `data` at a byte offset; threads may write to one descriptor at once."""
    step("write_at", path)
    _write_all(data, lambda rest, done: os.pwrite(fd, rest, offset + done))


def begin_sync(fd: int, path: Path, offset: int, count: int) -> None:
    """Have the system begin to bring a stretch of a file to disk, without waiting: `sync` then has less to wait for.

    It promises nothing; where the system has no such call, nothing happens.
    """
    step("begin_sync", path)
    begin = _sync_file_range()
    if begin is not None:
        begin(fd, offset, count, SYNC_FILE_RANGE_WRITE)


@cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    import ctypes

    begin = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if begin is not None:
        begin.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return begin


def append_line(fd: int, path: Path, data: bytes) -> None:
    """Append `data` and a newline in one write, unsynced."""
    step("append_line", path)
    _write_all(data + b"\n", lambda rest, _: os.write(fd, rest))


def _write_all(data: Buffer, write: Callable[[memoryview, int], int]) -> None:
    with memoryview(data).cast("B") as view:
        done = 0
        while done < len(view):
            count = write(view[done : done + LARGEST_WRITE], done)
            if count <= 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            done += count


def sync(fd: int, path: Path) -> None:
    """Wait until the file's bytes are on the disk itself."""
    step("sync", path)
    _full_sync(fd)


def _full_sync(fd: int) -> None:
    # fsync on macOS leaves the bytes in the drive's own cache.
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, full)
            return
    os.fsync(fd)


def sync_directory(path: Path) -> None:
    """Wait until the directory's names are on disk; nothing where the file system syncs no directories."""
    step("sync_directory", path)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
    finally:
        os.close(fd)


def rename(source: Path, destination: Path) -> None:
    """Rename; a file at `destination` is replaced, a directory there must be empty."""
    step("rename", destination)
    source.rename(destination)


def exchange(one: Path, other: Path) -> bool:
    """Swap two names at once, or return False, with nothing changed, where the system cannot."""
    step("exchange", other)
    import ctypes

    swap = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if swap is None:
        return False
    swap.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    if swap(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    # EPERM is how a sandbox says that it does not know the call; a true one comes back from the renames.
    if code in NOT_SUPPORTED or code == errno.EPERM:
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))


def link_as(source: Path, destination: Path) -> Literal["reflink", "hardlink", "copy"]:
    """Give a file a second name in the cheapest way there is: shared blocks, else a hard link, else a copy that is synced.

    The new file has the permissions of the old one.

    Raises:
        FileExistsError: if there is something at `destination`.

    """
    step("reflink", destination)
    if _duplicate(source, destination, _clone_blocks):
        return "reflink"
    step("hardlink", destination)
    try:
        os.link(source, destination)
    except FileExistsError:
        raise
    except OSError:
        step("copy", destination)
        _duplicate(source, destination, _copy_bytes)
        return "copy"
    return "hardlink"


def _clone_blocks(source: int, destination: int) -> bool:
    try:
        fcntl.ioctl(destination, FICLONE, source)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        return False
    return True


def _copy_bytes(source: int, destination: int) -> bool:
    while chunk := os.read(source, COPY_CHUNK):
        _write_all(chunk, lambda rest, _: os.write(destination, rest))
    return True


def _duplicate(source: Path, destination: Path, fill: Callable[[int, int], bool]) -> bool:
    """Fill a new file from an old one, synced and with its permissions; leave nothing behind where `fill` says no."""
    done = False
    from_fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        to_fd = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if fill(from_fd, to_fd):
                os.fchmod(to_fd, stat.S_IMODE(os.fstat(from_fd).st_mode))
                _full_sync(to_fd)
                done = True
        finally:
            os.close(to_fd)
            if not done:
                destination.unlink()
    finally:
        os.close(from_fd)
    return done


def unlink(path: Path) -> None:
    """Remove one name."""
    step("unlink", path)
    path.unlink()


def remove_tree(path: Path) -> None:
    """Remove whatever stands at a name, following no symbolic link; nothing to do where nothing stands there."""
    step("remove_tree", path)
    while os.path.lexists(path):
        # Someone else may be removing the same tree: what is gone already is no error.
        with contextlib.suppress(FileNotFoundError):
            if path.is_symlink() or not path.is_dir():
                path.unlink()
            else:
                import shutil

                shutil.rmtree(path)


def set_mode(path: Path, mode: int) -> None:
    """Set a file's permissions, exactly, whatever the umask."""
    step("set_mode", path)
    path.chmod(mode)


def write_new(path: Path, data: bytes) -> None:
    """Write a small file that must not exist, synced; one that could not be completed is removed."""
    fd = open_new(path)
    try:
        write_at(fd, path, data, 0)
        sync(fd, path)
    except OSError:
        unlink(path)
        raise
    finally:
        os.close(fd)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a small file so that at its name stands all of the old one or all of the new one, and it survives a crash."""
    replace_file(path, data)
    sync_directory(path.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Write a small file as `write_atomic` does, leaving the directory to be synced by the caller."""
    temporary = path.with_name(f".{path.name}.{random_name()}.tmp")
    write_new(temporary, data)
    try:
        rename(temporary, path)
    except OSError:
        unlink(temporary)
        raise


def random_name() -> str:
    """Return eight hexadecimal digits nobody else has."""
    return os.urandom(4).hex()


class Lock:
    """A lock on a file, held until released or until the process ends.

    `excludes` is False where the file system has no locks: then it keeps nobody out.
    """

    def __init__(self, fd: int, *, excludes: bool) -> None:
        """Own the locked descriptor `fd`."""
        self._fd = fd
        self.excludes = excludes

    def release(self) -> None:
        """Let go; the file stays.  A second call does nothing."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)


def try_lock(path: Path, *, create: bool = True) -> Lock | None:
    """Lock a file without waiting; None where another holder has it, has just removed it, or it is missing and not to be made."""
    step("try_lock", path)
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT * create | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except FileNotFoundError:
        return None
    try:
        excludes = _flock(fd)
        # A file that lost its name before it was locked locks nothing that anyone else can see.
        if os.path.samestat(os.fstat(fd), path.stat()):
            return Lock(fd, excludes=excludes)
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _flock(fd: int) -> bool:
    """Lock, or return False where the file system has no locks."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
        return False
    return True


def publish_directory(staged: Path, name: Path) -> None:
    """Put the directory `staged` at `name`: there stands the complete old one or the complete new one, whatever ends when.

    Files in `staged` are synced by the caller; directories are synced here, and the parent before the old tree is removed.
    Where names cannot be exchanged the old tree first steps aside as `.NAME.old-XXXXXXXX`; a process that dies just then
    leaves no `name`, and `recover_directory` brings the old tree back.  One process at a time may publish a name.
    """
    recover_directory(name)
    for folder, _, _ in os.walk(staged):
        sync_directory(Path(folder))
    old = None
    if not os.path.lexists(name):
        rename(staged, name)
    elif exchange(staged, name):
        old = staged
    else:
        old = name.with_name(f".{name.name}.old-{random_name()}")
        try:
            rename(name, old)
            rename(staged, name)
        except BaseException:
            recover_directory(name)
            raise
    for parent in dict.fromkeys((name.parent, staged.parent)):
        sync_directory(parent)
    if old is not None:
        remove_tree(old)


def recover_directory(name: Path) -> None:
    """Finish or undo a publication that died between its renames.

    Where `name` is missing the old tree goes back to it; where `name` stands, old trees beside it are removed.
    """
    aside = re.compile(re.escape(f".{name.name}.old-") + "[0-9a-f]{8}")
    beside = name.parent.iterdir() if name.parent.is_dir() else ()
    found = sorted((path for path in beside if aside.fullmatch(path.name)), key=lambda path: path.lstat().st_ctime_ns)
    if not found:
        return
    if not os.path.lexists(name):
        rename(found.pop(), name)
    sync_directory(name.parent)
    for old in found:
        remove_tree(old)

"""The operations: one function for each thing that is done to a file system, most of them one call of it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal, NoReturn

from msgspec.structs import replace

from modelbuild.files import door
from modelbuild.files.door import AT_END, Buffer, Operation, passing

LARGEST_WRITE = 1 << 30
COPY_CHUNK = 8 << 20
FICLONE = 0x40049409
AT_FDCWD = -100
RENAME_EXCHANGE = 2
SYNC_FILE_RANGE_WRITE = 2
REMOVALS = 3
"""How often a directory is emptied in which somebody goes on making files, before that is an error."""
NOT_SUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}


def make_directory(path: Path, mode: int = 0o777, *, durable: bool = False) -> None:
    """Make a directory and its missing parents; one that is there stays as it is.

    Args:
        path: the directory.
        mode: permissions of the last component, before the umask; parents get 0o777.
        durable: wait until the names of those that were made are on disk.

    """
    if path.is_dir():
        return
    if path.parent != path:
        make_directory(path.parent, durable=durable)
    with passing("make_directory", path):
        path.mkdir(mode, exist_ok=True)
    if durable:
        sync_directory(path.parent)


def open_new(path: Path) -> int:
    """Create a file that must not exist and return its descriptor, for reading and writing."""
    with passing("create", path):
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def open_sparse(path: Path, size: int) -> int:
    """Open a file to write to, of that size, with holes where nothing was written; return its descriptor."""
    with passing("create", path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        with passing("truncate", path, size=size):
            os.ftruncate(fd, size)
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_append(path: Path) -> int:
    """Open a file to append lines to, created where it is missing."""
    with passing("create", path):
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)


def allocate(fd: int, path: Path, size: int) -> None:
    """Give a new file its size, with the blocks reserved where the system can, so that a full disk shows now."""
    with passing("allocate", path, size=size):
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
    _write_all(data, Operation("write", path, offset=offset), lambda rest, done: os.pwrite(fd, rest, offset + done))


def begin_sync(fd: int, offset: int, count: int) -> None:
    """Have the system begin to bring a stretch of a file to disk, without waiting, so that `sync` has less to wait for.

    It changes nothing and promises nothing, so it passes no door; where the system has no such call, nothing happens.
    """
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
    _write_all(data + b"\n", Operation("append", path, offset=AT_END), lambda rest, _: os.write(fd, rest))


def _write_all(data: Buffer, operation: Operation, write: Callable[[memoryview, int], int]) -> None:
    """Write until all is written: a system may take less than it was given, and each time the door is passed."""
    with memoryview(data).cast("B") as view:
        done = 0
        while done < len(view):
            rest = view[done : done + LARGEST_WRITE]
            now = replace(operation, offset=operation.offset if operation.offset == AT_END else operation.offset + done, data=rest)
            count = write(rest[: door.current.before(now)], done)
            if count <= 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(operation.path))
            door.current.after(replace(now, data=rest[:count]))
            done += count


def sync(fd: int, path: Path) -> None:
    """Wait until the file's bytes are on the disk itself."""
    with passing("sync", path):
        # fsync on macOS leaves the bytes in the drive's own cache.
        full = getattr(fcntl, "F_FULLFSYNC", None)
        if full is not None:
            with contextlib.suppress(OSError):
                fcntl.fcntl(fd, full)
                return
        os.fsync(fd)


def sync_directory(path: Path) -> None:
    """Wait until the directory's names are on disk; nothing where the file system syncs no directories."""
    with passing("sync_directory", path):
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
    with passing("rename", destination, source):
        source.rename(destination)


def exchange(one: Path, other: Path) -> bool:
    """Swap two names at once, or return False, with nothing changed, where the system cannot."""
    import ctypes

    swap = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if swap is None:
        return False
    operation = Operation("exchange", other, one)
    door.current.before(operation)
    swap.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    if swap(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        door.current.after(operation)
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
        FileNotFoundError: if there is nothing at `source`.

    """
    if _duplicate(source, destination, _clone_blocks):
        return "reflink"
    try:
        with passing("hardlink", destination, source):
            os.link(source, destination)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:
        _duplicate(source, destination, _copy_bytes)
        return "copy"
    return "hardlink"


def _clone_blocks(from_fd: int, to_fd: int, source: Path, destination: Path) -> bool:
    try:
        with passing("clone", destination, source):
            fcntl.ioctl(to_fd, FICLONE, from_fd)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        return False
    return True


def _copy_bytes(from_fd: int, to_fd: int, source: Path, destination: Path) -> bool:
    del source
    done = 0
    while chunk := os.read(from_fd, COPY_CHUNK):
        _write_all(chunk, Operation("write", destination, offset=done), lambda rest, _: os.write(to_fd, rest))
        done += len(chunk)
    return True


def _duplicate(source: Path, destination: Path, fill: Callable[[int, int, Path, Path], bool]) -> bool:
    """Fill a new file from an old one, synced and with its permissions; leave nothing behind where `fill` says no."""
    done = False
    from_fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with passing("create", destination):
            to_fd = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if fill(from_fd, to_fd, source, destination):
                mode = stat.S_IMODE(os.fstat(from_fd).st_mode)
                with passing("set_mode", destination, size=mode):
                    os.fchmod(to_fd, mode)
                sync(to_fd, destination)
                done = True
        finally:
            os.close(to_fd)
            if not done:
                unlink(destination)
    finally:
        os.close(from_fd)
    return done


def unlink(path: Path) -> None:
    """Remove one name."""
    with passing("unlink", path):
        path.unlink()


def remove_tree(path: Path) -> None:
    """Remove whatever stands at a name, following no symbolic link; nothing to do where nothing stands there."""
    left = REMOVALS
    while os.path.lexists(path):
        try:
            if path.is_symlink() or not path.is_dir():
                unlink(path)
            else:
                _remove_directory(path)
        except FileNotFoundError:  # somebody else is removing the same tree
            continue
        except OSError as error:
            left -= error.errno == errno.ENOTEMPTY  # somebody still writes there
            if error.errno != errno.ENOTEMPTY or left == 0:
                raise


def _remove_directory(path: Path) -> None:
    for folder, directories, names, fd in os.fwalk(path, topdown=False, onerror=_raise):
        for name in (*names, *directories):
            entry = Path(folder, name)
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                    with passing("remove_directory", entry):
                        os.rmdir(name, dir_fd=fd)
                else:
                    with passing("unlink", entry):
                        os.unlink(name, dir_fd=fd)
    with passing("remove_directory", path):
        path.rmdir()


def _raise(error: OSError) -> NoReturn:
    raise error


def set_mode(path: Path, mode: int) -> None:
    """Set a file's permissions, exactly, whatever the umask."""
    with passing("set_mode", path, size=mode):
        path.chmod(mode)


def touch(path: Path) -> None:
    """Let a file look as if it was changed now, so that whoever has another name for it looks again."""
    with passing("touch", path):
        os.utime(path, follow_symlinks=False)


def random_name() -> str:
    """Return eight hexadecimal digits nobody else has."""
    return os.urandom(4).hex()

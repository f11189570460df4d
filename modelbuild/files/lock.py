"""Locks on files: they save work, and nothing depends on them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from modelbuild.files.door import passing
from modelbuild.files.operations import NOT_SUPPORTED

_MODES = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


class Lock:
    """A lock on a file, held until released or until the process ends.

    `excludes` is False where the file system has no locks, or grants the same one twice: then it keeps nobody out.
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
    try:
        with passing("lock", path):
            fd = os.open(path, _MODES | os.O_CREAT * create, 0o666)
    except FileNotFoundError:
        return None
    try:
        excludes = _flock(fd) and _excludes(path)
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


def _excludes(path: Path) -> bool:
    """Tell whether a lock that is held is refused when it is asked for again: some file systems say yes to everybody."""
    fd = os.open(path, _MODES)
    try:
        return not _flock(fd)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)

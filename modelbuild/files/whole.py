"""Files and directories that are there whole or not at all, whatever ends the process, and whenever."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import time
from pathlib import Path

from modelbuild.files import operations
from modelbuild.files.operations import open_new, random_name, remove_tree, rename, sync, sync_directory, unlink, write_at

UNFINISHED_SECONDS = 3600.0
"""What only makes sense together with another file may wait this long for it: somebody may be about to write the other."""
TRIES = 10
CROSSED = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EISDIR}
"""What a publication meets when another of the same name comes in between."""


def write_new(path: Path, data: bytes) -> None:
    """Write a small file that must not exist, synced; one that could not be completed is removed."""
    fd = open_new(path)
    try:
        write_at(fd, path, data, 0)
        sync(fd, path)
    except OSError:
        with contextlib.suppress(OSError):  # of two errors the first one tells
            unlink(path)
        raise
    finally:
        os.close(fd)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a small file so that at its name stands all of the old one or all of the new one, and it survives a crash.

    What processes that died left of it an hour ago is removed.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - left.lstat().st_mtime > UNFINISHED_SECONDS:
                unlink(left)
    replace_file(path, data)
    sync_directory(path.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Write a small file as `write_atomic` does, leaving the directory to be synced by the caller."""
    temporary = path.with_name(f".{path.name}.{random_name()}.tmp")
    try:
        write_new(temporary, data)
        try:
            rename(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                unlink(temporary)
            raise
    except OSError as error:  # it is the file that was asked for which is not written
        error.filename, error.filename2 = str(path), None
        raise


def publish(staged: Path, name: Path) -> None:
    """Put what is staged, a directory or a file, at `name`: there stands all of the old or all of the new, whatever ends when.

    Files are synced by the caller; directories are synced here, and the parent before the old tree is removed.  A file takes the
    place of a file in one rename.  Where a directory comes or goes the two exchange their names; where names cannot be exchanged the
    old tree first steps aside as `.NAME.old-XXXXXXXX`: a process that dies just then leaves no `name`, and `recover` brings the
    old tree back.  Several may publish a name at once: one of them is last.  An old tree that cannot be removed stays where it is, for
    a later build to sweep.
    """
    recover(name)
    for folder, _, _ in os.walk(staged):
        sync_directory(Path(folder))
    swapped = _put(staged, name)
    for parent in dict.fromkeys((name.parent, staged.parent)):
        sync_directory(parent)
    with contextlib.suppress(OSError):
        if swapped:
            remove_tree(staged)
        else:
            recover(name)


def _put(staged: Path, name: Path) -> bool:
    """Give `staged` its name, and tell whether it was exchanged: else what had the name, if anything had, stands aside or is gone."""
    left = TRIES
    while True:
        try:
            if os.path.lexists(name) and (_is_directory(staged) or _is_directory(name)):
                if operations.exchange(staged, name):
                    return True
                rename(name, name.with_name(f".{name.name}.old-{random_name()}"))
            rename(staged, name)
        except OSError as error:
            left -= 1
            if left and error.errno in CROSSED:
                continue
            recover(name)
            raise
        except BaseException:
            recover(name)
            raise
        return False


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def recover(name: Path) -> None:
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
        with contextlib.suppress(OSError):
            remove_tree(old)

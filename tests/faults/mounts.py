"""Small file systems in memory, for one process alone."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

NEW_MOUNTS = 0x20000
PRIVATE, RECURSIVE, REMOUNT = 1 << 18, 1 << 14, 32


def mount_own(path: Path, size: int) -> None:
    """Mount a small file system that this process and those that it starts see alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_MOUNTS) or libc.mount(None, b"/", None, PRIVATE | RECURSIVE, None):
        raise OSError(ctypes.get_errno(), "no mounts of its own")
    mount(path, size, 0)


def mount(path: Path, size: int, flags: int) -> None:
    """Mount a small file system, or with `REMOUNT` give it another size."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", flags, f"size={size}".encode()):
        raise OSError(ctypes.get_errno(), "no mount")


def used(path: Path) -> int:
    """Return the bytes in use on a file system."""
    status = os.statvfs(path)
    return (status.f_blocks - status.f_bfree) * status.f_frsize

"""What a process opens, changes, runs and asks, told by the interpreter itself while somebody watches.

An audit hook cannot be taken back, so there is one for the process, and it looks away while nobody watches.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import modelbuild
from modelbuild.kernels import machine

_RUN = frozenset({
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn",
    "pickle.find_class", "socket.connect", "socket.getaddrinfo", "webbrowser.open",
})  # fmt: skip
_CHANGED = frozenset({
    "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.setxattr", "os.symlink", "os.truncate",
    "os.utime", "shutil.copyfile", "shutil.move", "shutil.rmtree",
})  # fmt: skip
_LISTED = frozenset({"os.listdir", "os.scandir"})
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

PROGRAM = tuple(
    {
        os.path.realpath(path)
        for path in (
            sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), Path(modelbuild.__file__).parent, Path(modelbuild.__file__).parents[1] / "tests",
            "/proc", "/sys/fs/cgroup", "/sys/devices/system", "/usr/lib", "/usr/share/zoneinfo", "/etc/ld.so.cache",
        )
    }
)  # fmt: skip
"""Where the program, its libraries and what it knows of the machine lie: read by every run, whatever the input."""


MACHINE_CODE = tuple(map(os.path.realpath, machine._directories()))
"""Where compiled kernels are kept: the one place beside the project that a build may write to."""

IMPORTED = frozenset(map(os.path.realpath, sys.path))
"""Directories that Python lists to find its own modules."""


@dataclass
class Watch:
    """What happened.

    Args:
        root: the project; nothing beyond it is to be changed, and nothing but the program is to be read beyond it.
        also: what else may be read.
        faults: what happened all the same.

    """

    root: str
    also: tuple[str, ...] = ()
    faults: list[str] = field(default_factory=list)

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Judge one event."""
        if event == "open":
            path, mode, flags = arguments
            writing = bool(flags & _WRITING) or bool(set(mode or "") & set("wax+"))
            self.touched(event, path, writing=writing)
        elif event in _CHANGED:
            for path in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
                self.touched(event, path, writing=True)
        elif event in _LISTED:
            self.touched(event, arguments[0], writing=False)
        elif event in _RUN:
            self.faults.append(f"{event} {arguments[:2]!r}")

    def touched(self, event: str, path: object, *, writing: bool) -> None:
        """Judge the use of one path."""
        if not isinstance(path, str | bytes | os.PathLike):
            return  # a descriptor: it was judged when it was opened
        real = os.path.realpath(os.fsdecode(path))
        if _within(real, self.root):
            if real.endswith((".py", ".pyc", ".so", ".jinja.py")):
                self.faults.append(f"{event} of code in the project: {real}")
        elif any(_within(real, held) for held in MACHINE_CODE) or real == os.devnull:
            return
        elif writing:
            self.faults.append(f"{event} changes {real}")
        elif event in _LISTED and real in IMPORTED:
            return
        elif not any(_within(real, held) for held in (*PROGRAM, *self.also)):
            self.faults.append(f"{event} of {real}")


_watching: list[Watch] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching:
        _watching[-1].see(event, arguments)


sys.addaudithook(_audit)


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


@contextmanager
def watching(root: Path, also: tuple[Path, ...] = ()) -> Iterator[Watch]:
    """Watch this process, in all its threads."""
    watch = Watch(os.path.realpath(root), tuple(map(os.path.realpath, also)))
    _watching.append(watch)
    try:
        yield watch
    finally:
        _watching.remove(watch)

"""Doors that number the operations of a build, and end, fail, shorten, delay or log them."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass, field

from msgspec.structs import replace

from modelbuild import files
from modelbuild.files import Operation
from modelbuild.files.door import Door


class Numbered(Door):
    """Gives each operation the next number, from 0; one at a time passes."""

    def __init__(self) -> None:
        self.passed = 0
        self._lock = threading.Lock()

    def before(self, operation: Operation) -> int:
        with self._lock:
            number = self.passed
            self.passed += 1
            return self.meet(number, operation)

    def meet(self, number: int, operation: Operation) -> int:
        """Do to one operation what is to be done."""
        del number
        return len(operation.data)


class Kill(Numbered):
    """Kills the process before operation `last`; with `half`, a write before that gets half of its bytes to the file."""

    def __init__(self, last: int, *, half: bool = False) -> None:
        super().__init__()
        self._last, self._half = last, half

    def meet(self, number: int, operation: Operation) -> int:
        if number >= self._last + self._half:
            os.kill(os.getpid(), signal.SIGKILL)
        return max(1, len(operation.data) // 2) if self._half and number == self._last else len(operation.data)


SHORT = -1
"""In the place of an errno: a write takes half of what it is given."""


class Fail(Numbered):
    """Lets operation `last` fail with an errno; with `sticky`, all after it too."""

    def __init__(self, last: int, code: int, *, sticky: bool = False) -> None:
        super().__init__()
        self._last, self._code, self._sticky = last, code, sticky
        self.met = ""

    def meet(self, number: int, operation: Operation) -> int:
        if number == self._last or (self._sticky and number > self._last):
            self.met = self.met or operation.kind
            if self._code != SHORT:
                raise OSError(self._code, os.strerror(self._code), str(operation.path))
            return max(1, len(operation.data) // 2)
        return len(operation.data)


class Delay(Numbered):
    """Lets operations of one kind take longer, on paths that hold `where`."""

    def __init__(self, kind: str, seconds: float, where: str = "") -> None:
        super().__init__()
        self._kind, self._seconds, self._where = kind, seconds, where

    def is_slow(self, operation: Operation) -> bool:
        """Tell whether an operation is one of these."""
        return operation.kind == self._kind and self._where in str(operation.path)

    def before(self, operation: Operation) -> int:
        if self.is_slow(operation):
            time.sleep(self._seconds)
        return super().before(operation)


@dataclass
class Log(Door):
    """Keeps what was met, and what was done, in order."""

    met: list[Operation] = field(default_factory=list)
    done: list[Operation] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def before(self, operation: Operation) -> int:
        with self.lock:
            self.met.append(operation)
        return len(operation.data)

    def after(self, operation: Operation) -> None:
        with self.lock:
            self.done.append(replace(operation, data=bytes(operation.data)))


def put(door: Door) -> Door:
    """Put a door in its place for the rest of this process."""
    files.door.current = door
    return door

"""Doors: what a test puts in the place of the one that lets every operation of `modelbuild.files` pass."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from modelbuild.files import Operation
from modelbuild.files.door import Door


class Killed(BaseException):
    """The process is no more: whatever it tries after this raises too."""


@dataclass
class Dying(Door):
    """Ends the process at its `last`-th operation, before it happens, in the words of an exception."""

    last: int
    seen: list[str] = field(default_factory=list)

    def before(self, operation: Operation) -> int:
        if len(self.seen) >= self.last:
            self.last = -1
            raise Killed
        self.seen.append(operation.kind)
        return len(operation.data)

    @property
    def survived(self) -> bool:
        """Whether the end was never reached."""
        return self.last >= 0


@dataclass
class Gone(Door):
    """Ends the process itself before its `last`-th operation, as SIGKILL would."""

    last: int

    def before(self, operation: Operation) -> int:
        self.last -= 1
        if self.last <= 0:
            os._exit(9)
        return len(operation.data)


@dataclass
class Failing(Door):
    """Lets the operations that `which` picks fail with an error."""

    code: int
    which: Callable[[Operation], bool]

    def before(self, operation: Operation) -> int:
        if self.which(operation):
            raise OSError(self.code, os.strerror(self.code), str(operation.path))
        return len(operation.data)

"""What happens during a build, as values.  The engine tells them; reports show them; nobody formats here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from msgspec import Struct


class Started(Struct, frozen=True):
    """Work begins: how many actions there are, how many are known to be reused, at most how many bytes are to be produced.

    `copied` are the bytes that are to be copied into outputs beside those that are produced, `jobs` the workers; `doing`
    is what it is called.
    """

    targets: tuple[str, ...]
    actions: int
    reused: int
    tensors: int
    nbytes: int
    copied: int = 0
    jobs: int = 1
    doing: str = "building"


class Began(Struct, frozen=True):
    """A worker, in whose thread this is told, begins with a tensor; which `Merged`, `Hashed` or `Copied` ends."""

    doing: Literal["merging", "reading", "copying"]
    owner: str
    tensor: str
    nbytes: int
    method: str = ""


class Advanced(Struct, frozen=True):
    """So many bytes of the tensor that this thread merges are written, told of large ones alone; or so many of a file have come."""

    nbytes: int


class Spared(Struct, frozen=True):
    """An action that might have had to run need not: what it gives is known."""

    node: str
    tensor: str
    nbytes: int


class Merged(Struct, frozen=True):
    """One action ran."""

    node: str
    tensor: str
    nbytes: int
    seconds: float
    reason: str


class Settled(Struct, frozen=True):
    """One tensor of a target is known: merged, reused or handed on."""

    target: str
    tensor: str
    nbytes: int


class Hashed(Struct, frozen=True):
    """One source tensor was digested because its file was not known."""

    source: str
    tensor: str
    nbytes: int
    seconds: float = 0.0


class Took(Struct, frozen=True):
    """One step that is no action was taken, to its end or until it failed: "plan", "judge", "fetch", "seal", "publish", "record".

    `name` says of what, "" where of all.
    """

    step: str
    name: str
    seconds: float
    nbytes: int = 0


class Copied(Struct, frozen=True):
    """One tensor that no action of this build wrote there was copied into a file of an output."""

    target: str
    tensor: str
    nbytes: int


class Sealing(Struct, frozen=True):
    """All tensors are settled; so many files are brought to disk and into the cache."""

    files: int


class Published(Struct, frozen=True):
    """A complete output stands at its path; so many bytes of it are links."""

    target: str
    path: str
    files: int
    linked: int = 0


class Exporting(Struct, frozen=True):
    """A target is being written in another form."""

    name: str
    of: str
    form: str


class Kept(Struct, frozen=True):
    """A build ends early, and leaves so many finished tensors, of so many bytes, to the next."""

    tensors: int
    nbytes: int


class Noted(Struct, frozen=True):
    """Something the user should know that is no problem."""

    text: str


class Warned(Struct, frozen=True):
    """Something the user may not have meant."""

    text: str


class Fetching(Struct, frozen=True):
    """A file of a source on the hub, of so many bytes, is being brought here, if it is not here already."""

    source: str
    file: str
    nbytes: int


class Fetched(Struct, frozen=True):
    """A file of a source on the hub was brought here, and is what the hub lists."""

    source: str
    file: str
    nbytes: int


class Evaluated(Struct, frozen=True):
    """A check was run on a model."""

    check: str
    model: str
    seconds: float


class Uploading(Struct, frozen=True):
    """So many files, of so many bytes, are about to be sent to a repository."""

    repo: str
    files: int
    nbytes: int


Event = (
    Started
    | Began
    | Advanced
    | Merged
    | Spared
    | Settled
    | Hashed
    | Copied
    | Took
    | Sealing
    | Exporting
    | Published
    | Kept
    | Noted
    | Warned
    | Fetching
    | Fetched
    | Uploading
    | Evaluated
)
Report = Callable[[Event], None]


@contextmanager
def timed(report: Report, step: str, name: str = "", nbytes: int = 0) -> Iterator[None]:
    """Tell how long something took, also where it fails."""
    started = time.perf_counter()
    try:
        yield
    finally:
        report(Took(step, name, time.perf_counter() - started, nbytes))

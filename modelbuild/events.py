"""What happens during a build, as values.  The engine tells them; reports show them; nobody formats here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Started:
    """Work begins: how many actions there are, how many are known to be reused, at most how many bytes are to be produced."""

    targets: tuple[str, ...]
    actions: int
    reused: int
    tensors: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Merged:
    """One action ran."""

    node: str
    tensor: str
    nbytes: int
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Settled:
    """One tensor of a target is known: merged, reused or handed on."""

    target: str
    tensor: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Hashed:
    """One source tensor was digested because its file was not known."""

    source: str
    tensor: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Published:
    """A complete output stands at its path."""

    target: str
    path: str
    files: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A build ends early, and leaves so many finished tensors, of so many bytes, to the next."""

    tensors: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Noted:
    """Something the user should know that is no problem."""

    text: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user may not have meant."""

    text: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file of a source on the hub was brought here, and is what the hub lists."""

    source: str
    file: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A check was run on a model."""

    check: str
    model: str
    seconds: float


Event = Started | Merged | Settled | Hashed | Published | Kept | Noted | Warned | Fetched | Evaluated
Report = Callable[[Event], None]


def silent(event: Event) -> None:
    """Show nothing."""

"""What became of jobs: none may have failed, and in none anything may have been wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from tests.faults.warm import Ended


class Found(Protocol):
    """What a job gives: in words what was wrong, once or several times, or nothing."""

    @property
    def wrong(self) -> str | tuple[str, ...]:
        """The words."""


Kind = TypeVar("Kind", bound=Found)

_SHOWN = 5


def judged(ended: Sequence[Ended], kind: type[Kind]) -> list[Kind]:
    """Return what jobs gave, which is all of one kind and nowhere wrong."""
    found: list[Kind] = []
    for one in ended:
        assert one.code == 0, one
        assert isinstance(one.value, kind)
        found.append(one.value)
    said = [text for one in found for text in ((one.wrong,) if isinstance(one.wrong, str) else one.wrong) if text]
    assert not said, "\n".join((f"{len(said)} in all", *said[:_SHOWN]))
    return found

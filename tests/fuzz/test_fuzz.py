"""The short run of each kind of mutation; `make fuzz` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.mutation import STRINGS
from tests.fuzz.run import KINDS, run

SHORT = {"headers": 150, "indexes": 150, "companions": 60, "modelfiles": 150, "locks": 60, "recipes": 40}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_mutated_ends_soon_in_words_and_within_its_project(kind: str, tmp_path: Path):
    """A documented exit code, 2 s, a gigabyte, nothing opened beyond the project, nothing run; the seed is fixed."""
    tally = run(kind, SHORT[kind], 7, tmp_path)
    print(tally.row())  # noqa: T201 - the figures of the run

    assert [] == [(number, verdict.faults) for number, verdict in tally.failures]
    assert len(tally.codes) > 1


def test_at_least_sixty_strings_hurt():
    assert len(set(STRINGS)) >= 60

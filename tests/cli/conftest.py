"""The program run in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from modelbuild.cache import stattable
from modelbuild.cli import main
from modelbuild.usecases import stamp
from tests.support.projects import Project


@dataclass(frozen=True)
class Ended:
    """How a run of the program ended."""

    code: int
    out: str
    err: str


Program = Callable[..., Ended]


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    """Run the program with arguments; the environment says nothing to it."""
    for name in ("MODELBUILD_CACHE", "NO_COLOR", "CI", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Ended(int(end.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def built(diamond: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that is built, and whose sources are trusted to be what they were although they are young."""
    monkeypatch.setattr(stattable, "RACY_NS", 0)
    monkeypatch.setattr(stamp, "_RACY_NS", 0)
    diamond.build()
    return diamond

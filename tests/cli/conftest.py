"""The program run in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from modelbuild.cache import stattable
from modelbuild.cli import main
from modelbuild.report import summary
from modelbuild.usecases import foretelling, run, stamp
from modelbuild.usecases.pace import Pace
from tests.cli.screens import Screens
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
def screens(request: pytest.FixtureRequest) -> Screens:
    """What was printed before."""
    return Screens(bool(request.config.getoption("--rewrite-screens")))


@pytest.fixture
def built(diamond: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that is built, and whose sources are trusted to be what they were although they are young."""
    monkeypatch.setattr(stattable, "RACY_NS", 0)
    monkeypatch.setattr(stamp, "_RACY_NS", 0)
    diamond.build()
    return diamond


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything take the same time and memory, and sources be trusted although they are young."""
    monkeypatch.setattr(stattable, "RACY_NS", 0)
    monkeypatch.setattr(stamp, "_RACY_NS", 0)
    monkeypatch.setattr(summary, "seconds", lambda span: "1.2s")
    monkeypatch.setattr(Pace, "merging", lambda self, costs, jobs: 1.2)
    monkeypatch.setattr(Pace, "memory", lambda self, held: 210_000_000)
    monkeypatch.setattr(foretelling, "peak_rss", lambda: 210_000_000)
    monkeypatch.setattr(foretelling, "buffers", lambda actions, budget: 0)
    monkeypatch.setattr(run, "peak_rss", lambda: 210_000_000)

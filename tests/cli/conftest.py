"""The program run in this process."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from modelbuild.cache import stattable
from modelbuild.cache.builds import PastBuild
from modelbuild.cli import main
from modelbuild.report import history, summary
from modelbuild.usecases import foretelling, housekeeping, recording, run, stamp, watching
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
    """Let everything take the same time, memory and room, builds be named in turn, and sources be trusted although they are young.

    What waits for a file to be saved is interrupted.
    """

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    builds: Counter[str] = Counter()

    def named(build: PastBuild) -> str:
        """Count the builds of each project."""
        (path, _), *_ = build.files
        builds[path] += 1
        return f"b{builds[path]:07}"

    monkeypatch.setattr(stattable, "RACY_NS", 0)
    monkeypatch.setattr(stamp, "_RACY_NS", 0)
    for report in (summary, history):
        monkeypatch.setattr(report, "seconds", lambda span: "1.2s")
    monkeypatch.setattr(history, "_when", lambda started: "2026-01-31 12:00:00")
    monkeypatch.setattr(recording, "named", named)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: SimpleNamespace(total=200_000_000_000, used=100_000_000_000, free=100_000_000_000)
    )
    monkeypatch.setattr(housekeeping, "_disk_usage", lambda path: 100_000)
    monkeypatch.setattr(watching, "_wait", interrupted)
    monkeypatch.setattr(Pace, "merging", lambda self, costs, jobs: 1.2)
    monkeypatch.setattr(Pace, "memory", lambda self, held: 210_000_000)
    monkeypatch.setattr(foretelling, "peak_rss", lambda: 210_000_000)
    monkeypatch.setattr(foretelling, "buffers", lambda actions, budget: 0)
    monkeypatch.setattr(run, "peak_rss", lambda: 210_000_000)

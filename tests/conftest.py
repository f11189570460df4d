"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.hubprojects import family, hub
from tests.support.projects import DIAMOND, Project

for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)  # readline, where pytest imports it, tells them to workers: what is printed would go by them

__all__ = ["diamond", "family", "hub", "project"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    return Project(tmp_path)


@pytest.fixture
def diamond(project: Project) -> Project:
    """A project with a small family and a graph of four merges."""
    project.family()
    project.write(DIAMOND)
    return project


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let screens be written anew."""
    parser.addoption("--rewrite-screens", action="store_true", help="write the files in tests/cli/screens anew")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests have told of."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    figures = [str(value) for report in reports for name, value in getattr(report, "user_properties", ()) if name == "figure"]
    if figures:
        terminalreporter.section("figures")
        for line in sorted(figures):
            terminalreporter.line(line)

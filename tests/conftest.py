"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.hubprojects import family, hub
from tests.support.projects import DIAMOND, Project

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

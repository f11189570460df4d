"""Fixtures: a hub with a family of models, and a project that reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hub import Hub
from tests.support.hubs import hub_and_client
from tests.support.projects import Project


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub without repositories, and the client's home at tmp_path / "home"."""
    with hub_and_client(tmp_path / "home", monkeypatch) as hub:
        yield hub


@pytest.fixture
def family(hub: Hub, tmp_path: Path) -> Project:
    """lab/base, lab/code and lab/math on the hub, three layers in three shards; a project that averages them."""
    origin = Project(tmp_path / "origin")
    origin.root.mkdir()
    origin.family()
    for name in ("base", "code", "math"):
        hub.put(f"lab/{name}", origin.root / name)
    project = Project(tmp_path / "project")
    project.root.mkdir()
    project.write(AVERAGE)
    return project


AVERAGE = """\
[source]
base.from = "hf://lab/base"
code.from = "hf://lab/code"
math.from = "hf://lab/math@main"
[merge.release]
method = "linear"
inputs = ["base", "code", "math"]
"""

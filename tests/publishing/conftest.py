"""Somebody who is logged in, and a project of theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from modelbuild import usecases as use_cases
from modelbuild.cache import stattable
from modelbuild.errors import ModelbuildError
from modelbuild.usecases import silent, stamp, testing
from modelbuild.usecases.pushing import Pushed
from tests.support.hub import Hub
from tests.support.projects import Project

WRITER, READER = "hf_writer", "hf_reader"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the client send files in its own way, which its library has deprecated."""
    for item in items:
        if "publishing" in item.path.parts:
            item.add_marker(pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"))


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    """Log somebody in who may write; what is young is trusted to be what it was, and no model is loaded to be checked."""
    monkeypatch.setattr(testing, "ALWAYS", ("finite",))
    monkeypatch.setattr(stattable, "RACY_NS", 0)
    monkeypatch.setattr(stamp, "_RACY_NS", 0)
    hub.store.tokens |= {WRITER: "write", READER: "read"}
    monkeypatch.setenv("HF_TOKEN", WRITER)


Push = Callable[..., Pushed]


@pytest.fixture
def push() -> Push:
    """Push `release` of a project to lab/release, or as it is said."""

    def push(project: Project, target: str = "release", report: Callable[..., None] = silent, **manner: object) -> Pushed:
        return use_cases.push(project.where, target, report, **{"to": "hf://lab/release", **manner})  # type: ignore[arg-type]

    return push


def refused(call: Callable[[], object]) -> ModelbuildError:
    """Return the error that a call ends in."""
    with pytest.raises(ModelbuildError) as raised:
        call()
    return raised.value


def files_of(hub: Hub, repo: str = "lab/release", ref: str = "main") -> Mapping[str, bytes]:
    """Return the files of a branch."""
    held = hub.repositories[repo]
    return held.commits[held.refs[ref]]

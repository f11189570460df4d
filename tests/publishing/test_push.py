"""Publishing through the real client: what is sent, what is not, and what comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelbuild import build as use_cases
from modelbuild.build.pushing import Manner, Pushed
from tests.support.hub import Hub
from tests.support.projects import Project

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
"""The client's own way of sending files."""


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> str:
    """Somebody is logged in who may write."""
    hub.store.tokens["hf_writer"] = "write"
    hub.store.tokens["hf_reader"] = "read"
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    return "hf_writer"


def push(project: Project, **manner: object) -> Pushed:
    """Push `release` to lab/release."""
    return use_cases.push(project.where, "release", Manner(**{"to": "hf://lab/release", **manner}))


def test_what_is_pushed_comes_back(family: Project, hub: Hub, tmp_path: Path):
    pushed = push(family)
    print(pushed)
    print(hub.repositories["lab/release"].commits[pushed.commit]["README.md"].decode())
    print(hub.store.taken)
    hub.requests.clear()
    again = push(family)
    print(again, hub.store.taken, [(r.method, r.path) for r in hub.requests])
    where = use_cases.checkout("hf://lab/release", tmp_path)
    print(where)
    print(use_cases.build(where, (), use_cases.Options(locked=True)))
    print(use_cases.verify(where))
    assert 0

"""`init` on a terminal and off it."""

from __future__ import annotations

import sys
from io import StringIO

import pytest

from tests.cli.conftest import Program
from tests.support.projects import Project


class Terminal(StringIO):
    """Answers, typed on a terminal."""

    def isatty(self) -> bool:
        return True


def answers(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Type lines."""
    monkeypatch.setattr(sys, "stdin", Terminal("".join(f"{line}\n" for line in lines)))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)


def test_on_a_terminal_it_asks_for_what_is_not_given(program: Program, project: Project, monkeypatch: pytest.MonkeyPatch):
    project.family()
    answers(monkeypatch, "ties", "base", "code", "")

    ended = program("init", "-C", project.root)

    assert 0 == ended.code
    assert "  frankenmerge  a deeper model of layers of two\n" in ended.out
    assert 0 == program("build", "-C", project.root).code
    text = (project.root / "Modelfile.toml").read_text()
    assert "inputs = [ " in text
    assert '  { model = "code", weight = 1.0, density = 0.5 },\n]' in text


def test_it_asks_nothing_off_a_terminal_or_where_it_is_to_be_quiet(program: Program, project: Project, monkeypatch: pytest.MonkeyPatch):
    given = program("init", "-C", project.root, "a", "--template", "slerp", "-m", "base", "-m", "code")
    assert (0, f"wrote {project.root}/a/Modelfile.toml: run `modelbuild build`\n") == (given.code, given.out)
    answers(monkeypatch)

    quiet = program("init", "-C", project.root, "b", "-q")

    assert (0, "") == (quiet.code, quiet.out)
    assert "[merge.skills]" in (project.root / "b/Modelfile.toml").read_text()

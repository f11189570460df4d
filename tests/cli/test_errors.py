"""What errors a user meets say, letter by letter, at 60, 80 and 120 columns: tests/cli/screens/errors-GROUP-COLUMNS.txt.

To add one, add to a group in `errors/` what is wrong and the command that finds it; `screens.py` says how its text is written.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Program
from tests.cli.errors import ERRORS, ON_A_HUB, SLOW
from tests.cli.errors.scene import scene
from tests.cli.screens import HOME, Screens
from tests.support.projects import Project

ROOT = Path(__file__).parent.parent.parent
TABLES = Path(__file__).parent / "errors"


@pytest.mark.usefixtures("steady")
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
@pytest.mark.parametrize("width", [pytest.param(60, marks=pytest.mark.slow), 80, pytest.param(120, marks=pytest.mark.slow)])
@pytest.mark.parametrize("group", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in ERRORS])
def test_errors_of(group: str, width: int, project: Project, program: Program, screens: Screens, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", str(width))
    printed = []
    for i, (name, (wrong, command)) in enumerate(ERRORS[group].items()):
        with scene(project.root / str(i), hub=group in ON_A_HUB) as one:
            wrong(one)
            ended = program(*shlex.split(command))
        assert 0 != ended.code, name
        printed.append(f"--- {name}\n$ modelbuild {command}\n{ended.out}{ended.err}[{ended.code}]\n".replace(str(one.root), "…"))

    screens.hold(f"errors-{group}-{width}", "\n".join(printed))


SAYS = {"Problem", "problem", "say", "refuse", "add", "missing_key", "Unexportable", "Inexpressible", "Malformed", "_broken"}
"""What words an error, or a fact of one."""

SAYS_OF_ARGUMENTS = {"BadParameter", "Problem"}
"""What words an error in `cli/`, where `say` is talk."""


@pytest.mark.slow
def test_every_error_is_held_by_a_screen_or_a_test():
    """By the longest piece of its words that stands in the code as it is said: add those that are left to `errors/`."""
    held = "\n".join(
        path.read_text()
        for pattern in ("*.py", "*-80.txt")
        for path in sorted((ROOT / "tests").rglob(pattern))
        if path != Path(__file__) and TABLES not in path.parents
    )
    words = " ".join(held.split())

    assert [] == [(file, piece) for file, piece in sites() if " ".join(piece.split()) not in words]


@pytest.mark.slow
def test_every_error_on_a_screen_has_a_way_out():
    """A hint, or a list of what is declared or known."""
    said = [(path.name, text) for path in HOME.glob("errors-*-120.txt") for text in path.read_text().split("\n\n")]
    without = [
        (name, text)
        for name, text in said
        if "error: " in text and not re.search(r"^(hint: |  (declared|known here): )", text, re.MULTILINE)
    ]

    assert [] == without


def sites() -> Iterator[tuple[str, str]]:
    """Yield where an error is worded, and the longest piece of its words that stands in the code as it is said."""
    for path in sorted((ROOT / "modelbuild").rglob("*.py")):
        says = SAYS_OF_ARGUMENTS if path.parent.name == "cli" else SAYS
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and call.args and _name(call.func) in says:
                nodes = (node for argument in call.args for node in ast.walk(argument))
                pieces = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
                longest = max((piece.strip(" `,.:") for piece in pieces), key=len, default="")
                if len(longest) > 5:
                    yield str(path.relative_to(ROOT)), longest


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""

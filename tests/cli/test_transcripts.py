"""Every command's screen at 60, 80 and 120 columns, as a transcript of a session: tests/cli/screens/COMMAND-COLUMNS.txt.

To add a command, add what is to be typed to `SESSIONS`, and have its screens written: see `screens.py`.  Its help is shown
in any case.  A command that changes the project it runs in belongs into `CHANGING` too, and gets one of its own.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from modelbuild.cli.app import COMMANDS
from tests.cli.conftest import Program
from tests.cli.screens import Screens
from tests.support.projects import DIAMOND, Project

WIDTHS = (pytest.param(60, marks=pytest.mark.slow), 80, pytest.param(120, marks=pytest.mark.slow))

SESSIONS = {
    "build": (
        "build -n",
        "build",
        "build",
        "build --set merge.blend.t=0.5 --progress none",
        "build -n --explain --set merge.blend.t=0.7",
        "build --check",
        "build nope",
        "build --progress sometimes",
    ),
    "watch": ("watch", "watch nope"),
    "status": ("status", "status --set seed=3", "status skills blend", "status --json"),
    "explain": ("explain release::model.norm.weight --set merge.blend.t=0.5", "explain skills", "explain release::nope"),
    "why": ("why math release", "why blend::model.norm.weight math", "why talk skills", "why nope release"),
    "log": ("log", "build --set merge.blend.t=0.5 --progress none", "log", "log b0000002", "log nope"),
    "diff": (
        "build --set merge.blend.t=0.5 --progress none",
        "diff b0000001 release --exit-code",
        "diff b0000002 release",
        "diff release blend",
        "diff base nope",
    ),
    "restore": (
        "build --set merge.blend.t=0.5 --progress none",
        "restore b0000001 -o before",
        "restore b0000001",
        "restore b0000001",
        "restore nope",
        "restore b0000001 nope",
    ),
    "show": ("show blend", "show nope"),
    "graph": ("graph", "graph skills", "graph --format mermaid", "graph --format dot", "graph --format json", "graph nope"),
    "report": ("report", "report nope"),
    "methods": ("methods", "methods ties", "methods slerp", "methods nope"),
    "lock": ("lock --check", "lock", "lock", "lock --check", "lock --upgrade nope"),
    "verify": ("verify", "verify --rebuild"),
    "test": ("test nope", "test --check nope"),
    "compare": ("compare nope", "compare base code"),
    "search": ("search nope",),
    "fetch": ("fetch",),
    "card": ("card skills", "card skills -o CARD.md", "card skills -o CARD.md", "card nope"),
    "push": ("push", "push --to lab/release", "push blend --to hf://lab/blend -n"),
    "clean": ("clean", "clean"),
    "cache": ("cache size", "cache verify", "cache gc", "cache clean", "cache size", "cache ls"),
    "init": ("init new", "init new", "init other --template nope", "init other --template slerp -m base -m code"),
    "import": ("import merge.yml", "import merge.yml -o imported.toml", "import broken.yml", "import nope.yml"),
    "export": ("export blend", "export release", "export release -o out.yml"),
    "schema": (),
    "doctor": (),
}
"""What is typed after the name of the program; the schema and what the doctor finds are in tests of their own."""

CHANGING = {"build", "lock", "card", "clean", "cache", "init", "import", "export", "watch", "log", "diff", "restore", "report"}

DAILY = {"build", "watch", "status", "explain", "why", "show", "graph", "methods", "clean", "fetch", "schema", "doctor"}
"""Commands whose screens are quick enough for every day; the others are looked at with the slow tests."""

FIRST = {"build": ()}
"""Commands whose session begins with nothing built."""

MERGE = """\
merge_method: slerp
base_model: base
models:
  - model: base
  - model: code
parameters:
  t: [{filter: self_attn, value: [0.0, 0.5]}, {value: 0.5}]
dtype: bfloat16
"""


pytestmark = pytest.mark.usefixtures("steady")


def prepare(root: Path) -> Project:
    """Write a project: a diamond, and configurations for mergekit."""
    project = Project(root)
    project.family()
    project.write(DIAMOND)
    (root / "merge.yml").write_text(MERGE)
    (root / "broken.yml").write_text(MERGE.replace("slerp", "slurp").replace("dtype", "dtipe"))
    return project


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that is built, for commands that leave it as it is."""
    return prepare(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def typed(program: Program, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, int, str], str]:
    """Run the program in a directory, on a page of so many columns, and return the command with all that is printed."""

    def run(root: Path, width: int, line: str) -> str:
        monkeypatch.chdir(root)
        monkeypatch.setenv("COLUMNS", str(width))
        ended = program(*shlex.split(line))
        code = f"[{ended.code}]\n" if ended.code else ""
        return f"$ modelbuild {line}\n{ended.out}{ended.err}{code}".replace(str(root), "…")

    return run


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", [name if name in DAILY else pytest.param(name, marks=pytest.mark.slow) for name in COMMANDS])
def test_every_screen_of(command: str, width: int, shared: Project, tmp_path: Path, screens: Screens, typed):
    project = prepare(tmp_path) if command in CHANGING else shared
    if SESSIONS[command] and command not in FIRST:
        typed(project.root, width, "build -q -j 1")

    helps = [f"{command} --help", *(f"cache {name} --help" for name in ("ls", "size", "gc", "verify", "clean") if command == "cache")]
    printed = "\n".join(typed(project.root, width, line) for line in (*helps, *SESSIONS[command]))

    screens.hold(f"{command}-{width}", printed)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_screen_of_the_program_alone(width: int, tmp_path: Path, screens: Screens, typed):
    screens.hold(f"modelbuild-{width}", "\n".join(typed(tmp_path, width, line) for line in ("--help", "--version", "stauts", "status")))


def test_every_command_is_in_the_table():
    assert set(COMMANDS) == set(SESSIONS)

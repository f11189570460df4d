"""mergekit and modelbuild as functions from a merge to its tensors, and a table of how they compare."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from . import oracle
from .cases import TARGET, Case
from .comparing import Distance, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from .comparing import Bits

    Row = Callable[..., None]
    Merger = Callable[[Case], dict[str, Bits]]

ROOT = Path(__file__).resolve().parents[2]
ROW = "parity"


@pytest.fixture(scope="session")
def family() -> Path:
    """Return where the example models are."""
    return ROOT / "examples" / "family"


@pytest.fixture(scope="session")
def mergekit(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, object]], Path]:
    """Run `mergekit-yaml` on a config; returns the directory it wrote.

    It lives in MODELBUILD_MERGEKIT_VENV, which is taken as it is, or else in .venv-mergekit, which is made here.
    """
    given = os.environ.get("MODELBUILD_MERGEKIT_VENV")
    home = Path(given) if given else oracle.ensure(ROOT / ".venv-mergekit")
    return lambda config: oracle.merge(home, config, tmp_path_factory.mktemp("mergekit"))


@pytest.fixture(scope="session")
def theirs(mergekit: Callable[[dict[str, object]], Path], family: Path) -> Merger:
    """Merge a case with mergekit."""
    return lambda case: read(mergekit(case.for_mergekit(family)))


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory, family: Path) -> Merger:
    """Merge a case with `modelbuild build`."""

    def merge(case: Case) -> dict[str, Bits]:
        work = tmp_path_factory.mktemp("modelbuild")
        (work / "Modelfile.toml").write_text(case.for_modelbuild(family))
        oracle.run([sys.executable, "-m", "modelbuild", "build", TARGET, "-C", str(work)], cwd=ROOT)
        return read(work / "out" / TARGET)

    return merge


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Row:
    """Add a line to the table at the end of the run, which may be another process's."""

    def add(case: Case, of_mergekit: Distance, of_formula: Distance | None = None) -> None:
        record_property(ROW, [case.name, asdict(of_mergekit), asdict(of_formula) if of_formula else None])

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table: steps of bfloat16 and shares of elements, against the formula and against mergekit."""
    done = [test for outcome in ("passed", "failed") for test in terminalreporter.getreports(outcome)]
    rows = [row for test in done if test.when == "call" for key, row in test.user_properties if key == ROW]
    if not rows:
        return
    terminalreporter.section("parity")
    width = max(len(name) for name, *_ in rows)
    one = f"{'max ulp':>9}{'equal':>11}{'halfway':>10}"
    terminalreporter.line(f"{'':{width}}   formula:{'':22}  mergekit:")
    terminalreporter.line(f"{'merge':{width}} {one} {one}{'left out':>10}")
    for name, of_mergekit, of_formula in sorted(rows):
        formula = _columns(Distance(**of_formula)) if of_formula else " " * len(one)
        found = Distance(**of_mergekit)
        left_out = found.excluded / (found.compared + found.excluded)
        terminalreporter.line(f"{name:{width}} {formula} {_columns(found)}{left_out:10.2%}")


def _columns(found: Distance) -> str:
    return f"{found.ulps:9}{found.equal / found.compared:11.4%}{found.halfway / found.compared:10.4%}"

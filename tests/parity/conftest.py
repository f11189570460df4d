"""mergekit and modelbuild as functions from a merge to its tensors, and a table of how they compare."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add where the table may be written to."""
    parser.addoption("--parity-report", type=Path, help="write the table of differences from mergekit to this file")


HEAD = """\
# Parity with mergekit

Written by `make parity`: every deterministic method that mergekit 0.1.5 has, on the example family, in both programs, and in float64
from its formula. Both are told `dtype: float32` and write bfloat16. Ulp are steps of bfloat16.

- **halfway**: the exact value lies between two neighbours, so near their middle that float32 decides, and the two chose differently.
- **left out**: entries whose magnitude ties with the threshold of a selection, where mergekit keeps any of them and we the first;
  what is left is compared. There the formula alone judges.
- Differences of less than 2^-20 of the largest input count as none; for methods with norms, which mergekit takes in float32, of less
  than 2^-16 to 2^-13; for sce with a selection, whose weights hang on which of equal variances are selected, of less than 2^-10.

Random methods (dare, della) are held to their law instead, in `tests/methods`: how many entries are kept, and what they sum to.

| merge | formula: max ulp | equal | halfway | mergekit: max ulp | equal | halfway | left out |
|---|---|---|---|---|---|---|---|
"""


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
    if path := terminalreporter.config.getoption("--parity-report"):
        path.write_text(HEAD + "".join(map(_row, sorted(rows))))
    for name, of_mergekit, of_formula in sorted(rows):
        formula = _columns(Distance(**of_formula)) if of_formula else " " * len(one)
        found = Distance(**of_mergekit)
        left_out = found.excluded / (found.compared + found.excluded)
        terminalreporter.line(f"{name:{width}} {formula} {_columns(found)}{left_out:10.2%}")


def _row(row: tuple[str, dict[str, Any], dict[str, Any] | None]) -> str:
    name, of_mergekit, of_formula = row
    found = Distance(**of_mergekit)
    cells = _columns(Distance(**of_formula)).split() if of_formula else ["", "", ""]
    left_out = found.excluded / (found.compared + found.excluded)
    return f"| {' | '.join([name, *cells, *_columns(found).split(), f'{left_out:.2%}'])} |\n"


def _columns(found: Distance) -> str:
    return f"{found.ulps:9}{found.equal / found.compared:11.4%}{found.halfway / found.compared:10.4%}"

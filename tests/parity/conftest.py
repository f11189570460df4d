"""mergekit and modelbuild as functions from a merge to its tensors, and a table of how they compare."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from . import oracle
from .cases import Case, modelfile
from .comparing import Distance, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from .comparing import Bits

    Row = Callable[..., None]
    Merger = Callable[..., list[dict[str, Bits]]]
    """(family, *cases) to the tensors of each"""

ROOT = Path(__file__).resolve().parents[2]
ROW, LAW = "parity", "law"


@pytest.fixture(scope="session")
def family() -> Path:
    """Return where the example models are."""
    return ROOT / "examples" / "family"


@pytest.fixture(scope="session")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Merger:
    """Merge cases with mergekit.

    It lives in MODELBUILD_MERGEKIT_VENV, which is taken as it is, or else in .venv-mergekit, which is made here.
    """
    given = os.environ.get("MODELBUILD_MERGEKIT_VENV")
    home = Path(given) if given else oracle.ensure(ROOT / ".venv-mergekit")

    def merge(family: Path, *cases: Case) -> list[dict[str, Bits]]:
        work = tmp_path_factory.mktemp("mergekit")
        configs = {str(work / str(i)): case.for_mergekit(family) for i, case in enumerate(cases)}
        oracle.merge(home, configs, work / "asked.json")
        return [read(Path(out)) for out in configs]

    return merge


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Merger:
    """Merge cases with one `modelbuild build`."""

    def merge(family: Path, *cases: Case) -> list[dict[str, Bits]]:
        work = tmp_path_factory.mktemp("modelbuild")
        targets = {f"t{i}": case for i, case in enumerate(cases)}
        (work / "Modelfile.toml").write_text(modelfile(targets, family))
        oracle.run([sys.executable, "-m", "modelbuild", "build", "-C", str(work)], cwd=ROOT)
        return [read(work / "out" / target) for target in targets]

    return merge


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Row:
    """Add a line to the table at the end of the run, which may be another process's."""

    def add(case: Case, of_mergekit: Distance, of_formula: Distance | None = None, *, shape: str = "") -> None:
        record_property(ROW, [shape, case.name, asdict(of_mergekit), asdict(of_formula) if of_formula else None])

    return add


@pytest.fixture
def report_law(record_property: Callable[[str, object], None]) -> Row:
    """Add a line to the table of random methods: shares kept, and L1 norms, ours and mergekit's."""
    return lambda *row: record_property(LAW, row)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add where the table may be written to."""
    parser.addoption("--parity-report", type=Path, help="write the table of differences from mergekit to this file")


HEAD = """\
# Parity with mergekit

Written by `make parity`: every deterministic method that mergekit 0.1.5 has, in both programs, and in float64 from its formula. Both
are told `dtype: float32` and write bfloat16. Ulp are steps of bfloat16.

- **halfway**: the exact value lies between two neighbours, so near their middle that float32 decides, and the two chose differently.
- **left out**: entries whose magnitude ties with the threshold of a selection, where mergekit keeps any of them and we the first;
  what is left is compared. There the formula alone judges.
- Differences of less than 2^-20 of the largest input count as none; for methods with norms, which mergekit takes in float32, of less
  than 2^-16 to 2^-13; for sce with a selection, whose weights hang on which of equal variances are selected, of less than 2^-10.
- arcee_fusion is not here: mergekit estimates its quantiles from a random sample, ours are exact. Its formula is held in `tests/methods`.

## The example family

| merge | formula: max ulp | equal | halfway | mergekit: max ulp | equal | halfway | left out |
|---|---|---|---|---|---|---|---|
"""

SHAPES_HEAD = """
## Random models of other shapes

A base and three fine-tunes of each, two layers, weights drawn at random. Against mergekit: max ulp, and the share that is equal.
sce selects nothing here: most variances are equal, and each choice among equals gives a tensor other weights.

"""

LAW_HEAD = """
## Random methods

Each program draws masks of its own, so that laws are compared: of the example `code` on `base`, at density 0.5, which share of the entries
that differ is kept, and the L1 norm of the merged task vector beside that of the whole one.

| method | kept: ours | mergekit | standard error | L1 norm: ours | mergekit |
|---|---|---|---|---|---|
"""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables: steps of bfloat16 and shares of elements, against the formula and against mergekit; shares kept."""
    done = [test for outcome in ("passed", "failed") for test in terminalreporter.getreports(outcome) if test.when == "call"]
    found = {key: sorted(row for test in done for name, row in test.user_properties if name == key) for key in (ROW, LAW)}
    if not any(found.values()):
        return
    text = HEAD + "".join(_row(name, *distances) for shape, name, *distances in found[ROW] if not shape)
    text += SHAPES_HEAD + _matrix([row for row in found[ROW] if row[0]])
    text += LAW_HEAD + "".join(f"| {' | '.join([row[0], *(f'{share:.4%}' for share in row[1:])])} |\n" for row in found[LAW])
    terminalreporter.section("parity")
    terminalreporter.line(text)
    if path := terminalreporter.config.getoption("--parity-report"):
        path.write_text(text)


def _row(name: str, of_mergekit: dict[str, Any], of_formula: dict[str, Any] | None) -> str:
    found = Distance(**of_mergekit)
    cells = _columns(Distance(**of_formula)) if of_formula else ["", "", ""]
    left_out = found.excluded / (found.compared + found.excluded)
    return f"| {' | '.join([name, *cells, *_columns(found), f'{left_out:.2%}'])} |\n"


def _matrix(rows: list[tuple[str, str, dict[str, Any], Any]]) -> str:
    shapes = list(dict.fromkeys(shape for shape, *_ in rows))
    lines = [f"| merge | {' | '.join(shapes)} |", f"|---|{'---|' * len(shapes)}"]
    cells: dict[str, dict[str, str]] = {}
    for shape, name, of_mergekit, _ in rows:
        ulps, equal, _ = _columns(Distance(**of_mergekit))
        cells.setdefault(name, {})[shape] = f"{ulps}, {equal}"
    lines += [f"| {' | '.join([name, *(of.get(shape, '') for shape in shapes)])} |" for name, of in sorted(cells.items())]
    return "\n".join(lines) + "\n"


def _columns(found: Distance) -> list[str]:
    return [str(found.ulps), f"{found.equal / found.compared:.4%}", f"{found.halfway / found.compared:.4%}"]

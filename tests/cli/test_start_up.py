"""What the program imports before it knows that there is work."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from modelbuild import usecases as use_cases
from tests.support.hub import Hub
from tests.support.projects import DIAMOND, Project

HEAVY = ("torch", "numba", "numpy", "networkx", "transformers", "huggingface_hub", "pydantic", "rich", "diskcache", "safetensors")

PROGRAM = """
import sys
from modelbuild.cli import main
try:
    main(sys.argv[1:])
finally:
    print("imported:", *sorted(sys.modules), file=sys.stderr)
"""


SHOWS = {"modelbuild.events", "modelbuild.report.plain", "modelbuild.report.live", "modelbuild.exports", "importlib.metadata"}
"""What a tenth of a second goes for, and is for who has something to do."""


def modules(*arguments: str) -> set[str]:
    """Return the modules that a run of the program imports."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    return set(done.stderr.rpartition("imported:")[2].split())


def imported(*arguments: str) -> set[str]:
    """Return the top-level modules that a run of the program imports."""
    return {name.partition(".")[0] for name in modules(*arguments)}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("build", "--help"), ("cache", "--help")], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]):
    assert set() == imported(*arguments) & {*HEAVY}


def test_a_null_build_imports_nothing_heavy_whatever_its_options(diamond: Project):
    """The sources are older than two seconds, so that the build leaves a stamp."""
    time.sleep(2.1)
    diamond.write(DIAMOND + '[merge.x]\nmethod = "slerp"\ninputs = ["base", "code"]\nmatrix.t = [0.3, 0.5]\n')
    diamond.build()
    options = ("-C", str(diamond.root), "-j", "2", "--device", "auto", "--color", "never", "--json")
    program = (sys.executable, "-m", "modelbuild", "build", *options, "release", "x@*")
    subprocess.run(program, check=True, capture_output=True)

    assert set() == imported("-C", str(diamond.root), "build") & {*HEAVY}
    assert set() == modules("build", *options, "release", "x@*") & SHOWS
    assert set() == imported("build", *options, "release", "x@*") & {*HEAVY}


def test_the_status_of_what_is_fresh_imports_nothing_heavy(diamond: Project):
    """Of the default targets, and of one of them by name; of one that was never built it plans."""
    time.sleep(2.1)
    diamond.build()

    assert set() == imported("-C", str(diamond.root), "status") & {*HEAVY}
    assert set() == imported("-C", str(diamond.root), "status", "release", "--json") & {*HEAVY}
    assert "modelbuild.plan.plan" not in modules("-C", str(diamond.root), "status", "release")
    assert "modelbuild.plan.plan" in modules("-C", str(diamond.root), "status", "skills")


def test_networkx_finds_the_order_where_merges_do_not_stand_in_one(diamond: Project):
    """Where each stands behind what it reads there is nothing to find."""
    assert "networkx" not in imported("-C", str(diamond.root), "graph")
    sources, *merges = DIAMOND.split("[merge.")
    diamond.write("[merge.".join((sources, *reversed(merges))))
    assert "networkx" in imported("-C", str(diamond.root), "graph")


def test_methods_are_shown_without_the_libraries_that_planning_and_computing_need(project: Project):
    """The methods are imported, and they import no torch."""
    assert set() == imported("methods") & {*HEAVY}


def test_a_null_build_with_a_lock_and_sources_on_a_hub_imports_nothing_heavy_and_asks_nothing(family: Project, hub: Hub):
    use_cases.lock(family.where)
    use_cases.fetch(family.where)
    time.sleep(2.1)
    family.build()
    family.build(locked=True)
    hub.requests.clear()

    for options in ((), ("--locked",), ("--offline",)):
        assert set() == imported("-C", str(family.root), "build", *options) & {*HEAVY}
    assert [] == hub.requests


def test_a_build_without_stamp_imports_neither_torch_nor_transformers(diamond: Project):
    """Nor what finds out about installed packages, which takes as long as numpy."""
    unused = {"torch", "transformers", "huggingface_hub", "email", "logging", "hashlib", "socket"}
    found = modules("build", "-C", str(diamond.root))

    assert "modelbuild.kernels.machine" in found
    assert set() == {name.partition(".")[0] for name in found} & unused
    assert "importlib.metadata" not in found


@pytest.mark.parametrize("words", ["build --dry-run", "explain release", "lock", "schema"])
def test_a_modelfile_is_read_without_a_library_for_validation(diamond: Project, words: str):
    assert set() == imported(*words.split(), "-C", str(diamond.root)) & {"pydantic", "pydantic_core"}

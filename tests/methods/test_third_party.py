"""A method from elsewhere: installed as a distribution of its own, and then like any other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from modelbuild import methods
from modelbuild.errors import ModelbuildError
from tests.support.checkpoints import from_bfloat16, random_tensors, read_model, to_bfloat16
from tests.support.projects import Project

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "method"
MODELS = ("base", "code", "math", "prose")
TENSORS = 30
SETTLED = 2.1
"""Seconds after which a source is old enough for a stamp."""

BUILD = """\
import json, sys
from pathlib import Path
from modelbuild import usecases as use_cases
outcome = use_cases.build(use_cases.Where(Path("Modelfile.toml")))
print(json.dumps([outcome.targets[0].state, outcome.actions.run, outcome.exit_code]))
"""

METHODS = """\
import json
from modelbuild import usecases as use_cases
print(json.dumps([[view.name, view.forms, view.text, view.source] for view in use_cases.list_methods()]))
"""


@pytest.mark.parametrize(
    ("place", "fact"),
    [
        ("modelbuild.methods.linear:linear", "the method there calls itself `linear`"),
        ("modelbuild.methods.linear:__doc__", "it is of type str, not modelbuild.method.Method"),
        ("modelbuild.nowhere:mine", "ModuleNotFoundError: No module named 'modelbuild.nowhere'"),
    ],
)
def test_an_entry_point_that_leads_to_no_method_of_its_name_is_told(monkeypatch: pytest.MonkeyPatch, place: str, fact: str):
    monkeypatch.setattr(methods, "installed", lambda: {"mine": EntryPoint("mine", place, methods.GROUP)})

    with pytest.raises(ModelbuildError) as raised:
        methods.load("mine")

    expected = f"""\
error: the installed method `mine` cannot be used
  its entry point is {place}
  {fact}
hint: mend or uninstall that distribution"""
    assert expected == str(raised.value)


def test_nobody_takes_the_name_of_a_built_in_method(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(methods, "installed", lambda: {"linear": EntryPoint("linear", "modelbuild.methods.slerp:slerp", methods.GROUP)})

    assert "linear" == methods.load("linear").name
    assert ("modelbuild", "modelbuild") == methods.origin("linear")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The example installed beside everything else; its own directory stays as it was."""
    copy, site = tmp_path_factory.mktemp("example") / "method", tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLE, copy)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*pip, "--target", site, copy], check=True)
    return site


@pytest.fixture
def median(project: Project) -> Project:
    """A project that merges by it."""
    base = random_tensors(0)
    for seed, name in enumerate(MODELS):
        project.model(name, random_tensors(seed, near=base) if seed else base)
    sources = "".join(f'[source.{name}]\nfrom = "{name}"\n' for name in MODELS)
    project.write(f'{sources}[merge.release]\nmethod = "median"\ninputs = {json.dumps(MODELS)}\n')
    return project


def run(code: str, site: Path, where: Path):
    """Run Python with the example installed, and return what it prints."""
    root = EXAMPLE.parents[1]
    path = os.pathsep.join(map(str, (site, root)))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=where,
        env={**os.environ, "PYTHONPATH": path},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


def edit(path: Path, old: str, new: str) -> None:
    """Replace what stands in a file once."""
    text = path.read_text()
    assert 1 == text.count(old)
    path.write_text(text.replace(old, new))


def test_it_is_built_with_and_a_second_build_runs_nothing(median, site):
    """The values are numpy's, rounded once."""
    assert ["built", TENSORS, 0] == run(BUILD, site, median.root)

    models, merged = [read_model(median.root / name) for name in MODELS], read_model(median.root / "out" / "release")
    for tensor, values in merged.items():
        expected = from_bfloat16(to_bfloat16(np.median([model[tensor] for model in models], axis=0)))
        np.testing.assert_array_equal(expected, values)

    assert ["fresh", 0, 0] == run(BUILD, site, median.root)


def test_an_odd_number_of_models_has_one_in_the_middle(median, site):
    median.edit(', "prose"]', "]")
    run(BUILD, site, median.root)

    models, merged = [read_model(median.root / name) for name in MODELS[:3]], read_model(median.root / "out" / "release")
    for tensor, values in merged.items():
        np.testing.assert_array_equal(np.sort([model[tensor] for model in models], axis=0)[1], values)


def test_a_raised_revision_is_built_anew(median, site, tmp_path_factory):
    """It halves what it computed before; a build that found everything fresh, and left a stamp that says so, notices."""
    other = tmp_path_factory.mktemp("other") / "site"
    shutil.copytree(site, other)
    time.sleep(SETTLED)
    run(BUILD, other, median.root)
    before = read_model(median.root / "out" / "release")
    assert 1 == len(list((median.root / "cache" / "stamps").iterdir()))
    edit(other / "modelbuild_median.py", "revision=1", "revision=2")
    edit(other / "modelbuild_median.py", ") / 2", ") / 4")

    assert ["built", TENSORS, 0] == run(BUILD, other, median.root)
    for tensor, values in read_model(median.root / "out" / "release").items():
        np.testing.assert_array_equal(before[tensor] / 2, values)


def test_it_is_listed_with_its_words(median, site):
    found = {name: (forms, text, source) for name, forms, text, source in run(METHODS, site, median.root)}

    assert {"linear", "median", "ties"} <= found.keys()
    forms, text, source = found["median"]
    assert ["short"] == forms
    assert text.startswith("Take the middle value of each entry")
    assert "https://arxiv.org/abs/1803.01498" in source


def test_without_it_the_modelfile_is_refused(median):
    with pytest.raises(Exception, match="no merge method is called `median`"):
        median.build()

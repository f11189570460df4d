"""Twelve kinds of broken Modelfile: each a clear error with its place and one way out, and the old output still stands."""

from __future__ import annotations

import pytest

from modelbuild.errors import Exit, ModelbuildError
from tests.support.checkpoints import random_tensors
from tests.support.projects import Project

SOUND = """\
[source.base]
from = "base"
[source.code]
from = "code"
[source.math]
from = "math"
[merge.skills]
method = "ties"
base = "base"
inputs = ["code", "math"]
density = 0.5
[merge.release]
method = "slerp"
inputs = ["base", "skills"]
t = [{ filter = "mlp", value = 0.3 }, { value = 0.6 }]
"""

SLICED = 'slices = [{ model = "base", layers = [0, 1] }, { model = "skills", layers = [1, 3] }]'

BROKEN = {
    "syntax": (
        ("density = 0.5", "density = = 0.5"),
        Exit.USAGE,
        """\
""",
    ),
    "unknown key": (("density = 0.5", "densitee = 0.5"), Exit.USAGE, ""),
    "unknown method": (('method = "ties"', 'method = "tie"'), Exit.USAGE, ""),
    "misspelt model": (('"code", "math"]', '"cod", "math"]'), Exit.USAGE, ""),
    "cycle": (('"code", "math"]', '"code", "release"]'), Exit.USAGE, ""),
    "missing parameter": (("t = [{", "# t = [{"), Exit.USAGE, ""),
    "parameter out of range": (("density = 0.5", "density = 1.5"), Exit.USAGE, ""),
    "filter that matches nothing": (('filter = "mlp"', 'filter = "mpl"'), Exit.USAGE, ""),
    "empty slice": (('method = "slerp"\ninputs = ["base", "skills"]\nt =', f'method = "passthrough"\n{SLICED.replace("[1, 3]", "[2, 2]")}\n# t ='), Exit.USAGE, ""),
    "slice out of range": (('method = "slerp"\ninputs = ["base", "skills"]\nt =', f'method = "passthrough"\n{SLICED.replace("[1, 3]", "[1, 4]")}\n# t ='), Exit.USAGE, ""),
    "missing source": (('from = "math"', 'from = "maths"'), Exit.SOURCE, ""),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_each_kind_is_told_with_place_and_way_out(project: Project, monkeypatch, kind: str):
    (old, new), exit_code, expected = BROKEN[kind]
    monkeypatch.chdir(project.root)
    project.family()
    project.write(SOUND)
    project.build()
    before = project.hashes()
    project.edit(old, new)

    with pytest.raises(ModelbuildError) as caught:
        Project(type(project.root)()).build()

    assert expected == f"{caught.value}\n"
    assert exit_code == caught.value.exit_code
    assert before == project.hashes()


def test_shapes_that_differ_are_told_before_work(project: Project, monkeypatch):
    monkeypatch.chdir(project.root)
    project.family()
    project.write(SOUND)
    project.build()
    before = project.hashes()
    wide = {name: values[:, :-1] if name == "lm_head.weight" else values for name, values in random_tensors(1).items()}
    project.model("code", wide)

    with pytest.raises(ModelbuildError) as caught:
        Project(type(project.root)()).build()

    assert (
        """\
error: `lm_head.weight` has different shapes
  --> Modelfile.toml:9:10, at `merge.skills.inputs`
  [40, 16] in `base`
  [40, 15] in `code`
hint: merge models of one shape
"""
        == f"{caught.value}\n"
    )
    assert Exit.USAGE == caught.value.exit_code
    assert before == project.hashes()

"""mergekit's configurations given to the commands in place of a Modelfile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelbuild.cache import stattable
from tests.cli.conftest import Program
from tests.support.projects import Project

STAGES = """\
name: skills
merge_method: ties
base_model: ./base
models:
  - {model: ./code, parameters: {weight: 1.0, density: 0.5}}
  - {model: ./math, parameters: {weight: [0.2, 0.8], density: 0.5}}
---
merge_method: slerp
base_model: ./base
models: [{model: ./base}, {model: skills}]
parameters:
  t:
    - {filter: mlp, value: 0.3}
    - {value: 0.6}
dtype: bfloat16
"""
FIRST, LAST = STAGES.split("---\n")


@pytest.fixture
def recipe(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two stages in one file, in a directory of their own; the program runs where the models are."""
    monkeypatch.setattr(stattable, "RACY_NS", 0)
    project.family()
    monkeypatch.chdir(project.root)
    (project.root / "recipes").mkdir()
    path = Path("recipes/mix.yml")
    path.write_text(STAGES)
    return path


def test_a_configuration_builds_where_the_program_runs(program: Program, recipe: Path):
    """As in mergekit, paths of models start there; the result is called like the file; nothing else is written beside it."""
    first, second = program("build", recipe), program("build", recipe)

    assert (0, 0) == (first.code, second.code)
    assert "wrote out/mix (" in first.err
    assert second.err.startswith("mix is fresh: 30 tensors, nothing to do (")
    assert Path("out/mix/model.safetensors").exists()
    assert [recipe] == list(recipe.parent.iterdir())


def test_what_is_imported_to_a_file_has_the_same_bytes(program: Program, recipe: Path):
    program("build", recipe)
    built = Path("out/mix/model.safetensors").read_bytes()

    assert 0 == program("import", recipe, "-o", "recipes/Modelfile.toml").code
    assert 0 == program("build", "-f", "recipes/Modelfile.toml").code
    assert built == Path("recipes/out/mix/model.safetensors").read_bytes()


def test_several_configurations_are_one_graph(program: Program, recipe: Path):
    Path("a.yml").write_text(LAST)
    Path("b.YAML").write_text(FIRST)

    ended = program("build", "a.yml", "b.YAML", "a")

    assert 0 == ended.code
    assert "wrote out/a (" in ended.err
    Path("b.YAML").write_text(FIRST.replace("0.2, 0.8", "0.3, 0.8"))
    assert "wrote out/a (" in program("build", "a.yml", "b.YAML", "a").err


def test_every_command_takes_them_as_a_word_or_with_file(program: Program, recipe: Path):
    program("build", recipe)
    target = json.loads(program("status", recipe, "--json").out)["targets"]

    assert [("mix", "fresh")] == [(one["name"], one["state"]) for one in target]
    assert target == json.loads(program("status", "-f", recipe, "mix", "--json").out)["targets"]
    assert program("show", recipe).out == program("show", "-f", recipe, "mix").out
    assert "skills" in program("graph", recipe).out
    assert "skills" == json.loads(program("graph", "-f", recipe, "skills", "--json").out)["nodes"][-1]["name"]
    changed = program("explain", f"{recipe}::model.norm.weight", "--set", "merge.mix.t=0.5").out
    assert changed.startswith("mix::model.norm.weight: stale, these changed:\n    params.t  0.6 -> 0.5\n")
    assert 0 == program("verify", recipe).code
    assert 0 == program("clean", recipe).code
    assert not Path("out/mix").exists()


def test_with_file_given_words_are_targets(program: Program, recipe: Path):
    ended = program("build", "-f", recipe, "other.yml")

    assert 2 == ended.code
    assert "no merge is called `other.yml`" in ended.err


def test_whoever_names_a_directory_as_for_mergekit_is_told_where_the_result_goes(program: Program, recipe: Path):
    ended = program("build", recipe, "./merged")

    assert 2 == ended.code
    assert "hint: outputs are in `out/`; `--set merge.mix.output.path=./merged` writes this one there\n" in ended.err
    assert 0 == program("build", recipe, "--set", "merge.mix.output.path=./merged").code
    assert Path("merged/config.json").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "filter: mlp",
            "filter: mpl",
            "error: the filter `*mpl*` matches no tensor\n  --> recipes/mix.yml:13:8, at `parameters.t[0].filter`",
        ),
        (
            "t:\n",
            "tt:\n",
            "error: unknown key `tt`\n  --> recipes/mix.yml:12:3, at `parameters.tt`\n  `slerp` takes: t\nhint: did you mean `t`?",
        ),
        ("./math", "./maths", "recipes/mix.yml:6:6, at `models[1]"),
        ("base_model: ./base\nmodels: [{model: ./base}", "models: [{model: ./code}", "built mix"),
    ],
    ids=["at planning", "in reading", "a source", "nothing wrong"],
)
def test_what_is_wrong_is_told_by_the_configurations_lines(program: Program, recipe: Path, old: str, new: str, said: str):
    """Whichever floor finds it."""
    recipe.write_text(STAGES.replace(old, new))

    assert said in program("build", recipe).err


def test_what_was_taken_another_way_is_said_by_the_build(program: Program, recipe: Path):
    recipe.write_text(STAGES.replace("parameters:\n  t:", "parameters:\n  normalize: true\n  t:"))

    assert "note: recipes/mix.yml:12: `normalize` has no effect on `slerp`, in mergekit either: left out\n" in program("build", recipe).err

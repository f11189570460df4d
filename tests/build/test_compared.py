"""`diff` and `why`: what differs of two models, and what rests on what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modelbuild import usecases as use_cases
from modelbuild.cache import stattable
from modelbuild.checkpoint.header import TensorInfo
from modelbuild.engine import comparing
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.stale import Change
from modelbuild.usecases import stamp
from modelbuild.usecases.recipe import flat, moved, resting_on, within
from tests.support.checkpoints import random_tensors, read_model, write_model
from tests.support.projects import DIAMOND, Project

NORM, HEAD = "model.norm.weight", "lm_head.weight"
MLP = tuple(f"model.layers.1.mlp.{part}_proj.weight" for part in ("down", "gate", "up"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The diamond, built with two values of t of mlp."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stattable, "RACY_NS", 0)
        patch.setattr(stamp, "_RACY_NS", 0)
        project = Project(tmp_path_factory.mktemp("compared"))
        project.family()
        project.write(DIAMOND)
        project.build("release", "blend")
        project.edit("value = 0.3", "value = 0.5")
        project.build("release", "blend")
        yield project


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the tensors that are read to be compared."""
    names: set[str] = set()
    chunks = comparing._chunks

    def noted(info: TensorInfo) -> Iterator[np.ndarray]:
        names.add(info.name)
        return chunks(info)

    monkeypatch.setattr(comparing, "_chunks", noted)
    return names


def test_two_builds_differ_in_their_recipe_and_in_the_tensors_of_other_digests_and_no_others_are_read(whole: Project, read: set[str]):
    second, first = (build.id for build in use_cases.log(whole.where))

    (one,) = use_cases.diff(whole.where, f"{first}::release", f"{second}::release")
    both = use_cases.diff(whole.where, first, second)

    assert (Change("merge.blend.t[0].value", "0.3", "0.5"),) == one.recipe
    assert MLP == tuple(tensor.name for tensor in one.tensors)
    assert set(MLP) == {name for name in read if ".1." in name}
    assert (27, (), ()) == (one.same, one.only_a, one.only_b)
    assert 2 * 2 * 3 * 24 * 16 == one.read
    assert [f"{first}::release", f"{first}::blend"] == [comparison.a for comparison in both]
    assert not one.equal


def test_the_measures_are_those_of_the_numbers(whole: Project):
    second, first = (build.id for build in use_cases.log(whole.where))
    (done,) = use_cases.restore(whole.where, first, "blend", output=whole.root / "was")
    old, new = (read_model(path)[MLP[0]].astype(np.float64) for path in (Path(done.path), whole.root / "out/blend"))

    (one,) = use_cases.diff(whole.where, f"{first}::blend", "blend")

    values = next(tensor for tensor in one.tensors if tensor.name == MLP[0]).values
    assert values is not None
    assert np.isclose(np.linalg.norm(old - new) / np.linalg.norm(old), values.relative_l2, rtol=1e-12)
    assert np.isclose((old * new).sum() / np.linalg.norm(old) / np.linalg.norm(new), values.cosine, rtol=1e-12)
    assert (old * new < 0).sum() == values.flips
    assert (old != new).sum() == values.elements
    (same,) = use_cases.diff(whole.where, "was", f"{first}::blend", whole.root)
    assert (30, 0, True) == (same.same, same.read, not same.tensors)
    (there,) = use_cases.diff(whole.where, "blend", f"{second}::blend")
    assert there.equal


def test_two_targets_are_compared_as_merges_of_one_name(whole: Project):
    """What they rest on alike is not told."""
    (one,) = use_cases.diff(whole.where, "blend", "release")

    told = {change.field: (change.old, change.new) for change in one.recipe}
    assert ('"slerp"', '"passthrough"') == told["merge.release.method"]
    assert not any(field.startswith(("merge.skills", "source")) for field in told)
    assert 18 == len(one.tensors)
    assert all(".layers.0." in tensor.name or ".layers.2." in tensor.name for tensor in one.tensors)


def test_directories_and_files_are_compared_tensor_by_tensor(project: Project):
    """Another value, another shape, another type, one more and one less; a config that differs is told key by key."""
    tensors = random_tensors(0, 1)
    write_model(project.root / "a", tensors)
    other = {**tensors, NORM: -tensors[NORM], HEAD: tensors[HEAD][:8], "extra.weight": tensors[NORM]}
    del other["model.layers.0.input_layernorm.weight"]
    write_model(project.root / "b", other, config={"hidden_size": 17})

    (one,) = use_cases.diff(project.where, "./a", "./b/model.safetensors", project.root)
    (whole,) = use_cases.diff(project.where, "a", "b", project.root)
    (itself,) = use_cases.diff(project.where, "./a", "a/model.safetensors", project.root)

    assert [HEAD, NORM] == [tensor.name for tensor in one.tensors]
    assert ("BF16 [40, 16]", "BF16 [8, 16]") == one.tensors[0].forms
    assert one.tensors[0].values is None
    assert one.tensors[1].values is not None
    assert (16, 2.0, -1.0) == (one.tensors[1].values.flips, one.tensors[1].values.relative_l2, one.tensors[1].values.cosine)
    assert (("model.layers.0.input_layernorm.weight",), ("extra.weight",)) == (one.only_a, one.only_b)
    assert Change("config.json: hidden_size", "16", "17") in whole.recipe
    assert itself.equal


@pytest.mark.parametrize("word", ["nope", "out/nope", "./nope.safetensors", "abcd"])
def test_what_names_nothing_is_an_error_that_says_what_would(whole: Project, word: str):
    with pytest.raises(ModelbuildError) as raised:
        use_cases.diff(whole.where, "release", word, whole.root)

    assert raised.value.exit_code in (Exit.USAGE, Exit.SOURCE)
    assert f"`{word}`" in str(raised.value)


def test_a_target_that_is_not_built_is_not_compared(whole: Project):
    with pytest.raises(ModelbuildError, match="`skills` is not built"):
        use_cases.diff(whole.where, "skills", "release")


def test_a_path_leads_through_the_graph_and_through_tensors(whole: Project):
    """From what is read to what rests on it, however they are named."""
    models = use_cases.why(whole.where, "release", "math")
    tensors = use_cases.why(whole.where, "math", f"release::{NORM}")
    neither = use_cases.why(whole.where, "skills", "talk")
    apart = use_cases.why(whole.where, "math", "release::model.layers.0.mlp.up_proj.weight")

    assert [("math", "inputs[1]"), ("skills", "inputs[0]"), ("blend", "slices[1]"), ("release", "")] == [
        (stop.name, stop.read_as) for stop in models.path
    ]
    assert ("math", "release") == (models.first, models.last)
    assert [f"{name}::{NORM}" for name in ("math", "skills", "release")] == [stop.name for stop in tensors.path]
    assert ["inputs[1]", "inputs[0]", ""] == [stop.read_as for stop in tensors.path]
    assert f"slerp, handed on from blend::{NORM}" == tensors.path[-1].kind
    assert () == neither.path == apart.path


@pytest.mark.parametrize(("first", "last", "what"), [("bas", "release", "no source and no merge"), ("base", "release::x", "no tensor `x`")])
def test_a_name_that_is_none_is_told(whole: Project, first: str, last: str, what: str):
    with pytest.raises(ModelbuildError, match=what):
        use_cases.why(whole.where, first, last)


def test_recipes_by_hand():
    """A bare input is short for a table; inputs in another order are one change, and what else they are is told all the same."""
    one = flat({"merge": {"a": {"method": "ties", "inputs": ["x", {"model": "y", "weight": [0.5, 1]}]}, "b": {"inputs": ["a"]}}, "seed": 3})
    other = flat({"merge": {"a": {"method": "ties", "inputs": [{"model": "y", "weight": [0.5, 2]}, "x"]}, "b": {"inputs": ["a"]}}})

    assert {"merge.a.inputs[0].model": '"x"', "merge.a.inputs[1].weight": "[0.5, 1]"}.items() <= one.items()
    assert (
        Change("merge.a.inputs (order)", "x, y", "y, x"), Change("merge.a.inputs[0].weight", "[0.5, 1]", "[0.5, 2]"), Change("seed", "3", "")
    ) == moved(one, other)  # fmt: skip
    assert {"a", "b"} == resting_on(one, "b")
    assert {"merge.b.inputs[0].model": '"a"', "seed": "3"} == within(one, {"b"})

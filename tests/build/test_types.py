"""Models of several types in one merge: floats of any width, integers, and what is no number."""

from __future__ import annotations

import numpy as np
import pytest

from modelbuild.checkpoint.header import read_header
from modelbuild.errors import Exit, ModelbuildError
from tests.support.checkpoints import from_bfloat16, random_tensors, read_model, to_bfloat16
from tests.support.projects import Project

SOURCES = """\
[source]
base.from = "base"
code.from = "code"
math.from = "math"
"""
AVERAGE = '[merge.out]\nmethod = "linear"\ninputs = ["base", "code", "math"]\n'
STEPS = "model.layers.0.self_attn.steps"


def of_three_types(project: Project) -> list[dict[str, np.ndarray]]:
    """Write a model of bfloat16, one of float16 and one of float32; return their values as stored."""
    base = random_tensors(0)
    held = []
    for i, (name, dtype) in enumerate([("base", "BF16"), ("code", "F16"), ("math", "F32")]):
        project.model(name, random_tensors(i, near=base) if i else base, dtype=dtype)
        held.append(read_model(project.root / name))
    return held


def types(project: Project) -> set[str]:
    """The types in the output."""
    return {info.dtype for info in read_header(project.root / "out/out/model.safetensors")}


@pytest.mark.parametrize(("dtype", "code"), [("", "BF16"), ('dtype = "float16"', "F16"), ('dtype = "float32"', "F32")])
def test_inputs_of_three_types_are_merged_in_float32_and_rounded_once(project: Project, dtype: str, code: str):
    """To the type of the first, or the one that is asked for."""
    base, first, second = of_three_types(project)
    project.write(SOURCES + AVERAGE + dtype)
    project.build()

    assert {code} == types(project)
    round_to = {"BF16": lambda x: from_bfloat16(to_bfloat16(x)), "F16": lambda x: x.astype("<f2").astype("<f4"), "F32": lambda x: x}[code]
    for name, merged in read_model(project.root / "out/out").items():
        expected = round_to((base[name] + first[name] + second[name]) / np.float32(3))
        assert np.array_equal(expected, merged), name


def test_task_vectors_of_other_types_than_the_base(project: Project):
    base, first, _ = of_three_types(project)
    project.write(SOURCES + '[merge.out]\nmethod = "task_arithmetic"\nbase = "base"\ninputs = [{ model = "code", weight = 0.5 }]\n')
    project.build()

    for name, merged in read_model(project.root / "out/out").items():
        expected = base[name] + np.float32(0.5) * (first[name] - base[name])
        assert np.array_equal(from_bfloat16(to_bfloat16(expected)), merged), name


def with_steps(project: Project, *steps: int) -> None:
    """Write models that count something in an integer buffer."""
    base = random_tensors(0)
    for i, (name, count) in enumerate(zip(("base", "code", "math"), steps, strict=True)):
        project.model(name, {**random_tensors(i, near=base if i else None), STEPS: np.array([count, 2**53 + 1])})
    project.write(SOURCES + AVERAGE)


def test_integers_that_agree_are_handed_on(project: Project):
    with_steps(project, 7, 7, 7)
    outcome = project.build()

    assert [7, 2**53 + 1] == read_model(project.root / "out/out")[STEPS].tolist()
    assert 1 == outcome.aliased


def test_integers_that_differ_are_an_error_and_the_old_output_stands(project: Project):
    with_steps(project, 7, 7, 7)
    project.build()
    before = project.hashes("out")
    with_steps(project, 7, 7, 8)

    with pytest.raises(ModelbuildError) as raised:
        project.build()
    assert Exit.ACTION_FAILED == raised.value.exit_code
    expected = f"""\
error: `out::{STEPS}` cannot be merged
  its type is I64, which is copied and never merged
  it differs between base::{STEPS}, code::{STEPS}, math::{STEPS}
hint: use models that agree on it"""
    assert expected == str(raised.value)
    assert before == project.hashes("out")


@pytest.mark.parametrize("cast", ['dtype = "float16"', 'output = { dtype = "float16" }'])
def test_an_overflow_of_float16_is_an_error_unless_it_is_allowed(project: Project, cast: str):
    """In the merge's own rounding, and in that of its output; allowing it changes keys, so that the error comes back."""
    base = random_tensors(0)
    base["model.norm.weight"][:3] = 65504.0, 65519.0, 70000.0
    for name in ("base", "code", "math"):
        project.model(name, base, dtype="F32")
    project.write(SOURCES + AVERAGE + cast + '\nnonfinite = "allow"\n')

    outcome = project.build()
    who = "out" if cast.startswith("dtype") else "out (output)"
    assert (f"1 of 16 elements of `{who}::model.norm.weight` are NaN or Inf, in F16",) == outcome.warnings
    assert [65504.0, 65504.0, np.inf] == read_model(project.root / "out/out")["model.norm.weight"][:3].tolist()
    assert 0 == project.build().actions.run

    project.edit('nonfinite = "allow"', 'nonfinite = "error"')
    before = project.hashes("out")
    outcome = project.build(keep_going=True)
    assert Exit.ACTION_FAILED == outcome.exit_code
    assert [f"NaN or Inf in the result of `{who}::model.norm.weight`"] == [problem.what for problem in outcome.problems]
    assert before == project.hashes("out")


def test_a_checkpoint_with_nan_is_merged_where_that_is_allowed(project: Project):
    tensors = random_tensors(0)
    project.model("base", tensors, dtype="F16")
    project.model("code", tensors, dtype="F16")
    tensors["model.norm.weight"][5] = np.nan
    project.model("math", tensors, dtype="F16")
    project.write(SOURCES + AVERAGE + 'nonfinite = "allow"\n')

    assert 2 == len(project.build().warnings)
    assert [5] == np.flatnonzero(np.isnan(read_model(project.root / "out/out")["model.norm.weight"])).tolist()

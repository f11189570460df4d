"""Numbers that a type cannot hold, on ways that are no merge's own rounding: wider sources, adapters, types without room."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from modelbuild.checkpoint.header import lay_out
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.method import REQUIRED
from modelbuild.methods import installed, load
from tests.support.checkpoints import random_tensors, write_file
from tests.support.projects import Project

SOURCES = """\
[source]
base.from = "base"
code.from = "code"
[merge.out]
method = "linear"
inputs = ["base", "code"]
"""
ADAPTED = """\
[source.base]
from = "base"
adapters = [{ from = "lora" }]
[merge.out]
method = "passthrough"
inputs = ["base"]
"""
FACTOR = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"


def doubles(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Write a model of float64."""
    layout = lay_out([(name, "F64", values.shape) for name, values in tensors.items()])
    path.write_bytes(layout.header + b"".join(tensors[name].astype("<f8").tobytes() for name, _, _ in layout.tensors))


@pytest.mark.parametrize("value", [1e300, -1e39])
def test_a_float64_beyond_float32_is_an_error_where_it_is_read(project: Project, value: float):
    """Arithmetic is float32: what is infinite there is counted as such, with the tensor that holds it."""
    project.family(1, ("code",))
    tensors = {name: values.astype(np.float64) for name, values in random_tensors(1, 1).items()}
    tensors["model.norm.weight"][[2, 3]] = value
    doubles(project.root / "code" / "model.safetensors", tensors)
    project.write(SOURCES)

    outcome = project.build()

    assert Exit.ACTION_FAILED == outcome.exit_code
    assert [("2 of 16 elements of `code::model.norm.weight` are",)] == [problem.facts for problem in outcome.problems]
    assert not (project.root / "out" / "out").exists()


def adapter(project: Project, values: float, **settings: object) -> None:
    """Write an adapter of constant factors."""
    shapes = {"A": (2, 16), "B": (16, 2)}
    project.family(1, ())
    write_file(
        project.root / "lora" / "adapter_model.safetensors",
        {FACTOR.format(side): np.full(shape, values, np.float32) for side, shape in shapes.items()},
        "F32",
    )
    (project.root / "lora" / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 2, **settings}))
    project.write(ADAPTED)


@pytest.mark.parametrize(
    ("values", "settings"), [(1e30, {}), (1.0, {"lora_alpha": 1e39}), (1.0, {"lora_alpha": float("inf")}), (np.nan, {})]
)
def test_an_adapter_that_overflows_is_an_error(project: Project, values: float, settings: dict[str, object]):
    """By its factors, its scale, or both."""
    adapter(project, values, **settings)

    outcome = project.build()

    assert Exit.ACTION_FAILED == outcome.exit_code
    assert ["NaN or Inf"] == [problem.what[:10] for problem in outcome.problems]
    assert "q_proj" in str(outcome.problems[0])


def test_a_difference_that_overflows_has_no_factors(project: Project):
    """An adapter cannot be extracted from it, which is told with the tensor's name."""
    project.family(1, ("code",))
    for name, value in (("base", -3e38), ("code", 3e38)):
        tensors = random_tensors(0, 1)
        tensors["model.layers.0.mlp.up_proj.weight"][:] = value
        project.model(name, tensors, dtype="F32")
    project.write(
        SOURCES.replace('"linear"', '"extract_lora"').replace('inputs = ["base", "code"]', 'base = "base"\ninputs = ["code"]\nrank = 2')
    )

    outcome = project.build()

    assert Exit.ACTION_FAILED == outcome.exit_code
    assert "up_proj" in str(outcome.problems[0])


@pytest.mark.parametrize("method", sorted(installed()))
def test_differences_beyond_float32_are_an_error_of_every_method(project: Project, method: str):
    """Finite inputs whose difference is not: what a method makes of that is counted, or comes out finite; it is no bug of ours."""
    project.family(1, ("code", "math"))
    for name, value in (("base", -3e38), ("code", 3e38), ("math", 2e38)):
        tensors = random_tensors(0, 1)
        tensors["model.layers.0.mlp.up_proj.weight"][:] = value
        project.model(name, tensors, dtype="F32")
    found = load(method)
    low = found.inputs[0]
    names = ["code", "math", "base"] if found.base in ("first", "none") else ["code", "math"]
    base = 'base = "base"\n' if found.base in ("required", "optional") else ""
    more = "".join(f"{param.name} = 0.5\n" for param in found.params if param.default is REQUIRED)
    project.write(
        SOURCES.split("[merge", maxsplit=1)[0]
        + f'math.from = "math"\n[merge.out]\nmethod = "{method}"\n{base}inputs = {names[: max(low, min(2, found.inputs[1]))]}\n{more}'
    )

    outcome = project.build(jobs=1, device="cpu")

    assert outcome.exit_code in (Exit.DONE, Exit.ACTION_FAILED)
    assert all("up_proj" in str(problem) for problem in outcome.problems)


@pytest.mark.parametrize("alpha", ["10" * 200 + "0" * 300, '"2"x', "1" * 5000])
def test_a_scale_that_is_no_number_is_told_before_work(project: Project, alpha: str):
    adapter(project, 1.0)
    (project.root / "lora" / "adapter_config.json").write_text(f'{{"peft_type": "LORA", "r": 2, "lora_alpha": {alpha}}}')

    with pytest.raises(ModelbuildError) as raised:
        project.build()

    assert raised.value.exit_code in (Exit.USAGE, Exit.SOURCE)


@pytest.mark.parametrize("where", ['dtype = "{}"', 'output = {{ dtype = "{}" }}'])
@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "int8"])
def test_types_that_saturate_are_no_results(project: Project, where: str, dtype: str):
    """Nothing is rounded to float8 or to integers, so that nothing saturates."""
    project.family(1, ("code",))
    project.write(SOURCES + where.format(dtype) + "\n")

    with pytest.raises(ModelbuildError, match="must be one of float32, float16, bfloat16, float64"):
        project.build()

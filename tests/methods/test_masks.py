"""Random masks in builds: a function of the seed, the content of the input and the index, and of nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.checkpoints import llama_shapes, read_model
from tests.support.projects import Project

LAYERS = 3
UNITS = {"code": 1.0, "math": 1 / 16, "prose": 1 / 256}
"""The deltas of each model are 1 to 8 times its unit, so that a sum tells who is in it."""


def deltas(name: str) -> dict[str, np.ndarray]:
    """Whole multiples of the model's unit, by tensor; no two tensors are alike."""
    rng = np.random.RandomState(len(name))
    return {tensor: (rng.randint(1, 9, shape) * UNITS[name]).astype(np.float32) for tensor, shape in llama_shapes(LAYERS).items()}


@pytest.fixture
def family(project: Project) -> Project:
    """Three models and a base of zeros, in F32."""
    for name in UNITS:
        project.model(name, deltas(name), dtype="F32")
    project.model("base", {tensor: np.zeros(shape, np.float32) for tensor, shape in llama_shapes(LAYERS).items()}, dtype="F32")
    return project


def modelfile(inputs: list[str], more: str = "") -> str:
    """Write a merge of some models without rescaling, so that entries are kept as they are."""
    sources = "".join(f'[source.{name}]\nfrom = "{name}"\n' for name in ("base", *UNITS))
    listed = ", ".join(f'{{ model = "{name}", density = 0.5 }}' for name in inputs)
    return f'{sources}[merge.release]\nmethod = "dare_linear"\nbase = "base"\nrescale = "none"\n{more or f"inputs = [{listed}]"}\n'


def built(project: Project, text: str) -> dict[str, np.ndarray]:
    """Build, and return the output's tensors."""
    project.write(text)
    project.build()
    return read_model(project.root / "out" / "release")


def kept(project: Project, text: str, name: str) -> dict[str, np.ndarray]:
    """Build, and return where the model's entries are in the sum."""
    return {tensor: np.floor(values / UNITS[name]) % 16 != 0 for tensor, values in built(project, text).items()}


def same(expected: dict[str, np.ndarray], actual: dict[str, np.ndarray]) -> bool:
    """Compare masks tensor by tensor."""
    return expected.keys() == actual.keys() and all(np.array_equal(mask, actual[tensor]) for tensor, mask in expected.items())


@pytest.fixture
def alone(family: Project) -> dict[str, np.ndarray]:
    """Where `code` is kept when it is the only input: about half of every tensor."""
    masks = kept(family, modelfile(["code"]), "code")
    assert all(0 < np.count_nonzero(mask) < mask.size for mask in masks.values())
    return masks


@pytest.mark.parametrize("inputs", [["code", "math"], ["math", "code"], ["prose", "math", "code"]], ids=" ".join)
def test_other_inputs_and_the_order_of_inputs_leave_masks_alone(family, alone, inputs):
    assert same(alone, kept(family, modelfile(inputs), "code"))


def test_an_input_has_one_mask_wherever_it_stands(family):
    """Of the model that was added, too: in front and at the end."""
    behind = kept(family, modelfile(["code", "math"]), "math")

    assert same(behind, kept(family, modelfile(["math", "prose", "code"]), "math"))


@pytest.mark.parametrize("order", [(2, 0, 1), (1, 1, 2)], ids=["moved", "one of them twice"])
def test_layers_keep_their_masks_where_they_are_moved_to(family, alone, order):
    """A frankenmerge: each slice is one layer of two models."""
    slices = ", ".join(
        f'{{ inputs = [{{ model = "code", layers = [{i}, {i + 1}], density = 0.5 }}, {{ model = "math", layers = [{i}, {i + 1}], density = 0.5 }}] }}'
        for i in order
    )
    moved = kept(family, modelfile([], f"slices = [{slices}]"), "code")

    for to, i in enumerate(order):
        part = {tensor.replace(f".{i}.", f".{to}."): mask for tensor, mask in alone.items() if f"layers.{i}." in tensor}
        assert same(part, {tensor: mask for tensor, mask in moved.items() if f"layers.{to}." in tensor})


def test_names_leave_masks_alone(family, alone):
    """Of the source and of the node."""
    text = modelfile(["code", "math"]).replace("[source.code]", "[source.zebra]").replace('model = "code"', 'model = "zebra"')
    renamed = text.replace("[merge.release]", '[merge.horse]\noutput = { path = "out/release" }')

    assert same(alone, kept(family, renamed, "code"))


def test_another_base_leaves_masks_alone(family, alone):
    """Masks go with what the input is, not with its difference to something: here what is not 16 was kept."""
    family.model("base", {tensor: np.full(shape, 16, np.float32) for tensor, shape in llama_shapes(LAYERS).items()}, dtype="F32")

    assert same(alone, {tensor: values != 16 for tensor, values in built(family, modelfile(["code"])).items()})


def test_another_seed_draws_other_masks(family, alone):
    assert not same(alone, kept(family, "seed = 1\n" + modelfile(["code"]), "code"))


def test_the_seed_of_a_node_goes_before_that_of_the_file(family, alone):
    text = "seed = 1\n" + modelfile(["code"], 'inputs = [{ model = "code", density = 0.5 }]\nseed = 0')

    assert same(alone, kept(family, text, "code"))

"""Weights in 8 bits and in 4, by hand and against the values they are of."""

from __future__ import annotations

import numpy as np
import pytest

from modelbuild.exports.rounding import Floats, Integers, Rounding
from modelbuild.exports.subject import Standing, Unexportable
from modelbuild.usecases import Options, build
from tests.support.checkpoints import write_file
from tests.support.projects import Project

torch = pytest.importorskip("torch")

MODELFILE = '[source.a]\nfrom = "a.safetensors"\n[merge.release]\nmethod = "linear"\ninputs = ["a"]\n'


def standing(project: Project, **tensors: np.ndarray) -> Standing:
    """Publish tensors and open what was published."""
    write_file(project.root / "a.safetensors", {f"{name}.weight": values for name, values in tensors.items()}, "F32")
    project.write(MODELFILE)
    build(project.where, ("release",), Options())
    return Standing.at(project.root / "out/release")


def made(rounding: Rounding, at: Standing, name: str) -> dict[str, np.ndarray]:
    """Put the pieces of a weight together."""
    shape = at.infos[name].shape
    kinds = {"F8_E4M3": "u1", "F32": "<f4", "I32": "<u4", "I64": "<i8"}
    stored = {tensor: (np.dtype(kinds[dtype]), size) for tensor, dtype, size in rounding.stored(name, (shape[0], shape[1]))}
    held = {tensor: bytearray(kind.itemsize * int(np.prod(size))) for tensor, (kind, size) in stored.items()}
    for tensor, start, data in rounding.pieces(at, name):
        held[tensor][start : start + len(data)] = data
    return {tensor: np.frombuffer(held[tensor], kind).reshape(size) for tensor, (kind, size) in stored.items()}


def floats(numbers: np.ndarray) -> np.ndarray:
    return torch.from_numpy(numbers.copy()).view(torch.float8_e4m3fn).float().numpy()


def test_the_largest_of_a_row_becomes_448_and_the_rest_the_nearest_of_e4m3(project: Project):
    """By hand: 300 lies between 288 and 320 and 17 between 16 and 18, where the even mantissa is 16; 0.5 is itself; zeros keep a scale of 1."""
    rows = np.array([[448, -300, 17, 0.5], [0.448, -0.3, 0.017, 0.0005], [0, 0, 0, 0]], np.float32)

    found = made(Floats(per_row=True), standing(project, w=rows), "w.weight")

    numbers, scales = floats(found["w.weight"]), found["w.weight_scale"]
    assert [448, -288, 16, 0.5] == numbers[0].tolist()
    assert [1.0, 1.0] == [scales[0, 0], scales[2, 0]]
    assert pytest.approx([448, -288, 16, 0.5]) == numbers[1].tolist()
    assert pytest.approx(0.001) == scales[1, 0]


def test_one_scale_for_a_tensor_is_that_of_its_largest_number(project: Project, monkeypatch: pytest.MonkeyPatch):
    """Whatever is read at a time."""
    values = np.random.default_rng(0).normal(0, 1, (37, 64)).astype(np.float32)
    at = standing(project, w=values)
    whole = made(Floats(per_row=False), at, "w.weight")
    monkeypatch.setattr("modelbuild.exports.subject.CHUNK", 256)
    parts = made(Floats(per_row=False), at, "w.weight")

    assert (1,) == whole["w.weight_scale"].shape
    assert np.abs(values).max() / np.float32(448) == whole["w.weight_scale"][0]
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)
    error = np.abs(floats(whole["w.weight"]) * whole["w.weight_scale"] - values)
    assert (error <= np.maximum(np.abs(values) / 16, whole["w.weight_scale"] * 2**-10)).all()


def test_eight_integers_stand_in_a_word_the_first_in_its_lowest_bits(project: Project):
    """By hand: of -7.5 to 7.5 the scale is 1; halves go to the even neighbour, and no integer is beyond 7."""
    row = np.zeros((1, 64), np.float32)
    row[0, :9] = [-7.5, -7, -1, 0, 1, 2.5, 7, 7.5, 3]

    found = made(Integers(32), standing(project, w=row), "w.weight")

    digits = [(int(found["w.weight_packed"][0, 0]) >> 4 * i) & 15 for i in range(8)]
    assert [-8, -7, -1, 0, 1, 2, 7, 7] == [digit - 8 for digit in digits]
    assert 3 == (int(found["w.weight_packed"][0, 1]) & 15) - 8
    assert [[1.0, 1.0]] == found["w.weight_scale"].tolist()
    assert [1, 64] == found["w.weight_shape"].tolist()


def test_groups_are_the_widest_that_all_rows_have():
    assert [128, 64, 32] == [Integers.fitting(widths).group for widths in ((256, 1024), (192, 512), (96, 512))]
    with pytest.raises(Unexportable, match="rows that cannot be cut into groups"):
        Integers.fitting((100,))

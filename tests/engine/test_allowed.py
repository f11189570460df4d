"""`nonfinite = "allow"`: what is no number is merged, counted, and comes out in the same bytes however it is computed."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from modelbuild.engine.compute import compute
from modelbuild.engine.devices import Cpu, Torch
from modelbuild.engine.nonfinite import quieten
from modelbuild.engine.regions import MemoryRegion
from modelbuild.engine.workspace import Workspace
from modelbuild.kernels import BLOCK
from modelbuild.methods.linear import linear
from modelbuild.methods.passthrough import passthrough
from modelbuild.methods.task_arithmetic import task_arithmetic
from tests.engine.jobs import Case, loaded
from tests.methods.values import WAYS, called, family, of_tensors, uniform


def warnings(case: Case) -> tuple[str, ...]:
    """Compute, and return what is said."""
    return compute(case.job(lambda _start, _data: None), Workspace(Cpu(), BLOCK)).warnings


def test_a_delta_that_overflows_float16_is_infinity_and_is_counted():
    """base + 2 (60000 - 0) is beyond 65504: infinity, with its sign, by IEEE 754's rounding."""
    base, tune = np.float32([0, 0, 0, 1]), np.float32([60000, -60000, 1, 1])
    case = Case(task_arithmetic, (tune,), {"weight": (2.0,)}, base, "F16", lenient=True)

    assert [np.inf, -np.inf, 2.0, 1.0] == case.merged().tolist()
    assert ("2 of 4 elements of `merged::weight` are NaN or Inf, in F16",) == warnings(case)


def test_what_is_read_is_counted_too():
    case = replace(of_tensors(linear, [1.0, np.nan, 2.0], [np.inf, 1.0, 4.0]), lenient=True)

    assert np.array_equal([np.inf, np.nan, 3.0], case.merged(), equal_nan=True)
    expected = (
        "1 of 3 elements of `one::weight` are NaN or Inf, where `merged::weight` reads them",
        "1 of 3 elements of `two::weight` are NaN or Inf, where `merged::weight` reads them",
        "2 of 3 elements of `merged::weight` are NaN or Inf, in F32",
    )
    assert expected == warnings(case)


def test_numbers_alone_come_out_as_without():
    case = of_tensors(linear, uniform(1, 90_000), uniform(2, 90_000))

    assert case.compute() == replace(case, lenient=True).compute()
    assert () == warnings(replace(case, lenient=True))


@pytest.mark.parametrize(("dtype", "kind", "quiet"), [("BF16", "<u2", 0x7FC0), ("F16", "<u2", 0x7E00), ("F32", "<u4", 0x7FC00000)])
def test_every_nan_is_one_nan_and_nothing_else_is_touched(dtype, kind, quiet):
    infinity = {"BF16": 0x7F80, "F16": 0x7C00, "F32": 0x7F800000}[dtype]
    sign = 1 << (8 * np.dtype(kind).itemsize - 1)
    data = np.array([infinity + 1, quiet, sign | quiet, sign | (infinity + 3), infinity, sign | infinity, 0, sign, 1], kind)
    quieten(memoryview(data).cast("B"), dtype)

    assert [quiet] * 4 + [infinity, sign | infinity, 0, sign, 1] == data.tolist()


@pytest.mark.parametrize("way", WAYS, ids=called)
def test_every_method_merges_what_is_no_number_to_the_same_bytes(way):
    """By any chunk size, and by the kernels' torch twins; where there is no number, and nowhere else, elementwise methods have none."""
    n = 3 * BLOCK + 17
    sound = family(way, uniform(0, n))
    held = []
    for i, one in enumerate(sound.held):
        raw = np.array(one.data).view(np.uint32)
        raw[[5 + i, BLOCK + i, n - 1]] = 0x7FC00001 + i, 0x7F800000, 0xFFC12345
        held.append(MemoryRegion(bytearray(raw)))
    case = replace(sound, regions=tuple(held), lenient=True)

    first = case.compute(chunk=BLOCK)
    assert first == case.compute(chunk=4 * BLOCK)
    assert first == case.compute(Torch("cpu"))
    if way[0] in (linear, passthrough, task_arithmetic):
        holes = {at for i in range(len(held)) for at in (5 + i, BLOCK + i, n - 1)}
        assert holes == set(np.flatnonzero(~np.isfinite(loaded(first[1], "F32"))))

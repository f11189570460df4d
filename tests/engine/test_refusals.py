"""What cannot be computed ends in an error that names the tensor: values that are no numbers, and files that end too soon."""

from __future__ import annotations

import os

import numpy as np
import pytest
from msgspec.structs import replace

from modelbuild import methods
from modelbuild.cache import Cache
from modelbuild.checkpoint.header import lay_out
from modelbuild.engine.desk import Desk
from modelbuild.engine.devices import Cpu, Device, Torch
from modelbuild.engine.regions import FileRegion, MemoryRegion, digest_of
from modelbuild.engine.shelf import Shelf
from modelbuild.engine.streams import Reader
from modelbuild.engine.workspace import Workspace
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.kernels import BLOCK, select
from modelbuild.method import never
from modelbuild.methods.breadcrumbs import breadcrumbs, breadcrumbs_ties
from modelbuild.methods.dare import dare_linear, dare_ties
from modelbuild.methods.della import della
from modelbuild.methods.ema import ema
from modelbuild.methods.extrapolate import extrapolate
from modelbuild.methods.geometric_median import geometric_median
from modelbuild.methods.linear import linear
from modelbuild.methods.multislerp import multislerp
from modelbuild.methods.nearswap import nearswap
from modelbuild.methods.nuslerp import nuslerp
from modelbuild.methods.passthrough import passthrough
from modelbuild.methods.slerp import slerp
from modelbuild.methods.task_arithmetic import task_arithmetic
from modelbuild.methods.ties import ties
from tests.engine.jobs import DTYPES, Case
from tests.methods.values import WAYS, called, family, of_deltas, of_tensors, uniform
from tests.support.checkpoints import random_tensors
from tests.support.projects import Project

everyway = pytest.mark.parametrize("way", WAYS, ids=called)
bothdevices = pytest.mark.parametrize("device", [Cpu(), Torch("cpu")], ids=["cpu", "torch"])

NO_NUMBERS = {
    "BF16": (0x7FC0, 0xFF81, 0x7F80, 0xFF80),
    "F16": (0x7E00, 0xFC01, 0x7C00, 0xFC00),
    "F32": (0x7FC00000, 0xFF800001, 0x7F800000, 0xFF800000),
}
"""A quiet NaN, a signalling one with a sign, Inf and -Inf."""


def failure(case: Case, device: Device) -> ModelbuildError:
    """Compute what cannot be, and return the error."""
    with pytest.raises(ModelbuildError) as raised:
        case.compute(device)
    return raised.value


@bothdevices
def test_a_tensor_with_nan_is_refused_with_its_name_and_how_many(device):
    one, two = uniform(1, 90_000), uniform(2, 90_000)
    two[[5, 70_000]], two[89_999] = np.nan, -np.inf

    error = failure(of_tensors(linear, one, two), device)

    assert Exit.ACTION_FAILED == error.exit_code
    expected = """\
error: NaN or Inf in what `merged::weight` is merged from
  3 of 90000 elements of `two::weight` are
hint: use another checkpoint, or allow it: `nonfinite = "allow"`"""
    assert expected == str(error)


@bothdevices
@pytest.mark.parametrize("most", [select.COLLECT_MOST, 0])
def test_each_is_counted_once_however_many_passes_there_are(device, most, monkeypatch):
    """One input is read in the last pass alone, two before; where brackets miss, each in passes of its own besides."""
    monkeypatch.setattr(select, "COLLECT_MOST", most)
    tensors = [uniform(i, 200_000) for i in range(4)]
    for i, tensor in enumerate(tensors):
        tensor[[9, 70_000 + i, 140_000, 199_999][: i + 1]] = np.nan
    case = replace(of_tensors(ties, *tensors[1:], density=(1.0, 0.5, 0.3)), base=tensors[0])

    assert tuple(f"{i + 1} of 200000 elements of `{need.label}` are" for i, need in enumerate(case.action.needs)) == (
        failure(case, device).problems[0].facts
    )


def test_a_pass_that_is_broken_off_counts_what_it_saw_and_the_next_one_the_rest():
    """The first number that is none is in the first chunk, the second in the last."""
    tensor = uniform(1, 200_000)
    tensor[[9, 199_999]] = np.nan
    reader = Reader(of_tensors(linear, tensor, tensor[::-1]).job(lambda *_: None), Workspace(Cpu(), BLOCK), looks=True)
    for passes in ((0,), (0, 1), (0, 1)):
        next(reader.chunks(*passes))
    for _ in reader.chunks(1):
        pass
    with pytest.raises(ModelbuildError) as raised:
        reader.complain()

    assert ("1 of 200000 elements of `one::weight` are", "2 of 200000 elements of `two::weight` are") == raised.value.problems[0].facts


UNCOUNTED = [
    (linear, 2, {"weight": (1.0, 0.0)}),
    (task_arithmetic, 2, {"weight": (1.0, 0.0)}),
    (task_arithmetic, 2, {"weight": (0.7, 0.4), "scale": 0.0}),
    (slerp, 2, {"t": 0.0}),
    (slerp, 2, {"t": 1.0}),
    (nuslerp, 2, {"weight": (1.0, 0.0)}),
    (multislerp, 3, {"weight": (0.7, 0.0, 1.1)}),
    (geometric_median, 3, {"weight": (0.7, 0.0, 1.0)}),
    (ema, 3, {"decay": 1.0}),
    (nearswap, 2, {"t": 0.0}),
    (extrapolate, 1, {"alpha": -1.0}),
    (passthrough, 1, {"scale": (0.0,)}),
    (dare_linear, 2, {"density": (0.0, 0.1), "weight": (0.7, 0.4)}),
    (dare_ties, 2, {"density": (0.0, 0.0), "weight": (0.7, 0.4)}),
    (della, 2, {"density": (0.0, 0.1), "weight": (0.7, 0.4)}),
    (ties, 2, {"density": (0.0, 0.1), "weight": (0.0, 0.4)}),
    (breadcrumbs, 2, {"density": (0.0, 0.1), "gamma": (0.0, 0.5)}),
    (breadcrumbs_ties, 2, {"density": (0.9, 0.1), "gamma": (0.1, 0.9)}),
]
"""Ways in which an input, or all of them, counts for nothing, or nearly; a plan would not come to some of them."""


def test_every_method_that_carries_is_among_the_ways():
    ways = [family(way, uniform(0, 50)).action for way in (*WAYS, *UNCOUNTED)]

    assert {name for name in methods.installed() if methods.load(name).carries is not never} == {
        action.method.name for action in ways if action.method.carries(action.arguments)
    }


@pytest.mark.parametrize("way", [*WAYS, *UNCOUNTED], ids=called)
@bothdevices
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_method_refuses_what_is_no_number_wherever_it_stands(way, device, dtype):
    """In each input and in the base, also where it would be trimmed, dropped, or multiplied by zero."""
    sound = replace(family(way, uniform(0, 50)), dtype=dtype)
    for at, bits in ((at, bits) for at in range(len(sound.held)) for bits in NO_NUMBERS[dtype]):
        raw = np.array(sound.held[at].data).view(np.uint32 if dtype == "F32" else np.uint16)
        raw[7] = bits
        case = replace(sound, regions=tuple(MemoryRegion(bytearray(raw)) if i == at else one for i, one in enumerate(sound.held)))

        error = failure(case, device)

        assert Exit.ACTION_FAILED == error.exit_code
        assert (f"1 of 50 elements of `{sound.action.needs[at].label}` are",) == error.problems[0].facts


@pytest.mark.parametrize(
    ("way", "looks"),
    [
        ((linear, 2, {"weight": (0.7, 0.4)}), 1),
        ((dare_ties, 2, {"density": (0.3, 0.4)}), 1),
        ((dare_ties, 2, {"density": (0.3, 1.0)}), 4),
        ((dare_ties, 2, {"density": (0.3, 0.4), "rescale": "none"}), 4),
        ((della, 2, {"density": (0.3, 1.0)}), 1),
        ((ties, 2, {"density": (0.3, 0.4)}), 1),
        ((ties, 2, {"density": (0.3, 1.0)}), 4),
        ((breadcrumbs, 2, {"density": (0.3, 0.4)}), 1),
    ],
    ids=["a sum", "measured", "one not measured", "none measured", "measured by rank", "cut", "one not cut", "cut twice"],
)
def test_inputs_are_looked_through_only_where_nothing_else_would_tell(way, looks, monkeypatch):
    """The result alone, or three inputs with it: that of a sum carries, a sum of magnitudes tells, and so does the largest."""
    device, seen = Cpu(), []
    look = device.kernels.not_finite
    monkeypatch.setattr(device.kernels, "not_finite", lambda *arrays: seen.extend(map(len, arrays)) or look(*arrays))

    family(way, uniform(0, 200_000)).compute(device)

    assert looks * 200_000 == sum(seen)


@bothdevices
@pytest.mark.parametrize("method", [dare_ties, della, ties, breadcrumbs], ids=lambda method: method.name)
@pytest.mark.parametrize(("numel", "most"), [(1, select.COLLECT_MOST), (200_000, select.COLLECT_MOST), (200_000, 0)])
def test_what_is_measured_tells_what_is_no_number_in_any_chunk(method, device, numel, most, monkeypatch):
    """In the last element of an input, or of the base: of one, of which nothing is cut; within brackets, and where they break off."""
    monkeypatch.setattr(select, "COLLECT_MOST", most)
    for at, name in enumerate(("base", "one", "two")):
        values = [uniform(i, numel) for i in range(3)]
        values[at][-1] = -np.inf
        error = failure(Case(method, tuple(values[1:]), {"density": (0.5, 0.3)}, values[0]), device)

        assert (f"1 of {numel} elements of `{name}::weight` are",) == error.problems[0].facts


def test_differences_beyond_all_numbers_are_no_fault_of_what_is_read():
    """3e38 - -3e38 is infinite, and dropped."""
    base = np.full(9, -3e38, np.float32)

    assert base.tolist() == Case(dare_ties, (-base,), {"density": (0.0,)}, base).merged().tolist()


@bothdevices
def test_all_tensors_that_are_no_numbers_are_named_at_once(device):
    base, one, two = np.float32([np.nan, 0, 0]), np.float32([1, np.inf, np.nan]), np.float32([1, 2, 3])

    error = failure(Case(task_arithmetic, (two, one), {}, base), device)

    assert ("1 of 3 elements of `base::weight` are", "2 of 3 elements of `two::weight` are") == error.problems[0].facts


@bothdevices
def test_a_result_too_large_for_its_type_is_refused_with_how_many(device):
    """65504 is the largest F16; 65520 would be rounded up.  Two in the first chunk, one in the last."""
    values = np.zeros(90_000, np.float32)
    values[[1, 2, 3, 4, 89_999]] = 65504.0, 65519.0, 65520.0, -70000.0, 1e30
    case = replace(of_tensors(passthrough, values), to="F16")

    error = failure(case, device)

    assert Exit.ACTION_FAILED == error.exit_code
    expected = """\
error: NaN or Inf in the result of `merged::weight`
  3 of 90000 elements are, in F16
hint: use smaller weights, a wider `dtype`, or allow it: `nonfinite = "allow"`"""
    assert expected == str(error)


@bothdevices
@pytest.mark.parametrize(("largest", "to"), [(65519.0, "F16"), (3.38e38, "BF16"), (3.4e38, "F32")])
def test_the_largest_numbers_of_a_type_are_no_overflow(device, largest, to):
    digest, _ = replace(of_tensors(passthrough, [largest, -largest]), to=to).compute(device)

    assert digest


@bothdevices
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_overflow_on_the_way_is_refused(device, dtype):
    """A sum beyond float32, whatever it is rounded to; the inputs are sound."""
    case = replace(of_deltas(task_arithmetic, [2.0, 1.0], weight=(3e38,)), dtype=dtype)

    error = failure(case, device)

    assert (f"{2 if dtype == 'F16' else 1} of 2 elements are, in {dtype}",) == error.problems[0].facts


@bothdevices
@pytest.mark.parametrize("left", [0, 1, 4, 65536 * 4, 80_000 * 4 - 1])
def test_a_source_that_is_cut_off_while_it_is_read_is_a_source_that_changed(device, left, tmp_path):
    """However much of it is left; nothing is waited for."""
    path = tmp_path / "model.safetensors"
    sound = of_tensors(passthrough, uniform(0, 80_000), scale=(0.5,))
    path.write_bytes(bytes(sound.held[0].data))
    with path.open("rb") as file:
        case = replace(sound, regions=(FileRegion(file.fileno(), path, 0, sound.action.nbytes),))
        assert case.compute(device) == sound.compute(device)
        os.truncate(path, left)

        error = failure(case, device)

    assert Exit.SOURCE == error.exit_code
    expected = f"""\
error: `{path}` is shorter than it was
  it was truncated while it was read
hint: build again when it is complete"""
    assert expected == str(error)


def test_a_source_that_is_cut_off_while_it_is_digested_is_a_source_that_changed(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\0" * 100)
    with path.open("rb") as file, pytest.raises(ModelbuildError) as raised:
        digest_of(FileRegion(file.fileno(), path, 0, 400), "F32", (100,))

    assert Exit.SOURCE == raised.value.exit_code


def test_a_tensor_that_is_not_what_was_digested_is_not_copied(tmp_path):
    cache = Cache.open(tmp_path)
    desk = Desk(cache)
    shelf = Shelf("pack", lay_out([("model.norm.weight", "F32", (4,))]), desk)
    try:
        with pytest.raises(ModelbuildError) as raised:
            shelf.copy("model.norm.weight", "0" * 64, "0" * 64, MemoryRegion(bytearray(16)))
    finally:
        shelf.close()
        desk.close(keep=False)
        cache.close()

    assert (Exit.SOURCE, "`model.norm.weight` changed while it was copied") == (raised.value.exit_code, raised.value.problems[0].what)


MEAN = """\
[source.base]
from = "base"
[source.code]
from = "code"
[merge.release]
method = "linear"
inputs = ["base", "code"]
"""


@pytest.mark.parametrize(
    ("more", "bad", "expected"),
    [
        ("", np.nan, "NaN or Inf in what `release::model.norm.weight` is merged from"),
        ('dtype = "float16"', 3e5, "NaN or Inf in the result of `release::model.norm.weight`"),
    ],
    ids=["NaN in a source", "too large for F16"],
)
def test_a_build_that_meets_what_is_no_number_fails_and_publishes_nothing(project: Project, more, bad, expected):
    """The error is a value of the outcome."""
    tensors = random_tensors(0)
    project.model("base", tensors, dtype="F32")
    project.model("code", {**tensors, "model.norm.weight": np.full_like(tensors["model.norm.weight"], bad)}, dtype="F32")
    project.write(MEAN + more)

    outcome = project.build()

    assert Exit.ACTION_FAILED == outcome.exit_code
    assert [("release", "failed")] == [(target.name, target.state) for target in outcome.targets]
    assert [expected] == [problem.what for problem in outcome.problems]
    assert not (project.root / "out" / "release").exists()

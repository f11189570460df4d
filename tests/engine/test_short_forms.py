"""Methods that have the short form alone, as methods from elsewhere may: whole tensors in, one whole tensor out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from modelbuild.engine.devices import Cpu, Torch
from modelbuild.engine.lora import factorise
from modelbuild.engine.serial import serial
from modelbuild.engine.steps import Held
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.kernels import BLOCK
from modelbuild.method import Param, method
from modelbuild.methods.dare import dare_linear
from modelbuild.methods.iso import iso_c
from tests.engine.jobs import DTYPES, Case, region
from tests.methods.values import WAYS, called, family, of_deltas, of_tensors, uniform

bothdevices = pytest.mark.parametrize("device", [Cpu(), Torch("cpu:0")], ids=["cpu", "torch"])
"""Torch's CPU by its number: the engine takes what is called "cpu" for the one with compiled kernels."""


@method(revision=1)
def flat(tensors):
    """Lose the shape."""
    return tensors[0].reshape(-1)


@method(revision=1)
def listed(tensors):
    """Return no tensor at all."""
    return [tensor.tolist() for tensor in tensors]


@method(space="delta", params=(Param("lambda", float, default=1.0, arg="scale"),), revision=1)
def scaled(deltas, *, scale):
    """Sum task vectors."""
    return torch.stack(deltas).sum(dim=0) * scale


@method(revision=1)
def transposed_twice(tensors):
    """Compute in float64, and return a view whose elements do not stand in order."""
    return (tensors[0].double() * 3).t().contiguous().t()


@method(revision=1)
def careless(tensors):
    """Write to its input, and return it."""
    return tensors[0].add_(1)


@bothdevices
@pytest.mark.parametrize("way", WAYS, ids=called)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_method_without_its_streaming_form_gives_the_same_bytes(way, dtype, device):
    """Every built-in method, robbed of it."""
    case = replace(family(way, uniform(0, 257, 300)), dtype=dtype)

    assert case.compute() == replace(case, method=replace(case.method, stats=None, apply=None)).compute(device)


@bothdevices
def test_another_shape_is_refused_with_both_shapes(device):
    with pytest.raises(ModelbuildError) as raised:
        of_tensors(flat, uniform(0, 3, 4)).compute(device)

    assert Exit.ACTION_FAILED == raised.value.exit_code
    expected = """\
error: `flat` returned a tensor of shape [12] for `merged::weight`
  expected a tensor of shape [3, 4]
hint: mend the method"""
    assert expected == str(raised.value)


@bothdevices
def test_what_is_no_tensor_is_refused_with_its_type(device):
    with pytest.raises(
        ModelbuildError, match="`listed` returned a list for `merged::weight`\n  expected a tensor of shape \\[3, 4\\]"
    ) as raised:
        of_tensors(listed, uniform(0, 3, 4)).compute(device)

    assert Exit.ACTION_FAILED == raised.value.exit_code


@bothdevices
def test_deltas_are_taken_and_the_base_is_added(device):
    """By hand: 1 + 2 ((3 - 1) + (4 - 1)) = 11."""
    case = Case(scaled, (np.float32([3]), np.float32([4])), {"scale": 2.0}, np.float32([1]))

    assert [11.0] == np.frombuffer(case.compute(device)[1], np.float32).tolist()


@bothdevices
def test_a_result_of_another_type_and_order_is_read_as_it_is_indexed(device):
    values = uniform(0, 300, 257)

    assert (values * np.float32(3)).tobytes() == of_tensors(transposed_twice, values).compute(device)[1]


@bothdevices
def test_a_method_may_write_to_its_inputs(device):
    """Neither the source nor the base is touched."""
    values = uniform(0, 2 * BLOCK + 1)
    case = of_tensors(careless, values)

    assert (values + np.float32(1)).tobytes() == case.compute(device)[1]
    assert values.tobytes() == bytes(case.held[0].data)


@bothdevices
@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=str)
def test_what_is_no_number_is_refused(bad, device):
    with pytest.raises(ModelbuildError, match="1 of 2 elements of `two::weight` are"):
        Case(scaled, (np.float32([1, 2]), np.float32([bad, 2])), {}, np.float32([1, 2])).compute(device)


def test_a_random_method_is_given_its_streams():
    """One 64-bit number per input, not the same ones."""
    seen: list[tuple[int, ...]] = []
    case = family((dare_linear, 3, {"density": (0.5,) * 3}), uniform(0, 9))

    def looking(deltas: list[torch.Tensor], *, streams: tuple[int, ...], **_: object) -> torch.Tensor:
        seen.append(streams)
        return deltas[0]

    replace(case, method=replace(dare_linear, short=looking, stats=None, apply=None)).compute()

    assert [case.streams] == seen
    assert 3 == len(set(seen[0]))


@method(revision=1)
def broken(tensors):
    """Fail, as a stranger's method may."""
    raise KeyError("no such thing")


@bothdevices
def test_a_method_that_fails_is_named_with_the_tensor(device):
    with pytest.raises(ModelbuildError) as caught:
        of_tensors(broken, uniform(0, 8)).compute(device)

    assert "error: the method `broken` failed on `" in str(caught.value)
    assert "KeyError: 'no such thing'" in str(caught.value)
    assert Exit.ACTION_FAILED == caught.value.exit_code


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_of_torch_change_no_bit_of_a_decomposition(threads):
    """They would: LAPACK shares its sums between them.  Afterwards torch has as many as before."""
    case = of_deltas(iso_c, *(uniform(i, 320, 200) for i in range(2)))
    assert 1 == torch.get_num_threads()
    expected = case.compute()
    torch.set_num_threads(threads)
    try:
        assert expected == case.compute()
        assert threads == torch.get_num_threads()
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("first", [0, 1])
def test_threads_have_theirs_back_whoever_leaves_first(first):
    """And so has one that comes to torch afterwards."""
    torch.set_num_threads(3)
    inside, leave = Barrier(3), [Event(), Event()]

    def work(i: int) -> int:
        with serial():
            inside.wait()
            leave[i].wait()
        return torch.get_num_threads()

    try:
        with ThreadPoolExecutor(2) as pool:
            found = [pool.submit(work, i) for i in range(2)]
            inside.wait()
            for i in (first, 1 - first):
                leave[i].set()
                assert 3 == found[i].result()
        with ThreadPoolExecutor(1) as pool:
            assert 3 == pool.submit(torch.get_num_threads).result()
    finally:
        torch.set_num_threads(1)


def test_threads_of_torch_change_no_bit_of_low_rank_factors():
    matrix = uniform(0, 320, 200)
    held = [Held(region(one, "F32"), "F32", one.shape) for one in (matrix, np.zeros_like(matrix))]
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append([factor.tobytes() for factor in factorise((("difference", False), 8), held, 0)])
    finally:
        torch.set_num_threads(1)

    assert found[:1] * 3 == found

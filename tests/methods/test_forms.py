"""The bytes of a merge are those of the short form, whatever the device and the chunks it was computed in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from modelbuild.engine.devices import Torch
from modelbuild.kernels import BLOCK
from tests.engine.jobs import DTYPES, Case
from tests.methods.values import WAYS, called, family, few, numbers, uniform, vectors

CHUNKS = (BLOCK, 2 * BLOCK, 4 * BLOCK)

SHAPES = {
    "scalar": (),
    "1": (1,),
    "2": (2,),
    "one less than a block": (BLOCK - 1,),
    "a block": (BLOCK,),
    "one more than a block": (BLOCK + 1,),
    "one more than two blocks": (2 * BLOCK + 1,),
    "matrix over three blocks": (257, 513),
}


def signs(seed: int, *shape: int) -> np.ndarray:
    """+1 and -1."""
    return np.where(uniform(seed, *shape) < 0, np.float32(-1), np.float32(1))


NASTY = {
    "zeros": lambda i, n: np.zeros(n, np.float32),
    "zeros of both signs": lambda i, n: signs(i, n) * np.float32(0),
    "one magnitude": lambda i, n: signs(i, n) / np.float32(4),
    "three magnitudes": lambda i, n: np.round(uniform(i, n) * 2).astype(np.float32) / 2,
    "one entry among zeros": lambda i, n: np.eye(1, n, n - 1 - i, dtype=np.float32)[0],
    "equal on the border of blocks": lambda i, n: np.where(abs(np.arange(n) - BLOCK) < 9, np.float32(2), np.float32(2**-9)) * signs(i, n),
    "subnormals": lambda i, n: uniform(i, n) * np.float32(2**-134),
    "all orders of magnitude": lambda i, n: (uniform(i, n) * np.exp2(np.floor(uniform(i + 99, n) * 14))).astype(np.float32),
}
"""Values of the i-th tensor, n of them."""

everyway = pytest.mark.parametrize("way", WAYS, ids=called)


@everyway
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_streaming_gives_the_bytes_of_the_short_form_for_every_shape(way, shape):
    case = family(way, uniform(0, *shape))

    assert case.short() == case.compute()[1]


@everyway
@pytest.mark.parametrize("kind", NASTY)
def test_streaming_gives_the_bytes_of_the_short_form_for_nasty_values(way, kind):
    """On a base of zeros, so that what is nasty is so in the deltas, and on one that is no better."""
    method, count, params = way
    n = BLOCK + 77
    inputs = tuple(NASTY[kind](i, n) for i in range(count))
    bases = [None] if method.space == "weight" else [np.zeros(n, np.float32), NASTY[kind](count, n)]
    cases = [Case(method, inputs, params, base) for base in bases]

    assert [case.short() for case in cases] == [case.compute()[1] for case in cases]


@everyway
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_streaming_gives_the_bytes_of_the_short_form_for_drawn_values(way, data):
    method, count, params = way
    base, *inputs = data.draw(vectors(count + 1, few | numbers | st.floats(-100, 100, width=32)))
    case = Case(method, tuple(inputs), params, base if method.space == "delta" else None, "F32", data.draw(st.sampled_from(DTYPES)))

    assert case.short() == case.compute()[1]


@everyway
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("to", DTYPES)
def test_streaming_gives_the_bytes_of_the_short_form_for_every_type(way, dtype, to):
    """The result is float32 until it is rounded, once, by torch or by the engine."""
    case = replace(family(way, uniform(0, 300)), dtype=dtype, to=to)

    assert case.short() == case.compute()[1]


@everyway
@pytest.mark.parametrize("dtype", DTYPES)
def test_chunks_change_no_byte(way, dtype):
    """A tensor of over four blocks, so that it is in one chunk, in three and in five."""
    case = replace(family(way, uniform(0, 541, 487)), dtype=dtype)
    one, *others = [case.compute(chunk=chunk) for chunk in CHUNKS]

    assert [one, one] == others


@everyway
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda:0", marks=pytest.mark.gpu)])
def test_a_torch_device_gives_the_bytes_of_the_cpu(way, dtype, device, request):
    """The code that runs on CUDA, here on torch's CPU as well."""
    if device != "cpu":
        request.getfixturevalue("cuda")
    case = replace(family(way, uniform(0, 541, 263)), dtype=dtype)

    assert case.compute() == case.compute(Torch(device), CHUNKS[1])


@everyway
@pytest.mark.gpu
@pytest.mark.parametrize("kind", NASTY)
def test_cuda_gives_the_bytes_of_the_cpu_for_nasty_values(way, kind, cuda):
    method, count, params = way
    base, *inputs = (NASTY[kind](i, 2 * BLOCK + 77) for i in range(count + 1))
    case = Case(method, tuple(inputs), params, base if method.space == "delta" else None)

    assert case.compute() == case.compute(Torch(cuda), CHUNKS[0])

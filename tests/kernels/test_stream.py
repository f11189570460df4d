"""Counter-based randomness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.kernels import masks, stream
from modelbuild.kernels.operands import Masked

ONES = 0xFFFFFFFF
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
"""Counter, key and words of philox4x32-10, from the known-answer file of Random123."""


PROBABILITIES = st.floats(0, 1) | st.integers(0, 256).map(lambda first: first / 256)
"""Any, and such that a first byte decides for all."""


def words_of(counter, key):
    """Return the four words of a counter under a key, as the compiled loops draw them."""
    from numba import njit

    from modelbuild.kernels.loops.philox import philox

    return tuple(int(word) & 0xFFFFFFFF for word in njit(philox.py_func)(*map(np.uint64, (*counter, *key))))


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_compiled_philox_gives_the_known_answers(counter, key, expected):
    """The authors' test vectors."""
    assert expected == words_of(counter, key)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_torch_philox_gives_the_known_answers(counter, key, expected):
    """The authors' test vectors."""
    torch = pytest.importorskip("torch")
    from modelbuild.kernels.twin import philox

    assert expected == tuple(int(word) for word in philox([torch.tensor([word]) for word in counter], key))


def dropped(on, length, *, stream=0, probability=0.5, offset=0, factor=1.0):
    """Drop from ones."""
    out = np.full(length, 7.0, np.float32)
    on.copy(Masked(np.ones(length, np.float32), on.mask(stream, probability, offset, length), np.float32(factor)), out)
    return out


def test_elements_take_the_bytes_of_their_counter_in_order(on):
    """By hand: bytes d5 e8 27 66, 8d c5 69 e1, 4c ac 57 bc, d8 db 00 9b of counter 0, key 0; a limit of a half keeps those below 80."""
    assert [0, 0, 1, 1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 1, 0] == dropped(on, 16).tolist()
    assert [0, 0, 2.5, 2.5, 2.5, 0, 2.5, 0] == dropped(on, 8, probability=0.75, factor=2.5).tolist()
    assert [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0] == dropped(on, 16, probability=0x28 / 256).tolist()


@pytest.mark.parametrize("counter", [0, (7 << 32) + 9])
def test_numbers_are_a_byte_and_the_lower_bits_of_a_word_under_the_key_low_word_first(on, counter):
    """Against philox itself: a limit one above the number of an element keeps it, and its number as the limit drops it."""
    low, high = 0x89ABCDEF, 0x01234567
    firsts = np.array(words_of((counter & ONES, counter >> 32, 0, 0), (low, high)), "<u4").tobytes()
    for i, first in enumerate(firsts):
        element = 16 * counter + i
        word = words_of((element // 4 & ONES, element // 4 >> 32, 1, 0), (low, high))[element % 4]
        number = first << 24 | word & 0xFFFFFF
        of_each = {"stream": high << 32 | low, "offset": 16 * counter}
        assert dropped(on, i + 1, probability=(number + 1) / 2**32, **of_each)[i]
        assert not dropped(on, i + 1, probability=number / 2**32, **of_each)[i]


def test_the_ends_keep_all_and_none(on):
    """Probability 1 keeps even a word of all ones."""
    assert dropped(on, 10_001, probability=1.0).all()
    assert not dropped(on, 10_001, probability=0.0).any()
    assert stream.limit(1.5) == 2**32
    assert stream.limit(-0.5) == 0


def test_dropping_writes_positive_zero_and_keeps_bits(on):
    """What is dropped is +0.0 whatever its sign; what is kept with factor 1 keeps its bits."""
    x = np.array([-1.0, -0.0, -1.0, -0.0, 1e-45, -3e38], np.float32)
    out = np.empty_like(x)
    on.copy(Masked(x, on.mask(0, 0.5, 0, 6), np.float32(1)), out)

    assert out.view(np.uint32).tolist() == [0, 0, 0xBF800000, 0x80000000, 0, 0]


@pytest.mark.parametrize("probability", [0.002, 0.1, 0.5, 0.9])
def test_about_the_right_share_is_kept(cpu, probability):
    """Within five standard deviations of a million draws; another stream is another mask, and independent of it."""
    length = 1_000_000
    one, other = (dropped(cpu, length, stream=seed, probability=probability) for seed in (1, 2))
    deviation = (probability * (1 - probability) / length) ** 0.5

    assert abs(one.mean(dtype=np.float64) - probability) < 5 * deviation
    assert abs((one * other).mean(dtype=np.float64) - probability**2) < 5 * deviation


@given(st.integers(0, 2**64 - 1), PROBABILITIES, st.integers(0, 2**40), st.integers(0, 9000), st.sampled_from([1.0, 0.3, 2.0]))
@settings(deadline=None)
def test_twins_drop_alike(cpu, twin, seed, probability, group, length, factor):
    """Any stream, any place in a tensor, any length."""
    arguments = {"stream": seed, "probability": probability, "offset": 16 * group, "factor": factor}

    assert dropped(cpu, length, **arguments).tobytes() == dropped(twin, length, **arguments).tobytes()


@given(st.integers(0, 2**64 - 1), st.integers(1, 1000), st.integers(1, 12_000))
@settings(deadline=None)
def test_chunks_do_not_change_a_mask(cpu, seed, groups, length):
    """A mask is a function of the index in the tensor."""
    step = 16 * groups
    pieces = [dropped(cpu, min(step, length - start), stream=seed, offset=start) for start in range(0, length, step)]

    assert dropped(cpu, length, stream=seed).tobytes() == np.concatenate(pieces).tobytes()


def test_a_chunk_starts_with_the_first_byte_of_a_counter(on):
    """Elsewhere it would need bytes that it throws away."""
    with pytest.raises(ValueError, match="a chunk starts at element 6, not at a multiple of 16"):
        dropped(on, 4, offset=6)


class Inputs:
    """Two inputs of 8,205 elements in chunks of 4,096: as much of a stream as masks ask for."""

    streams, numel, chunk = (3, 1 << 63), 8205, 4096

    def __init__(self, kernels) -> None:
        self.kernels, self.rooms = kernels, [kernels.marks(self.numel) for _ in self.streams]

    def marks(self, i: int, count: int):
        return self.rooms[i][:count]


@pytest.mark.parametrize(("whole", "most"), [(3, 0), (2, masks.KEPT), (2, 0.01), (2, 0)])
def test_masks_come_again_as_they_were_drawn(on, monkeypatch, whole, most):
    """Whether all, some or none of their chunks are kept, as they are or packed, and where chunks end within a byte."""
    monkeypatch.setattr(masks, "WHOLE", whole)
    monkeypatch.setattr(masks, "KEPT", most)
    drawn = masks.Masks(Inputs(on.kernels), (0.25, 0.75))
    chunks = [(i, offset, count) for offset, count in ((0, 4096), (4096, 4096), (8192, 13)) for i in (0, 1)]
    first = [np.array(drawn.draw(*chunk).tolist()) for chunk in chunks]

    assert [mask.tolist() for mask in first] == [drawn.again(*chunk).tolist() for chunk in chunks]
    assert [mask.tolist() for mask in first] == [drawn.again(*chunk).tolist() for chunk in chunks]

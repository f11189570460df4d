"""The k largest magnitudes, exactly."""

from __future__ import annotations

from fractions import Fraction
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from modelbuild.kernels import BLOCK, select
from modelbuild.kernels.operands import Trimmed
from modelbuild.kernels.rescale import Sums
from modelbuild.kernels.select import Cut, largest
from tests.support.raw import Raw

FEW = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1e-45, -1e-45, 3e38, float("inf")])
ANY = st.one_of(FEW, st.floats(width=32, allow_nan=False))


class Tensors:
    """A stream of tensors in memory, in chunks of any size."""

    def __init__(self, on, *inputs: np.ndarray, step=BLOCK) -> None:
        self.kernels, self.inputs, self.step, self.numel, self.passes = on, inputs, step, inputs[0].size, 0
        self.doubted, self.chunk = False, max(step, BLOCK)

    def doubt(self) -> None:
        self.doubted = True

    def read(self, offset, count, *which: int):
        return tuple(self.inputs[i][offset : offset + count] for i in which)

    def sample(self, runs, length, *which: int):
        """As where a tensor lies in view; with the smallest chunks, as where its runs are copied."""
        apart = self.numel // runs
        if self.step > BLOCK:
            return apart, tuple(self.inputs[i] for i in which)
        return length, tuple(np.concatenate([self.inputs[i][run * apart :][:length] for run in range(runs)]) for i in which)

    def chunks(self, *which: int):
        self.passes += 1
        return ((start, self.read(start, self.step, *which)) for start in range(0, self.numel, self.step))


def trimmed(on, x, cut, offset=0):
    """Trim one chunk."""
    out = np.full_like(x, 7.0)
    equals = min(max(cut.last + 1 - offset, 0), x.size)
    on.copy(Trimmed(x, np.int32(select.pattern_of(cut.magnitude)), np.uint32(equals)), out)
    return out


def kept(on, x, keep, step=BLOCK):
    """Return the cut and the tensor trimmed by it, chunk by chunk."""
    (cut,) = largest(Tensors(on, x, step=step), [keep])
    return cut, np.concatenate([trimmed(on, x[start : start + step], cut, start) for start in range(0, x.size, step)])


def oracle(x, keep):
    """Trim by a stable sort of the bit patterns."""
    order = np.argsort(-(x.view(np.int32) & 0x7FFFFFFF).astype(np.int64), kind="stable")
    out = np.zeros_like(x)
    out[order[:keep]] = x[order[:keep]]
    return out


def bits(x):
    """Return what is compared."""
    return x.view(np.uint32).tolist()


def test_equal_magnitudes_go_to_the_lowest_index(on):
    """By hand: of 3, three times 2 and 1, the four largest are 3 and the first three 2s; the three largest drop the last 2."""
    x = np.array([1.0, -2.0, 3.0, 2.0, -2.0], np.float32)

    assert (Cut(2.0, 4), [0.0, -2.0, 3.0, 2.0, -2.0]) == (kept(on, x, 4)[0], kept(on, x, 4)[1].tolist())
    assert (Cut(2.0, 3), [0.0, -2.0, 3.0, 2.0, 0.0]) == (kept(on, x, 3)[0], kept(on, x, 3)[1].tolist())
    assert (Cut(-1.0, -1), x.tolist()) == (kept(on, x, 5)[0], kept(on, x, 5)[1].tolist())


def test_a_cut_says_what_is_kept_of_the_equal(on):
    """By hand: -1 keeps none of them, an index keeps up to there, counted in the tensor and not in the chunk."""
    x = np.array([2.0, 2.0, -3.0, 2.0], np.float32)

    for last, expected in [(-1, [0, 0, -3, 0]), (99, [0, 0, -3, 0]), (100, [2, 0, -3, 0]), (102, [2, 2, -3, 0]), (500, [2, 2, -3, 2])]:
        assert expected == trimmed(on, x, Cut(2.0, last), 100).tolist()
        operand = on.kernels.trimmed(x, Cut(2.0, last), 100)
        assert (select.pattern_of(2.0), min(max(last - 99, 0), 4)) == (operand.threshold, operand.equals)


def test_the_nearest_numbers_to_a_cut_are_told_apart(on):
    """By hand: the float just below is dropped on either side of the last index, the one just above is kept."""
    below, above = np.nextafter(np.float32(2), np.float32([1, 3]))
    x = np.array([below, 2.0, above] * 2, np.float32)

    assert [0.0, 2.0, above, 0.0, 0.0, above] == trimmed(on, x, Cut(2.0, 2)).tolist()


def test_zeros_can_be_selected(on):
    """By hand: more are kept than are not zero, so the first zeros are, sign and all."""
    x = np.array([0.0, -0.0, 5.0, 0.0], np.float32)
    cut, out = kept(on, x, 3)

    assert Cut(0.0, 1) == cut
    assert bits(np.array([0.0, -0.0, 5.0, 0.0], np.float32)) == bits(out)


@given(arrays(np.float32, st.integers(1, 80), elements=ANY), st.data())
@settings(deadline=None)
def test_selection_is_a_stable_sort(on, x, data):
    """Any floats, any share."""
    keep = data.draw(st.integers(1, x.size))

    assert bits(oracle(x, keep)) == bits(kept(on, x, keep, step=7)[1])


def tensors():
    """Name tensors that are easy or hard to bracket, larger than a sample."""
    random = np.random.default_rng(5)
    normal = random.standard_normal(300_001).astype(np.float32)
    return {
        "normal": normal,
        "quantised": (np.round(normal * 8) / 8).astype(np.float32),
        "growing": normal * np.linspace(0.01, 5, normal.size, dtype=np.float32),
        "shrinking": normal * np.linspace(5, 0.01, normal.size, dtype=np.float32),
        "first chunk constant": np.where(np.arange(normal.size) < BLOCK, np.float32(9), normal),
        "first chunk zero": np.where(np.arange(normal.size) < BLOCK, np.float32(0), normal),
        "all equal": np.full(200_000, -0.25, np.float32),
        "all zero": np.zeros(200_000, np.float32),
        "mostly zero": np.where(random.random(normal.size) < 0.01, normal, np.float32(0)),
        "any bits": random.integers(0, 0x7F800000, 200_003, dtype=np.uint32).view(np.float32),
    }


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.3, 0.5, 0.9, 0.999999])
@pytest.mark.parametrize("name", tensors())
def test_selection_is_exact_whatever_the_sample(on, name, share):
    """Where the first chunk misleads, where nearly all is equal, at both ends: the stable sort, and chunks do not matter."""
    x = tensors()[name]
    keep = max(1, int(share * x.size))
    cut, out = kept(on, x, keep)

    assert bits(oracle(x, keep)) == bits(out)
    assert cut == kept(on, x, keep, step=2 * BLOCK)[0]
    assert cut == kept(on, x, keep, step=x.size)[0]


@pytest.mark.parametrize("name", tensors())
def test_counting_finds_what_bracketing_finds(on, name):
    """The way out after a miss gives the same cut."""
    x = tensors()[name]
    for keep in (1, x.size // 5, x.size - 1):
        threshold = np.sort(np.abs(x))[x.size - keep]
        last = np.flatnonzero(np.abs(x) == threshold)[keep - int((np.abs(x) > threshold).sum()) - 1]

        assert Cut(float(threshold), last) == select.counted(Tensors(on, x), 0, keep)


def test_a_miss_is_no_matter(on, monkeypatch):
    """With a bracket that does not hold the threshold, histograms decide."""
    x = tensors()["normal"]
    monkeypatch.setattr(select, "ends", lambda _pieces, _share: select.Bracket(1, 2))

    assert bits(oracle(x, 1000)) == bits(kept(on, x, 1000)[1])


def test_a_bracket_that_holds_too_much_is_a_miss(on, monkeypatch):
    """Memory is bounded: what is between is not kept beyond a limit."""
    x = tensors()["normal"]
    monkeypatch.setattr(select, "COLLECT_MOST", 10)

    assert bits(oracle(x, 1000)) == bits(kept(on, x, 1000)[1])


def test_the_larger_a_tensor_the_narrower_its_bracket(cpu, monkeypatch):
    """With the sample of a small one, of 2^20 numbers 2^16 would lie between, which is more than is collected."""
    x = np.random.default_rng(0).standard_normal(1 << 20, dtype=np.float32)
    monkeypatch.setattr(select, "SAMPLE_MOST", 1 << 12)
    monkeypatch.setattr(select, "COLLECT_MOST", 50_000)
    monkeypatch.setattr(select, "NARROW", 50_000 / 8)
    tensor = Tensors(cpu, x, step=1 << 18)

    (cut,) = largest(tensor, [x.size // 2])

    assert 1 == tensor.passes
    assert x.size // 2 == np.count_nonzero(np.abs(x) >= np.float32(cut.magnitude))


@given(st.integers(select.SAMPLE_MOST + 1, 1 << 36), st.sampled_from([BLOCK, 1 << 20, 1 << 24]))
def test_a_sample_fits_where_it_is_read(total, chunk):
    """It is a small part of the tensor, no larger than a buffer, and large enough for a bracket of a half wherever those two let it."""
    sample = select.sample_size(total, chunk)

    assert select.SAMPLE_LEAST <= sample <= chunk
    between = select.DEVIATIONS * total / sample**0.5
    assert between <= select.COLLECT_MOST / 2 or sample in (chunk, total // select.SAMPLE_SHARE)


def test_all_inputs_are_read_once_together(cpu):
    """One pass for all, whether rows differ, magnitudes are shared or all is zero: the sample speaks for the rest."""
    names = ("normal", "quantised", "growing", "shrinking", "mostly zero")
    tensors_in_memory = Tensors(cpu, *(tensors()[name] for name in names))
    keeps = [tensors_in_memory.numel // share for share in (5, 2, 3, 10, 200)]
    cuts = largest(tensors_in_memory, keeps)

    assert 1 == tensors_in_memory.passes
    for name, keep, cut in zip(names, keeps, cuts, strict=True):
        assert (cut,) == largest(Tensors(cpu, tensors()[name]), [keep]), name


def test_what_is_kept_whole_is_not_read(cpu):
    """Density 1 needs no threshold."""
    stream = Tensors(cpu, tensors()["normal"], tensors()["normal"])

    assert (select.EVERYTHING, select.EVERYTHING) == largest(stream, [stream.numel, stream.numel + 1])
    assert 0 == stream.passes
    assert stream.doubted


def test_nan_ranks_above_infinity(on):
    """A NaN is somebody else's error, but it is selected first, and nothing breaks, whatever its payload."""
    patterns = np.array([0x7F800000, 0x7FC00000, 0x3F800000, 0xFF800001, 0x7F812345], np.uint32)
    x = patterns.view(np.float32)

    assert (oracle(x, 4) != 0).tolist() == (kept(on, x, 4)[1] != 0).tolist()
    assert kept(on, x, 2, step=3)[0].magnitude != kept(on, x, 4, step=3)[0].magnitude


@pytest.mark.parametrize("most", [select.COLLECT_MOST, 0])
def test_a_stream_is_doubted_where_an_element_of_it_is_not_finite(on, most, monkeypatch):
    """Whether a bracket holds or breaks off; the largest finite number is none."""
    monkeypatch.setattr(select, "COLLECT_MOST", most)
    doubted = []
    for bits in (0x7F7FFFFF, 0x7F800000, 0xFF800001):
        x = np.ones(3 * BLOCK, np.float32)
        x.view(np.uint32)[-1] = bits
        stream = Tensors(on, x, np.ones_like(x))
        largest(stream, [5, 7])
        doubted.append(stream.doubted)

    assert [False, True, True] == doubted


def test_a_stream_is_doubted_where_an_input_was_not_measured(on):
    """A sum of nothing is finite, and tells nothing."""
    stream = Tensors(on, np.ones(9, np.float32), np.ones(9, np.float32))
    sums = Sums(stream, 2)
    sums.add(0, stream.inputs[0], on.mask(0, 1.0, 0, 9))

    assert [(9.0, 9.0), (0.0, 0.0)] == sums.found()
    assert stream.doubted


@given(arrays(np.float32, st.integers(1, 100), elements=ANY), st.data())
@settings(deadline=None)
def test_twins_count_alike(cpu, twin, x, data):
    """Every question selection asks of a chunk has one answer."""
    patterns = st.one_of(st.sampled_from((x.view(np.int32) & 0x7FFFFFFF).tolist()), st.integers(-1, 2**31 - 1))
    ends = data.draw(st.lists(st.lists(st.tuples(patterns, patterns).map(sorted), max_size=3), min_size=1, max_size=8))
    inputs = [np.roll(x, k) for k in range(len(ends))]
    found = [implementation.brackets(inputs, ends) for implementation in (cpu, twin)]
    assert [len(of_one) for of_one in ends] == [len(of_one) for of_one in found[0]]
    for ours, theirs in zip(chain(*found[0]), chain(*found[1]), strict=True):
        assert ours[:3] == theirs[:3]
        assert ours.inside.tolist() == theirs.inside.tolist()
        assert ours.highest == theirs.highest == (x.view(np.int32) & 0x7FFFFFFF).max()
    high = data.draw(patterns)
    runs, length = data.draw(st.integers(1, 16)), data.draw(st.integers(0, x.size))
    apart = data.draw(st.integers(0, (x.size - length) // max(runs - 1, 1)))
    assert cpu.magnitudes(x, runs, length, apart).tolist() == twin.magnitudes(x, runs, length, apart).tolist()
    assert cpu.count_equal(x, high) == twin.count_equal(x, high)
    for n in (0, 1, 5):
        assert cpu.nth_equal(x, high, n) == twin.nth_equal(x, high, n)
    counts = np.zeros((2, 1 << 15), np.int64), np.zeros((2, 1 << 16), np.int64)
    for i, implementation in enumerate((cpu, twin)):
        implementation.magnitude_histogram(x, counts[0][i])
        implementation.refine_histogram(x, high >> 16, counts[1][i])
    for both in counts:
        assert both[0].tolist() == both[1].tolist()


def test_brackets_of_something_else_than_the_inputs_are_refused(on):
    x = np.ones(5000, np.float32)

    for ends in ([[(0, 5)]], [[(0, 5)]] * 3):
        with pytest.raises(ValueError, match="argument"):
            on.brackets([x, x], ends)


def test_brackets_of_inputs_of_several_types_are_those_of_each(on):
    """Nine inputs, of two types in turn: each is looked at in its own."""
    x = np.random.default_rng(3).standard_normal(5000).astype(np.float32)
    halves = Raw(x.astype(np.float16).view(np.uint8), "F16")
    ends = [[(k << 20, (k << 20) + (900 << 20))] for k in range(9)]
    found = on.brackets([halves if k % 2 else x for k in range(9)], ends)

    for k, (seen,) in enumerate(found):
        ((alone,),) = on.brackets([halves if k % 2 else x], [ends[k]])
        assert alone[:3] == seen[:3]
        assert alone.inside.tolist() == seen.inside.tolist()


@pytest.mark.parametrize("n", [31, 4096, 4096 + 37, 2 * 4096])
def test_brackets_that_hold_much_or_all_write_beside_no_other(cpu, twin, n):
    """What lies in one bracket ends where that of the next begins; groups of 32 have none inside, some and 32."""
    x = np.random.default_rng(6).standard_normal(n).astype(np.float32)
    inputs = [x, np.roll(x, 5)]
    middle = int(np.median(x.view(np.int32) & 0x7FFFFFFF))
    ends = [[(-1, select.TOP), (middle, select.TOP)], [(middle, middle + (1 << 19)), (-1, select.TOP)]]

    for ours, theirs in zip(chain(*cpu.brackets(inputs, ends)), chain(*twin.brackets(inputs, ends)), strict=True):
        assert ours[:3] == theirs[:3]
        assert ours.inside.tolist() == theirs.inside.tolist()


def test_brackets_hold_the_rank_and_are_narrow():
    """On its own sample a bracket always holds the rank asked for, within some per cent."""
    sample = np.random.default_rng(0).permutation(10_000).astype(np.int32)
    shares = [Fraction(k, 100) for k in range(1, 100)]
    found = [select.ends(sample.reshape(16, 625), float(share)) for share in shares]

    for share, (low, high) in zip(shares, found, strict=True):
        assert low <= 10_000 - int(share * 10_000) <= high
    assert max(high - low for low, high in found) < 700


def test_brackets_widen_where_runs_differ():
    """Of sixteen runs, each of one value, any could be half of what was not seen."""
    runs = np.repeat(np.arange(16, dtype=np.int32), 100).reshape(16, 100)

    assert select.ends(runs, 0.5) == (-1, select.TOP)


def test_the_nth_of_equals_is_found_wherever_it_stands(on):
    """Across the stretches that are only counted, the last element among them; one too many is none."""
    x = np.zeros(3 * 4096 + 7, np.float32)
    places = [0, 4095, 4096, 9000, 9001, len(x) - 1]
    x[places] = -2.5
    pattern = select.pattern_of(2.5)

    assert [*places, -1] == [on.nth_equal(x, pattern, n) for n in range(len(places) + 1)]

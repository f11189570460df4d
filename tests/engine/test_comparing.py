"""How far apart two tensors are: by hand, against torch for types of 8 bits, and the same for any chunks."""

from __future__ import annotations

import math
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from modelbuild.checkpoint.header import TensorInfo
from modelbuild.engine import comparing
from modelbuild.engine.comparing import difference
from tests.support.checkpoints import to_bfloat16


def stored(path: Path, data: bytes, dtype: str, count: int) -> TensorInfo:
    """Write a tensor after some other bytes."""
    path.write_bytes(b"before" + data)
    return TensorInfo("w", dtype, (count,), path, 6, len(data))


def of_float32(path: Path, *values: float) -> TensorInfo:
    return stored(path, struct.pack(f"<{len(values)}f", *values), "F32", len(values))


def test_by_hand(tmp_path: Path):
    """(3, 4, 0, -1) and (3, 1, 0, 2): differences 0, 3, 0, -3; norms √26 and √14; one sign turns.

    From -1 to 2 there are 0x3f800000 steps to 0 and 0x40000000 from there.
    """
    found = difference(of_float32(tmp_path / "a", 3, 4, 0, -1), of_float32(tmp_path / "b", 3, 1, -0.0, 2))

    assert found is not None
    assert (2, 4, 0, 3.0, 1) == (found.elements, found.numel, found.nonfinite, found.largest, found.flips)
    assert math.isclose(math.sqrt(18 / 26), found.relative_l2)
    assert math.isclose((9 + 4 - 2) / math.sqrt(26 * 14), found.cosine)
    assert 0x3F800000 + 0x40000000 == found.ulps


@pytest.mark.parametrize(("dtype", "kind"), [("F64", "<f8"), ("F32", "<f4"), ("F16", "<f2"), ("BF16", "<u2")])
def test_the_next_number_is_one_step_away_on_both_sides_of_0_and_of_a_power_of_2(tmp_path: Path, dtype: str, kind: str):
    bits = f"<u{np.dtype(kind).itemsize}"
    ones = {"F64": 0x3FF0000000000000, "F32": 0x3F800000, "F16": 0x3C00, "BF16": 0x3F80}[dtype]
    sign = 1 << (8 * np.dtype(bits).itemsize - 1)
    left = np.array([ones, ones, 0, sign, 1], bits)
    right = np.array([ones + 1, ones - 1, 1, 1, sign | 1], bits)

    steps = [
        difference(stored(tmp_path / "a", a.tobytes(), dtype, 1), stored(tmp_path / "b", b.tobytes(), dtype, 1)).ulps  # type: ignore[union-attr]
        for a, b in zip(left, right, strict=True)
    ]

    assert [1, 1, 1, 1, 2] == steps


def test_what_is_not_finite_is_counted_apart(tmp_path: Path):
    """A NaN is as unlike 1 as infinity is; a NaN and a NaN are alike."""
    found = difference(of_float32(tmp_path / "a", 1, math.nan, math.nan, math.inf), of_float32(tmp_path / "b", 1, math.nan, 1, 1))

    assert found is not None
    assert (2, 3, 0.0, 0.0, 1.0, 0) == (found.elements, found.nonfinite, found.largest, found.relative_l2, found.cosine, found.ulps)


def test_nothing_against_something_has_no_ratio(tmp_path: Path):
    found = difference(of_float32(tmp_path / "a", 0, 0), of_float32(tmp_path / "b", 0, 1))

    assert found is not None
    assert (math.inf, True) == (found.relative_l2, math.isnan(found.cosine))


def test_types_that_differ_are_compared_by_their_numbers_and_shapes_that_differ_are_not(tmp_path: Path):
    single = of_float32(tmp_path / "a", 1.5, 2.5)
    half = stored(tmp_path / "b", to_bfloat16(np.array([1.5, 3.5])).tobytes(), "BF16", 2)

    found = difference(single, half)

    assert found is not None
    assert (1, 1.0, -1) == (found.elements, found.largest, found.ulps)
    assert difference(single, of_float32(tmp_path / "c", 1, 2, 3)) is None


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2"])
def test_all_numbers_of_8_bits_are_what_torch_takes_them_for(dtype: str):
    torch = pytest.importorskip("torch")
    kind = {"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}[dtype]
    expected = torch.arange(256, dtype=torch.uint8).view(kind).to(torch.float64).numpy()

    actual = comparing._values(np.arange(256, dtype=np.uint8), dtype)

    np.testing.assert_array_equal(expected, actual)


def test_memory_is_bounded_by_chunks_and_not_by_tensors(tmp_path: Path):
    """Thirty-two chunks of numbers that all differ."""
    count = 32 * comparing.CHUNK
    data = np.random.default_rng(0).integers(0, 0x3F80, count, dtype=np.uint16)
    one, other = (stored(tmp_path / name, (data ^ np.uint16(i)).tobytes(), "BF16", count) for i, name in enumerate("ab"))
    difference(one, other)  # numpy is imported by now
    tracemalloc.start()

    found = difference(one, other)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found is not None
    assert (count, 1) == (found.elements, found.ulps)
    assert peak < comparing.CHUNK * comparing.BYTES_PER_ELEMENT


def test_chunks_change_counts_by_nothing_and_sums_by_rounding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=1000), rng.normal(size=1000)
    one, other = of_float32(tmp_path / "a", *a), of_float32(tmp_path / "b", *b)
    whole = difference(one, other)
    monkeypatch.setattr(comparing, "CHUNK", 7)

    parts = difference(one, other)

    assert whole is not None
    assert parts is not None
    assert (whole.elements, whole.flips, whole.ulps, whole.largest) == (parts.elements, parts.flips, parts.ulps, parts.largest)
    assert math.isclose(whole.relative_l2, parts.relative_l2, rel_tol=1e-12)
    assert math.isclose(np.linalg.norm(np.float32(a) - np.float32(b)) / np.linalg.norm(np.float32(a)), parts.relative_l2, rel_tol=1e-6)

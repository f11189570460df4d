"""What the parity tests measure with is itself right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from . import reference
from .comparing import Distance, compare, floats, position, read, rounded

if TYPE_CHECKING:
    from pathlib import Path

    from .comparing import Bits, Floats


def tensor(*values: float) -> Floats:
    """Hold the values in float32."""
    return np.array(values, np.float32)


def bits(*values: float) -> Bits:
    """Hold the values in bfloat16."""
    return rounded(tensor(*values))


def test_rounding_goes_to_the_nearest_and_of_two_to_the_even_one() -> None:
    """Between 1 and 2 bfloat16 has steps of 1/128."""
    step = 1 / 128

    result = floats(rounded(1 + step * tensor(0.5, 0.51, 1.5, 2.5))).tolist()

    assert [1.0, 1 + step, 1 + 2 * step, 1 + 2 * step] == result


def test_neighbours_are_one_step_apart_across_zero_too() -> None:
    """From the smallest negative over either zero to the smallest positive number."""
    result = position(np.array([0x8001, 0x8000, 0x0000, 0x0001], np.uint16)).tolist()

    assert [-1, 0, 0, 1] == result


def test_a_difference_is_equal_negligible_halfway_or_unexplained() -> None:
    """One element of each; what is left out is none of them."""
    step = 1 / 128
    ours = {"w": bits(1, 2**-24, 1, 1, 9)}
    theirs = {"w": bits(1, 2**-23, 1 + step, 1 + step, 5)}
    inputs = [{"w": bits(1, 1, 1, 1, 1)}]
    exact = {"w": np.array([1, 0, 1 + step / 2, 1 + step / 4, 0])}
    excluded = {"w": np.array([False, False, False, False, True])}

    found = compare(ours, theirs, inputs, exact=exact, excluded=excluded)

    assert Distance(compared=4, equal=2, halfway=1, ulps=1, worst="w", excluded=1) == found
    assert found.unexplained == 1


def test_tensors_that_only_one_side_has_are_an_error() -> None:
    """So are none at all."""
    with pytest.raises(ValueError, match=r"differ: w$"):
        compare({"v": bits(1), "w": bits(1)}, {"v": bits(1)})
    with pytest.raises(ValueError, match="there are none"):
        compare({}, {})


def test_a_checkpoint_may_be_several_files(tmp_path: Path) -> None:
    """Tensors come sorted by name, in their shapes."""
    for name, shape in (("b", [2, 1]), ("a", [2])):
        entry = {"dtype": "BF16", "shape": shape, "data_offsets": [0, 4]}
        header = json.dumps({"__metadata__": {}, name: entry}).encode()
        data = bits(1, 2).tobytes()
        (tmp_path / f"{name}.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)

    result = {name: floats(values).tolist() for name, values in read(tmp_path).items()}

    assert [("a", [1.0, 2.0]), ("b", [[1.0], [2.0]])] == list(result.items())


@pytest.mark.parametrize(
    ("density", "expected"),
    [(0.25, [1, 0, 1, 0]), (0.5, [0, 0, 0, 0]), (0.75, [0, 0, 0, 0]), (1.0, [0, 0, 0, 0])],
)
def test_only_entries_of_which_some_are_dropped_are_contested(density: float, expected: list[int]) -> None:
    """Two share the largest magnitude: one place is contested, two are not, and which zero is kept does not matter."""
    assert expected == reference.contested(tensor(2, 0, -2, 0), density).tolist()


def test_ties_by_hand() -> None:
    """Of 3 and 3 the first is kept; +2 outvotes -1; 0.5 and -0.5 are a dead heat, which goes to plus."""
    base, one, other = tensor(0, 0, 0), tensor(3, -1, 0.5), tensor(1, 2, -0.5)

    all_kept = reference.ties(base, [one, other], density=(1, 1), weight=(1, 1), normalize=True, scale=1)
    first_kept = reference.ties(base, [tensor(3, -3, 1)], density=(0.4,), weight=(1,), normalize=True, scale=0.5)

    assert [2.0, 2.0, 0.5] == all_kept.tolist()
    assert [1.5, 0.0, 0.0] == first_kept.tolist()


def test_slerp_by_hand() -> None:
    """Halfway round a quarter circle; between nearly parallel tensors, along the line."""
    quarter = reference.slerp(tensor(1, 0), tensor(0, 1), t=0.5)
    line = reference.slerp(tensor(1, 0), tensor(2, 0), t=0.25)

    assert quarter.tolist() == pytest.approx([0.5**0.5, 0.5**0.5])
    assert [1.25, 0.0] == line.tolist()

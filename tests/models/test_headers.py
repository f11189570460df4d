"""Headers that are odd: keys that stand twice or are missing, colons elsewhere, sizes that nothing has."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelbuild.checkpoint.header import TensorInfo, parse_header
from modelbuild.errors import Exit, ModelbuildError

ENTRY = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'


def parsed(text: str) -> tuple[TensorInfo, ...]:
    """Parse a header before four bytes of data."""
    data = text.encode()
    return parse_header(Path("model.safetensors"), 8 + len(data) + 4, len(data).to_bytes(8, "little") + data)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f'{{"a":{ENTRY},"a":{ENTRY}}}', "a"),
        (f'{{"a:b":{ENTRY},"a:b":{ENTRY}}}', "a:b"),
        ('{"a":{"dtype":"F16","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', "dtype"),
        (f'{{"__metadata__":{{"format":"pt","format":"tf"}},"a":{ENTRY}}}', "format"),
    ],
)
def test_no_key_stands_twice(text: str, key: str):
    with pytest.raises(ModelbuildError) as caught:
        parsed(text)

    assert Exit.SOURCE == caught.value.exit_code
    assert (f"its header is not sound JSON: `{key}` stands there twice",) == caught.value.problems[0].facts


@pytest.mark.parametrize("text", [f'{{"a:b":{ENTRY}}}', f'{{"__metadata__":{{"from":"hf://a/b"}},"a:b":{ENTRY}}}'])
def test_colons_in_names_and_notes_are_none_of_a_key(text: str):
    (info,) = parsed(text)

    assert ("a:b", "F32", (1,), 4) == (info.name, info.dtype, info.shape, info.nbytes)


@pytest.mark.parametrize(
    ("entry", "shape"),
    [('{"dtype":"F32","shape":[1],"data_offsets":[0,4],"by":"us"}', (1,)), ('{"dtype":"F32","shape":[3,0],"data_offsets":[4,4]}', (3, 0))],
    ids=["another key", "no element"],
)
def test_what_is_seldom_is_read_as_well(entry: str, shape: tuple[int, ...]):
    (info,) = parsed(f'{{"a":{entry}}}')

    assert ("a", "F32", shape) == (info.name, info.dtype, info.shape)


def test_sizes_are_not_multiplied_before_they_are_counted():
    """A product of a hundred thousand large numbers takes minutes."""
    with pytest.raises(ModelbuildError, match="a shape of 100000 dimensions"):
        parsed(f'{{"a":{{"dtype":"F32","shape":{[2**62] * 100_000},"data_offsets":[0,4]}}}}')


@pytest.mark.parametrize(
    "text",
    [
        '{"a:b":{"dtype":"F32","data_offsets":[0,4]}}',
        '{"a":{"dtype":"F32","data_offsets":[0,2]},"b":{"dtype":"F16","dtype":"F16","shape":[1],"data_offsets":[2,4]}}',
    ],
    ids=["in a name", "of a key that stands twice"],
)
def test_a_colon_elsewhere_stands_for_no_key_that_is_missing(text: str):
    with pytest.raises(ModelbuildError):
        parsed(text)

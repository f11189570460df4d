"""Texts made to hurt: each ends in a short, clear error, and soon."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelbuild.errors import ModelbuildError
from modelbuild.modelfile.parse import parse

MERGE = '[merge.x]\nmethod = "m"\ninputs = ["a"]\n'

HOSTILE = {
    "open brackets": ("a = 1\nb = " + "[" * 10_000, "brackets are nested too deep", "2:105"),
    "closed brackets": ("a = " + "[" * 10_000 + "]" * 10_000, "brackets are nested too deep", "1:105"),
    "inline tables": ("a = " + "{ a = " * 10_000, "brackets are nested too deep", "1:605"),
    "brackets in strings": ("a = '" + "[" * 10_000 + "'\nb = " + "[" * 10_000, "brackets are nested too deep", "2:105"),
    "nesting the parser takes": (f"{MERGE}t = " + "[" * 300 + "]" * 300, "`t` must be a number, a string, true, false", "4:5"),
    "nesting in variables": ("[vars]\na = " + "[" * 300 + "'${a}'" + "]" * 300 + f'\n{MERGE}t = "${{a}}"', "`t` must be a number", "6:5"),
    "key of many parts": (".".join("a" * 30_000) + " = 1", "a dotted key has too many parts", "1:1"),
    "key of 900 parts": (".".join("a" * 900) + " = 1", "unknown key `a`", "1:1"),
    "long key": ("a" * 60_000 + " = 1", "unknown key `aaaaaaaaaa", "1:1"),
    "long name": ("[merge." + "a" * 60_000 + "]", '"aaaaaaaaaa', "1:8"),
    "long integer": ("a = '" + "9" * 9_999 + "'\nb = " + "9" * 10_000, "a number is too long", "2:5"),
    "long hexadecimal integer": ("seed = 0x" + "f" * 10_000, "`seed` must be from 0 to 2**64 - 1", "1:8"),
    "hexadecimal version": ("version = 0x" + "f" * 10_000, "`version` must be an integer of at most 64 bits", "1:11"),
    "hexadecimal parameter": (f"{MERGE}t = 0x" + "f" * 10_000, "`t` must be an integer of at most 64 bits", "4:5"),
    "hexadecimal in a string": ("[vars]\na = 0x" + "f" * 10_000 + f'\n{MERGE}t = "is ${{a}}"', "`${a}` is an integer", "6:5"),
    "long float": (f"{MERGE}t = " + "9" * 10_000 + ".0", "`t` must be a finite number", "4:5"),
    "long size": ("[cache]\nmax_size = '" + "9" * 10_000 + "GB'", "`max_size` must be a size", "2:12"),
    "thousands of keys": ("".join(f"key{index} = 1\n" for index in range(5_000)), "unknown key `key0`", "1:1"),
    "escape sequences": ('"\\u001b[31m" = 1', 'unknown key `"\\x1b[31m"`', "1:1"),
    "many open strings": ("a = " + '"""' * 20_001, "this is not valid TOML", "1:"),
}


@pytest.mark.parametrize("text,what,place", HOSTILE.values(), ids=HOSTILE)  # noqa: PT006
def test_hostile_text_ends_in_a_clear_error_soon(text: str, what: str, place: str):
    """Under two seconds, the first problem in few and printable words, in its place."""
    began = time.perf_counter()

    with pytest.raises(ModelbuildError) as caught:
        parse(Path("m"), text)
    words = str(caught.value.problems[0])

    assert time.perf_counter() - began < 2
    assert words.startswith(f"error: {what}")
    assert f"\n  --> m:{place}" in words
    assert len(words) < 600
    assert words.replace("\n", "").isprintable()


SMALL = """\
[vars]
v = 1
[source.a]
from = "${v}"
[merge.x]
method = "m"
inputs = ["a", { model = "a", w = [1, 2] }]
t = [{ value = 1, filter = "f", layers = [0, 2] }]
output = { path = "p", shard_size = "5GB" }
[merge.y]
method = "m"
slices = [{ model = "x", layers = [0, 2] }, { inputs = [{ model = "x", layers = [2, 3] }] }]
"""
TOKENS = re.findall(r'"[^"]*"|\w+|\s+|.', SMALL)
OTHERS = ["nan", "[]", "{}", "[[1]]", "[1, 'a', {}]", "-1", "true", "''", "'${v}'", "'${w}'", "1979-05-27", "'a b'", "cache", "seed"]
EDITS = ["merge.x.t", "vars.v", "merge.y.slices[0].layers", "merge.x.inputs.0.w", "merge.x.inputs[1].model", "source", "seed"]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(TOKENS) - 1), st.sampled_from(TOKENS + OTHERS)), max_size=4),
    st.lists(st.tuples(st.sampled_from(EDITS), st.sampled_from(TOKENS + OTHERS)), max_size=2),
)
@example([], [("merge.y.slices[0].layers", "[")] * 2)
def test_whatever_is_written_gives_a_modelfile_or_problems(changes: list[tuple[int, str]], edits: list[tuple[str, str]]):
    """Tokens of a sound Modelfile replaced at random, by its own and by others: no other exception, no problem said twice."""
    tokens = list(TOKENS)
    for index, token in changes:
        tokens[index] = token

    try:
        parse(Path("m"), "".join(tokens), [f"{key}={value}" for key, value in edits])
    except ModelbuildError as error:
        said = [str(problem) for problem in error.problems]

        assert sorted(set(said)) == sorted(said)

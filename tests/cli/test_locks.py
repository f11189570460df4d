"""lock, verify and fetch on the command line: what they print, and the codes they end with."""

from __future__ import annotations

import json

import pytest

from modelbuild.checkpoint.header import read_header
from tests.cli.conftest import Program
from tests.support.hub import Hub
from tests.support.projects import Project


def test_a_lock_is_written_once_and_a_build_adds_to_it(program: Program, diamond: Project):
    lock = diamond.where.lock
    first, second = (program("lock", "-C", diamond.root) for _ in range(2))

    assert (0, f"wrote {lock}: 3 sources, 4 merges\n", "") == (first.code, first.out, first.err)
    assert f"nothing changes in {lock}: 3 sources, 4 merges\n" == second.out
    assert f"note: wrote {lock}\n" in program("build", "-C", diamond.root).err
    assert 0 == program("build", "-C", diamond.root, "--locked").code
    assert 0 == program("lock", "-C", diamond.root, "--check").code


def test_a_locked_build_of_an_edited_modelfile_ends_with_3(program: Program, diamond: Project):
    program("lock", "-C", diamond.root)
    diamond.edit("value = 0.6", "value = 0.7")
    expected = f"""\
error: `{diamond.where.lock}` is not what `{diamond.where.file}` asks for
  merge `blend` is not the locked one: its method, parameters, inputs or output are others
hint: run `modelbuild lock`, or take the change back
"""

    for arguments in (("build", "--locked"), ("build", "-n", "--locked"), ("lock", "--check")):
        ended = program(*arguments, "-C", diamond.root)
        assert (3, expected) == (ended.code, ended.err)


def test_verify_ends_with_4_and_names_file_and_tensor(program: Program, diamond: Project):
    program("lock", "-C", diamond.root)
    program("build", "-C", diamond.root)
    assert (0, "") == ((ended := program("verify", "-C", diamond.root, "-q")).code, ended.out)
    path = diamond.root / "out/release/model.safetensors"
    info = next(info for info in read_header(path) if info.name == "model.norm.weight")
    data = bytearray(path.read_bytes())
    data[info.offset] ^= 1
    path.unlink()
    path.write_bytes(data)
    ended = program("verify", "-C", diamond.root)

    assert 4 == ended.code
    assert ended.out.startswith("differs: release::model.safetensors\n  tensor `model.norm.weight`\n")
    table = json.loads(program("verify", "-C", diamond.root, "--json").out)
    assert ("release::model.safetensors", "differs") == (table["findings"][0]["what"], table["findings"][0]["state"])
    again = program("build", "-C", diamond.root, "--check")
    assert (4, True) == (again.code, "differs from what is computed now in 1 of 16 elements" in again.out)
    assert data == path.read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        ("lock", "code"),
        ("lock", "--upgrade", "nobody"),
        ("verify", "--sample", "3"),
        ("build", "--source", "code"),
        ("build", "--source", "x=y"),
    ],
    ids=" ".join,
)
def test_a_usage_error_ends_with_2(program: Program, diamond: Project, arguments):
    assert 2 == program(*arguments, "-C", diamond.root).code


def test_fetch_says_what_it_brought(program: Program, family: Project, hub: Hub):
    first, second = (program("fetch", "-C", family.root) for _ in range(2))
    commit = hub.repositories["lab/code"].refs["main"][:12]

    assert f"code at {commit}: 1 file, 19.9 kB, 1 of them fetched now" == first.out.splitlines()[1]
    assert "fetched code::model.safetensors (19.9 kB)\n" in first.err
    assert f"code at {commit}: 1 file, 19.9 kB, 0 of them fetched now" == second.out.splitlines()[1]
    assert "" == second.err
    assert 0 == program("build", "-C", family.root, "--offline").code


def test_a_hub_that_cannot_be_reached_ends_with_7_at_the_line_that_names_it(program: Program, family: Project, hub: Hub):
    hub.fault = lambda handler, _: handler.answer(503) or True
    ended = program("build", "-C", family.root)

    assert 7 == ended.code
    assert 3 == ended.err.count("it answered 503")
    assert f"  --> {family.where.file}:2:13, at `source.base.from`\n" in ended.err


def test_an_address_that_is_none_ends_with_2(program: Program, family: Project):
    family.edit("hf://lab/code", "hf://code")
    ended = program("build", "-C", family.root)

    assert 2 == ended.code
    assert "hint: write hf://namespace/name or hf://namespace/name@revision\n" in ended.err

"""`doctor`: what it looks at, and what it says of what keeps builds from working."""

from __future__ import annotations

import json
import platform
import socket
from importlib import metadata

import pytest

from modelbuild import files
from tests.cli.conftest import Ended, Program
from tests.support.hub import Hub
from tests.support.projects import Project


def findings(ended: Ended) -> dict[tuple[str, str], tuple[str, str]]:
    """Return state and value by subject and name."""
    return {(one["subject"], one["name"]): (one["state"], one["value"]) for one in json.loads(ended.out)["findings"]}


def test_a_machine_on_which_builds_work(program: Program, built: Project, monkeypatch: pytest.MonkeyPatch):
    """Without a network, and without leaving anything behind."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    before = sorted(built.root.rglob("*"))
    ended = program("doctor", "--json", "-C", built.root)

    found = findings(ended)
    assert 0 == ended.code
    assert json.loads(ended.out)["well"]
    assert metadata.version("torch") == found["environment", "torch"][1]
    assert found["environment", "Python"][1].startswith(f"{platform.python_version()} at ")
    assert found["cache", "directory"][1].startswith(f"{built.root}/cache: ")
    assert " on " in found["cache", "free space"][1]
    assert found["cache", "outputs"][1] in ("share the cache's blocks (reflink)", "are hard links into the cache")
    assert ("good", "sources: 3, merges: 4") == found["Modelfile", f"{built.root}/Modelfile.toml"]
    assert found["devices", "auto"][1].startswith("is c")
    assert not any(subject == "hub" for subject, _ in found)
    assert before == sorted(built.root.rglob("*"))


def test_the_text_is_by_subject_and_ends_with_a_verdict(program: Program, diamond: Project):
    ended = program("doctor", "-C", diamond.root)

    lines = ended.out.splitlines()
    assert ["environment", "cache", "devices", "Modelfile"] == [line for line in lines if not line.startswith(" ")][:-1]
    assert "all is well" == lines[-1]


def test_what_keeps_builds_from_working_is_told_with_a_way_out_and_exit_1(program: Program, diamond: Project):
    diamond.edit('from = "math"', 'from = "maths"')
    missing = program("doctor", "-C", diamond.root)
    diamond.edit('method = "slerp"', 'method = "slrp"')
    broken = program("doctor", "-C", diamond.root)

    assert (1, 1) == (missing.code, broken.code)
    assert f"source math      error: nothing is at {diamond.root}/maths (correct `from`)" in missing.out
    assert "error: no merge method is called `slrp` (did you mean `slerp`?)" in broken.out
    assert broken.out.endswith("1 thing to mend\n")


def test_outputs_that_would_be_copies_are_noted(program: Program, diamond: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "link_as", lambda source, destination: "copy")
    ended = program("doctor", "--json", "-C", diamond.root)

    assert ("odd", "are copies of the cache's files") == findings(ended)["cache", "outputs"]
    assert 0 == ended.code


def test_the_hub_is_asked_only_where_that_is_wanted(program: Program, family: Project, hub: Hub):
    quiet = program("doctor", "-C", family.root)
    assert (0, []) == (quiet.code, hub.requests)
    hub.repositories["lab/code"].private = True

    found = findings(program("doctor", "--hub", "--json", "-C", family.root))

    assert ("good", "bad") == (found["hub", "base"][0], found["hub", "code"][0])
    assert found["hub", "base"][1].startswith("hf://lab/base can be read, at ")


def test_without_a_modelfile_the_machine_is_looked_at_all_the_same(program: Program, project: Project):
    ended = program("doctor", "-C", project.root)

    assert 0 == ended.code
    assert "note: not there (`modelbuild init` makes one)" in ended.out

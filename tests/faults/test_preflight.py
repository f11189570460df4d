"""A doomed build is refused before work, with what is needed and what there is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelbuild.errors import Exit, ModelbuildError
from modelbuild.usecases import preflight
from tests.exports.models import MODELFILE, write_project
from tests.support.projects import Project

ROUNDED = 'default = ["release", "rounded"]\n{}[export.rounded]\nof = "release"\nformat = "gguf"\ntype = "q8_0"\n'


def refused(project: Project) -> ModelbuildError:
    """Return what a build is refused with, nothing having been done for it."""
    before = sorted(path for path in project.root.rglob("*") if "index" not in path.parts)

    with pytest.raises(ModelbuildError) as caught:
        project.build()

    after = sorted(path for path in project.root.rglob("*") if "index" not in path.parts)
    assert before == [path for path in after if path in before]
    assert not (project.root / "cache" / "staging").exists()
    assert Exit.LOCAL_IO == caught.value.exit_code
    return caught.value


def test_too_little_space_is_told_with_both_figures(diamond: Project, monkeypatch: pytest.MonkeyPatch):
    """66 actions in four packs: what a first build writes at least."""
    monkeypatch.setattr(preflight, "free_space", lambda path: 50_000)

    error = refused(diamond)

    (problem,) = error.problems
    assert "there is too little space for this build" == problem.what
    assert problem.facts[0].endswith(f"50.0 kB free at {diamond.root}/cache")
    assert " needed at least, " in problem.facts[0]


def test_a_build_that_fits_to_the_byte_is_not_refused(diamond: Project, monkeypatch: pytest.MonkeyPatch):
    """What it was said to need is what it needs."""
    monkeypatch.setattr(preflight, "free_space", lambda path: 0)
    needed = []
    monkeypatch.setattr(preflight, "human_bytes", lambda nbytes: needed.append(nbytes) or "")
    refused(diamond)
    monkeypatch.setattr(preflight, "free_space", lambda path: needed[0])

    outcome = diamond.build()

    assert 0 == outcome.exit_code
    packs = sum(path.stat().st_size for path in (diamond.root / "cache" / "packs").glob("*.safetensors"))
    assert needed[0] >= packs


def test_a_build_with_nothing_to_write_needs_no_space(diamond: Project, monkeypatch: pytest.MonkeyPatch):
    """However little there is."""
    diamond.build()
    monkeypatch.setattr(preflight, "free_space", lambda path: 0)

    assert 0 == diamond.build().actions.run


@pytest.mark.parametrize("where", ["cache", "out"])
def test_a_place_that_cannot_be_written_to_is_told(diamond: Project, monkeypatch: pytest.MonkeyPatch, where: str):
    """The cache, or what the output is to stand in; the system is asked, so that no file is made to try."""
    (diamond.root / where).mkdir()
    place = diamond.root / where
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != place)

    error = refused(diamond)

    assert [f"`{place}` cannot be written to"] == [problem.what for problem in error.problems]
    assert ("this user may not make files in it",) == error.problems[0].facts


def test_a_file_where_the_cache_is_to_be_is_told(diamond: Project):
    """Not a traceback."""
    (diamond.root / "cache").write_text("mine")

    assert f"`{diamond.root}/cache` is no directory" == refused(diamond).problems[0].what


@pytest.fixture
def exporting(project: Project) -> Project:
    """A project with an export of a known size."""
    pytest.importorskip("gguf")
    write_project(project, "")
    project.write(ROUNDED.format(MODELFILE))
    return project


def test_room_for_exports_that_are_not_there_is_asked_for_with_all_the_rest(exporting: Project, monkeypatch: pytest.MonkeyPatch):
    """One byte less than packs and export need together is too little; as many are enough."""
    monkeypatch.setattr(preflight, "free_space", lambda path: 0)
    needed = []
    monkeypatch.setattr(preflight, "human_bytes", lambda nbytes: needed.append(nbytes) or "")
    refused(exporting)
    monkeypatch.setattr(preflight, "free_space", lambda path: needed[0] - 1)
    refused(exporting)
    monkeypatch.setattr(preflight, "free_space", lambda path: needed[0])

    outcome = exporting.build(no_check=True)

    assert ["built", "built"] == [target.state for target in outcome.targets]
    export = (exporting.root / "out/rounded.gguf").stat().st_size
    assert needed[0] == export + sum(path.stat().st_size for path in (exporting.root / "cache" / "packs").glob("*.safetensors"))


def test_an_export_that_changes_is_refused_before_its_own_work(exporting: Project, monkeypatch: pytest.MonkeyPatch):
    """That it would change was not certain before; the old one stands, and nothing beside it."""
    exporting.build(no_check=True)
    before = (exporting.root / "out/rounded.gguf").read_bytes()
    exporting.edit("q8_0", "q5_1")
    monkeypatch.setattr(preflight, "free_space", lambda path: 1000)

    outcome = exporting.build(no_check=True)

    assert Exit.LOCAL_IO == outcome.exit_code
    assert ["there is too little space for this build"] == [problem.what for problem in outcome.problems]
    assert before == (exporting.root / "out/rounded.gguf").read_bytes()
    assert ["release", "rounded.gguf"] == sorted(path.name for path in (exporting.root / "out").iterdir())

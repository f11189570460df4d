"""Recipes that others published: brought here, and kept from reaching out of their directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelbuild import usecases as use_cases
from modelbuild.errors import Exit
from modelbuild.usecases import Options, Where
from tests.publishing.conftest import Push, files_of, refused
from tests.support.hub import Hub
from tests.support.projects import Project

LOCAL = """\
[source.base]
from = "hf://lab/base"
[source.mine]
from = "{}"
[merge.release]
method = "linear"
inputs = ["base", "mine"]
"""


@pytest.fixture
def published(family: Project, hub: Hub, push: Push) -> Project:
    """A project with a source that is on no hub, published with its recipe."""
    family.write(LOCAL.format(family.root.parent / "origin/math"))
    push(family)
    return family


def strange(hub: Hub, old: str = "", new: str = "") -> None:
    """Put a recipe with that source on the hub, changed in one place; its lock says nothing."""
    text = LOCAL.format("models/mine").replace(old, new, 1)
    hub.repository("lab/release").commit({"Modelfile.toml": text.encode(), "Modelfile.lock": b"version = 1\n"})


def receive(place: Path, **options: object) -> Where:
    """Bring lab/release to a directory."""
    return use_cases.checkout("hf://lab/release", place, **options)  # type: ignore[arg-type]


def test_a_source_that_nobody_else_has_is_named_with_its_digests(published: Project, tmp_path: Path):
    error = refused(lambda: receive(tmp_path / "there"))

    problem = error.problems[0]
    assert (Exit.SOURCE, "source `mine` was published nowhere, and is not here") == (error.exit_code, problem.what)
    assert "its `from` is `models/mine`, of the machine that it was published on" in problem.facts
    assert 3 == len(problem.facts)
    assert f"whoever has it names it: `--source mine=PATH`, or put it at {tmp_path}/there/release/models/mine" == problem.hint


@pytest.mark.slow
def test_whoever_has_that_source_builds_the_same_bytes(published: Project, tmp_path: Path):
    mirrors = (("mine", str(tmp_path / "origin/math")),)
    where = receive(tmp_path / "there", mirrors=mirrors)
    use_cases.build(where, (), Options(locked=True))

    assert published.hashes() == Project(where.file.parent).hashes()
    others = receive(tmp_path / "other", mirrors=(("mine", str(tmp_path / "origin/code")),))
    assert Exit.DIGEST == refused(lambda: use_cases.build(others, (), Options(locked=True))).exit_code


@pytest.mark.slow
def test_a_chat_template_goes_with_its_recipe(family: Project, hub: Hub, push: Push, tmp_path: Path):
    (family.root / "templates").mkdir()
    (family.root / "templates/short.jinja").write_text("{{ messages }}")
    family.edit("inputs =", 'tokenizer = { chat_template = "templates/short.jinja" }\ninputs =')
    push(family)
    where = receive(tmp_path / "there")
    use_cases.build(where, (), Options(locked=True))

    assert b"{{ messages }}" == files_of(hub)["templates/short.jinja"]
    assert family.hashes() == Project(where.file.parent).hashes()


@pytest.mark.slow
def test_the_same_recipe_may_come_again_and_another_does_not_replace_it(published: Project, hub: Hub, push: Push, tmp_path: Path):
    (tmp_path / "there/release/models").mkdir(parents=True)
    (tmp_path / "there/release/models/mine").symlink_to(tmp_path / "origin/math")
    assert receive(tmp_path / "there") == receive(tmp_path / "there")
    published.edit('"mine"]', '{ model = "mine", weight = 2.0 }]')
    push(published)
    before = (tmp_path / "there/release/Modelfile.toml").read_bytes()

    error = refused(lambda: receive(tmp_path / "there"))

    assert (Exit.UNSAFE, before) == (error.exit_code, (tmp_path / "there/release/Modelfile.toml").read_bytes())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[merge.release]\n", '[merge.release]\noutput.path = "/tmp/elsewhere"\n'),
        ("[merge.release]\n", '[merge.release]\noutput.path = "out/../../elsewhere"\n'),
        ("[merge.release]\n", '[merge.release]\ntokenizer.chat_template = "../notes.txt"\n'),
        ("[merge.release]\n", '[merge.release]\ntokenizer.chat_template = "cache/index/cache.db"\n'),
        ("[merge.release]\n", '[merge.release]\ntokenizer.chat_template = ".ssh/config"\n'),
        ("[source.base]\n", '[cache]\npath = "~/cache"\n[source.base]\n'),
        ("[source.base]\n", '[vars]\nx = "/tmp"\n[cache]\npath = "${x}/cache"\n[source.base]\n'),
    ],
)
def test_a_recipe_that_leads_elsewhere_is_not_even_written(hub: Hub, tmp_path: Path, old: str, new: str):
    strange(hub, old, new)

    error = refused(lambda: receive(tmp_path / "there"))

    assert Exit.UNSAFE == error.exit_code
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("location", ["../../origin/math", "/etc"])
def test_a_source_elsewhere_on_this_machine_is_not_read_for_a_stranger(hub: Hub, tmp_path: Path, location: str):
    """Although something is there."""
    (tmp_path / "origin/math").mkdir(parents=True)
    strange(hub, "models/mine", location)

    error = refused(lambda: receive(tmp_path / "there"))

    assert (Exit.SOURCE, "whoever has it names it: `--source mine=PATH`") == (error.exit_code, error.problems[0].hint)


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"README.md": b""}, Exit.SOURCE),
        ({"Modelfile.toml": b""}, Exit.SOURCE),
        ({"Modelfile.toml": b"\xff", "Modelfile.lock": b""}, Exit.SOURCE),
        ({"Modelfile.toml": b"x = [", "Modelfile.lock": b""}, Exit.USAGE),
        ({"Modelfile.toml": b"#" * 1_100_000, "Modelfile.lock": b""}, Exit.SOURCE),
    ],
)
def test_what_is_no_recipe_is_refused(hub: Hub, tmp_path: Path, files: dict[str, bytes], code: Exit):
    hub.repository("lab/release").commit(files)

    assert code == refused(lambda: receive(tmp_path)).exit_code
    assert not (tmp_path / "release").exists()

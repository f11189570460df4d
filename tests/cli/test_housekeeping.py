"""What `clean`, `cache clean` and `init` refuse, and what they leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelbuild import usecases as use_cases
from modelbuild.cache import Packs, Staging
from modelbuild.cache.upkeep import Collected, Verified
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.graph import bind
from modelbuild.modelfile.parse import parse
from modelbuild.usecases import Where
from modelbuild.usecases.housekeeping import CacheSize
from tests.support.projects import Project


def manifest(directory: Path, *names: str) -> None:
    """Make a directory that says modelbuild made it."""
    directory.mkdir(parents=True)
    for name in names:
        (directory / name).write_text(name)
    (directory / "modelbuild.json").write_text(json.dumps({"files": [*names, "modelbuild.json"]}))


def test_clean_refuses_foreign_files_before_it_removes_anything(diamond: Project):
    manifest(diamond.root / "out/skills", "a")
    manifest(diamond.root / "out/release", "a")
    (diamond.root / "out/release/notes.txt").write_text("mine")

    with pytest.raises(ModelbuildError) as refusal:
        use_cases.clean(diamond.where)

    assert Exit.UNSAFE == refusal.value.exit_code
    expected = f"""\
error: `{diamond.root}/out/release` holds files that modelbuild did not write
  `notes.txt`
hint: move them away: the directory is removed as a whole"""
    assert expected == str(refusal.value)
    assert (diamond.root / "out/skills/a").is_file()


def test_clean_never_removes_a_source(diamond: Project):
    """A source that modelbuild made is a source all the same."""
    manifest(diamond.root / "made", "model.safetensors")
    diamond.edit('from = "base"', 'from = "made"')
    diamond.write((diamond.root / "Modelfile.toml").read_text() + 'output = { path = "made" }\n')

    with pytest.raises(ModelbuildError, match="it is source `base`"):
        use_cases.clean(diamond.where, ["release"])

    assert (diamond.root / "made/model.safetensors").is_file()


def test_clean_follows_no_link(diamond: Project):
    manifest(diamond.root / "precious", "a")
    (diamond.root / "out").mkdir()
    (diamond.root / "out/release").symlink_to(diamond.root / "precious")

    with pytest.raises(ModelbuildError, match="is no directory"):
        use_cases.clean(diamond.where)

    assert (diamond.root / "precious/a").is_file()


def test_clean_takes_the_targets_named_alone(diamond: Project):
    manifest(diamond.root / "out/skills", "a")
    manifest(diamond.root / "out/release", "a", "bc")

    done = use_cases.clean(diamond.where, ["release", "talk"])

    assert [("release", 3)] == [(one.target, one.files) for one in done.removed]
    assert ("talk",) == done.absent
    assert ["skills"] == [path.name for path in (diamond.root / "out").iterdir()]


def test_clean_knows_its_targets(diamond: Project):
    with pytest.raises(ModelbuildError, match="did you mean `release`"):
        use_cases.clean(diamond.where, ["relase"])


def test_packs_are_known_again_after_an_output_that_shared_them_is_gone(built: Project, monkeypatch: pytest.MonkeyPatch):
    """Neither they nor the sources are read to link them once more."""
    monkeypatch.setattr(Packs, "recheck", lambda *arguments: pytest.fail("a pack is hashed again"))
    use_cases.clean(built.where)

    outcome = built.build()

    assert ("built", 0, 0) == (outcome.targets[0].state, outcome.actions.run, outcome.bytes.read)


def test_cache_clean_refuses_a_directory_that_is_no_cache(project: Project):
    """`[cache] path` may name any directory, and `packs` is a common word."""
    (project.root / "packs").mkdir()
    project.write('[cache]\npath = "."\n')

    with pytest.raises(ModelbuildError, match="is not a cache of modelbuild") as refusal:
        use_cases.cache_clean(project.where)

    assert Exit.UNSAFE == refusal.value.exit_code
    assert (project.root / "packs").is_dir()


def test_cache_clean_refuses_while_a_build_uses_it(diamond: Project):
    diamond.build()
    staging = Staging(diamond.root / "cache")

    with pytest.raises(ModelbuildError, match="a build is using"):
        use_cases.cache_clean(diamond.where)

    assert any((diamond.root / "cache/packs").iterdir())
    staging.close()
    assert 4 == use_cases.cache_clean(diamond.where).packs


def test_cache_use_cases_of_a_cache_that_is_not_there_make_none(project: Project):
    where = project.where

    assert () == use_cases.cache_ls(where).packs
    assert CacheSize(str(project.root / "cache"), 0, 0, 0, 0) == use_cases.cache_size(where)
    assert Collected((), (), 0, 0) == use_cases.cache_gc(where)
    assert Verified((), (), 0) == use_cases.cache_verify(where)
    assert 0 == use_cases.cache_clean(where).packs
    assert [] == list(project.root.iterdir())


def test_what_init_writes_parses_and_binds(tmp_path: Path):
    path = use_cases.init(tmp_path / "Modelfile.toml")

    graph = bind(parse(path, path.read_text()))

    assert [("skills", "ties"), ("release", "slerp")] == [(name, node.merge.method) for name, node in graph.nodes.items()]
    assert ("release",) == graph.default


def test_the_cache_is_where_a_broken_modelfile_still_says(project: Project):
    project.write('[cache]\npath = "elsewhere"\n[merge.x]\n')

    assert f"{project.root}/elsewhere" == use_cases.cache_size(Where(project.root / "Modelfile.toml")).directory

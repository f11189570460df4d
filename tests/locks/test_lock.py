"""The lock: what it says, when it moves, and what it holds a build to."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from modelbuild import lockfile
from modelbuild import usecases as use_cases
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.usecases import Options, stamp
from tests.support.checkpoints import random_tensors, write_model
from tests.support.hub import Hub
from tests.support.projects import DIAMOND, Project

_watched: list[list[str]] = []


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    """Note every connection, and every name looked up, while somebody watches."""
    if _watched and event in ("socket.connect", "socket.getaddrinfo"):
        _watched[-1].append(f"{event} {arguments[-1]}")


sys.addaudithook(_audit)


@contextmanager
def connections() -> Iterator[list[str]]:
    """Watch this process's sockets."""
    _watched.append([])
    try:
        yield _watched[-1]
    finally:
        _watched.pop()


def refusal(project: Project, **options: bool) -> ModelbuildError:
    """Return the error that a build ends in."""
    with pytest.raises(ModelbuildError) as raised:
        project.build(**options)
    return raised.value


def locked(project: Project) -> lockfile.Lock:
    """Return the lock."""
    lock = lockfile.read(project.where.lock)
    assert lock is not None
    return lock


@pytest.fixture
def diamond(project: Project) -> Project:
    """The diamond, local and locked."""
    project.family()
    project.write(DIAMOND)
    use_cases.lock(project.where)
    return project


def move(hub: Hub, tmp_path: Path, changed: str) -> str:
    """Change one tensor of lab/code on the hub; return the new commit."""
    base = random_tensors(0)
    tensors = random_tensors(1, near=base)
    tensors[changed] = tensors[changed] + np.float32(1)
    write_model(tmp_path / "moved", tensors)
    return hub.put("lab/code", tmp_path / "moved")


def test_a_build_without_a_lock_makes_none(project: Project):
    project.family()
    project.write(DIAMOND)
    project.build()

    assert not project.where.lock.exists()


def test_locking_twice_gives_the_same_bytes(diamond: Project):
    before = diamond.where.lock.read_bytes()

    assert "unchanged" == use_cases.lock(diamond.where).state
    shutil.rmtree(diamond.root / "cache", ignore_errors=True)
    use_cases.lock(diamond.where)
    assert before == diamond.where.lock.read_bytes()


def test_a_build_adds_the_digests_of_its_targets_once(diamond: Project):
    assert "" == locked(diamond).merges["release"].root
    diamond.build()
    after = diamond.where.lock.read_bytes()
    release = locked(diamond).merges["release"]
    assert {name: one.sha256 for name, one in release.files.items()} == diamond.hashes()
    assert 64 == len(release.root)

    diamond.build(force=True)
    assert after == diamond.where.lock.read_bytes()
    assert "unchanged" == use_cases.lock(diamond.where).state
    assert Exit.DONE == diamond.build(locked=True).exit_code


def test_a_lock_holds_no_path_and_no_time(diamond: Project):
    diamond.build()
    text = diamond.where.lock.read_text()

    assert str(diamond.root) not in text
    assert [line for line in text.splitlines() if line.startswith("from")] == [f'from = "{name}"' for name in ("base", "code", "math")]


def test_locked_without_a_lock_is_exit_3(project: Project):
    project.family()
    project.write(DIAMOND)

    assert Exit.LOCK == refusal(project, locked=True).exit_code
    assert Exit.LOCK == refusal(project, frozen=True).exit_code
    assert not (project.root / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("value = 0.6", "value = 0.7", "merge `blend`"),
        ('embed = "blend"', 'embed = "base"', "merge `release`"),
        ('code.from = "code"', 'code.from = "math"', "source `code` is math, and code is locked"),
        ("density = 0.6, weight = 0.5 }, {", "density = 0.5, weight = 0.5 }, {", "merge `talk`"),
    ],
)
def test_an_edited_modelfile_is_exit_3_and_says_what_is_stale(diamond: Project, old, new, says):
    diamond.write(DIAMOND.replace("[source.code]\nfrom", "[source]\ncode.from").replace("[source.math]", "[source.math]"))
    diamond.build()
    before = diamond.hashes()
    diamond.edit(old, new)
    error = refusal(diamond, locked=True)

    assert Exit.LOCK == error.exit_code
    assert any(fact.startswith(says) for fact in error.problems[0].facts), error
    assert 1 == len(error.problems[0].facts)
    assert before == diamond.hashes()


def test_renaming_outputs_paths_or_order_of_keys_keeps_a_lock_right(diamond: Project):
    diamond.build()
    diamond.edit('head = "blend"', 'output = { path = "elsewhere" }\nhead = "blend"')

    assert Exit.DONE == diamond.build(locked=True).exit_code


def test_a_local_source_that_changed_is_followed_and_refused_when_locked(diamond: Project):
    diamond.build()
    before = locked(diamond)
    tensors = random_tensors(9)
    diamond.model("code", tensors)
    error = refusal(diamond, locked=True)
    assert (Exit.LOCK, ("`model.safetensors` of source `code` is not the locked file",)) == (error.exit_code, error.problems[0].facts)

    diamond.build(frozen=True)
    assert before == locked(diamond)
    diamond.build()
    after = locked(diamond)
    assert before.sources["base"] == after.sources["base"]
    assert before.sources["code"].root != after.sources["code"].root
    assert before.merges["release"].root != after.merges["release"].root


def test_an_output_that_comes_out_other_than_locked_is_exit_4_and_the_old_one_stands(diamond: Project):
    diamond.build()
    before = diamond.hashes()
    text = diamond.where.lock.read_text()
    root = locked(diamond).merges["release"].root
    diamond.where.lock.write_text(text.replace(root, "0" * 64))
    outcome = diamond.build(locked=True, force=True)

    assert Exit.DIGEST == outcome.exit_code
    assert before == diamond.hashes()


def test_a_change_takes_the_digests_of_what_it_dirties_out_of_the_lock_and_of_nothing_else(diamond: Project):
    diamond.build("skills", "talk", "release")
    diamond.edit("density = 0.6, weight = 0.5 }, {", "density = 0.5, weight = 0.5 }, {")
    view = use_cases.lock(diamond.where)

    assert {"talk", "release"} == set(view.dirtied)
    lock = locked(diamond)
    assert [True, False, False] == [bool(lock.merges[name].root) for name in ("skills", "talk", "release")]


def test_a_lock_is_of_what_is_written(diamond: Project):
    before = diamond.where.lock.read_bytes()
    with pytest.raises(ModelbuildError, match="a lock is of the Modelfile as it stands") as raised:
        use_cases.lock(replace(diamond.where, overrides=("merge.blend.t=0.9",)))

    assert (Exit.USAGE, before) == (raised.value.exit_code, diamond.where.lock.read_bytes())


def test_check_says_whether_a_lock_is_right(diamond: Project):
    assert "unchanged" == use_cases.lock(diamond.where, check=True).state
    diamond.edit("value = 0.6", "value = 0.7")
    with pytest.raises(ModelbuildError) as raised:
        use_cases.lock(diamond.where, check=True)

    assert Exit.LOCK == raised.value.exit_code


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("version = 2\n", "is a lock of version 2, and this modelbuild knows version 1"),
        ("version = 1\nnew = 1\n", "is no sound lock"),
        ("version = \n", "is no sound lock"),
        ('version = 1\n[merge.release]\ngraph = "zz"\n', "is no sound lock"),
        ("version = true\n", "is no sound lock"),
        ("version = 1\nsource = 3\n", "is no sound lock"),
        ("version = 1\n[source]\nbase = 3\n", "is no sound lock"),
        ("version = 1\n[merge.release.files]\n'x' = 1\n", "is no sound lock"),
        ("<<<<<<< ours\n", "is no sound lock"),
    ],
)
def test_a_lock_that_cannot_be_read_is_exit_3(diamond: Project, text, says):
    diamond.where.lock.write_text(text)
    error = refusal(diamond)

    assert Exit.LOCK == error.exit_code
    assert says in error.problems[0].what


def test_a_pin_stays_when_the_branch_moves(family: Project, hub: Hub, tmp_path):
    use_cases.lock(family.where)
    family.build()
    before, pin = family.hashes(), locked(family).sources["code"].commit
    move(hub, tmp_path, "model.layers.1.mlp.up_proj.weight")
    family.build(force=True)

    assert pin == locked(family).sources["code"].commit
    assert before == family.hashes()


def test_an_upgrade_tells_what_moved_before_it_moves_it(family: Project, hub: Hub, tmp_path):
    use_cases.lock(family.where)
    family.build()
    old, text = locked(family).sources["code"].commit, family.where.lock.read_bytes()
    new = move(hub, tmp_path, "model.layers.1.mlp.up_proj.weight")

    told = use_cases.lock(family.where, (), dry_run=True)
    assert [("code", old, new, ("model.safetensors",), ("model.layers.1.mlp.up_proj.weight",))] == [
        (one.source, one.before, one.after, one.files, one.tensors) for one in told.moved
    ]
    assert (("release",), "would change") == (told.dirtied, told.state)
    assert text == family.where.lock.read_bytes()

    use_cases.lock(family.where, ("code",))
    assert (new, "") == (locked(family).sources["code"].commit, locked(family).merges["release"].root)
    assert 1 == family.build().actions.run
    use_cases.lock(family.where, (f"code={old}",))
    assert 0 == family.build().actions.run
    assert text == family.where.lock.read_bytes()


def test_locked_and_offline_after_a_fetch_elsewhere_gives_the_same_bytes_without_a_request(
    family: Project, hub: Hub, tmp_path, monkeypatch
):
    """A clone of the project at another path fetches; cache and outputs of the first are gone."""
    use_cases.lock(family.where)
    family.build()
    before = family.hashes()
    shutil.rmtree(tmp_path / "home")
    clone = Project(tmp_path / "clone")
    clone.root.mkdir()
    for file in (family.where.file, family.where.lock):
        shutil.copy(file, clone.root / file.name)
    use_cases.fetch(clone.where)
    shutil.rmtree(family.root / "cache")
    shutil.rmtree(family.root / "out")
    hub.requests.clear()
    with connections() as made:
        outcome = use_cases.build(replace(family.where, offline=True), (), Options(locked=True))

    assert (Exit.DONE, 30) == (outcome.exit_code, outcome.actions.run)
    assert before == family.hashes()
    assert ([], []) == (hub.requests, made)


def test_an_audit_sees_the_connections_of_a_build_that_asks(family: Project, hub: Hub):
    """So that none seen means that none was made."""
    with connections() as made:
        family.build()

    assert made


def test_a_mirror_of_the_locked_bytes_is_as_good_and_of_others_is_exit_4(family: Project, hub: Hub, tmp_path):
    use_cases.lock(family.where)
    family.build()
    before, text = family.hashes(), family.where.lock.read_bytes()
    hub.requests.clear()
    mirrors = tuple((name, str(tmp_path / "origin" / name)) for name in ("base", "code", "math"))
    clone = Project(tmp_path / "clone")
    clone.root.mkdir()
    for file in (family.where.file, family.where.lock):
        shutil.copy(file, clone.root / file.name)
    use_cases.build(replace(clone.where, mirrors=mirrors), (), Options(locked=True))
    assert (before, text, []) == (clone.hashes(), clone.where.lock.read_bytes(), hub.requests)

    write_model(tmp_path / "origin/code", random_tensors(7))
    with pytest.raises(ModelbuildError) as raised:
        use_cases.build(replace(clone.where, mirrors=mirrors))
    assert Exit.DIGEST == raised.value.exit_code


def test_a_mirror_without_a_pin_is_not_locked(family: Project, hub: Hub, tmp_path):
    """It does not tell the commit, and a lock with half a source would pin nothing."""
    mirrors = tuple((name, str(tmp_path / "origin" / name)) for name in ("base", "code", "math"))
    family.where.lock.write_text("version = 1\n")
    use_cases.build(replace(family.where, mirrors=mirrors))

    assert {} == locked(family).sources
    assert [] == hub.requests


def test_a_build_adds_to_the_lock_what_a_locked_build_has_left_out(diamond: Project, monkeypatch):
    monkeypatch.setattr(stamp, "_RACY_NS", 0)
    diamond.build(locked=True)
    assert "" == locked(diamond).merges["release"].root
    diamond.build()

    assert "" != locked(diamond).merges["release"].root


def test_set_and_locked_do_not_go_together_whatever_was_built(diamond: Project, monkeypatch):
    monkeypatch.setattr(stamp, "_RACY_NS", 0)
    diamond.build(overrides=("merge.blend.t=0.9",))

    with pytest.raises(ModelbuildError) as raised:
        diamond.build(overrides=("merge.blend.t=0.9",), locked=True)
    assert Exit.LOCK == raised.value.exit_code


def test_a_lock_names_what_a_commit_is_made_of(family: Project, hub: Hub):
    use_cases.lock(family.where)
    lock = locked(family)

    assert hub.repositories["lab/base"].refs["main"] == lock.sources["base"].commit
    assert {"config.json", "generation_config.json", "model.safetensors"} == set(lock.sources["base"].files)
    assert [] == [one for one in hub.asked("/blobs/") if "Range" not in one.headers and "range" not in one.headers]

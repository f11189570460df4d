"""Past builds: what the log says of them, and their outputs made again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from modelbuild import usecases as use_cases
from modelbuild.cache import Cache, stattable
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.usecases import Where, stamp
from tests.support.checkpoints import read_model
from tests.support.hub import Hub
from tests.support.projects import DIAMOND, Project

NORM = "model.norm.weight"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str, dict[str, str]]:
    """The diamond built, changed and built: with the id of the first build, and the hashes of what it left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stattable, "RACY_NS", 0)
        project = Project(tmp_path_factory.mktemp("twice") / "project")
        project.root.mkdir()
        project.family()
        project.write(DIAMOND)
        project.build()
        before = project.hashes()
        project.edit("value = 0.6", "value = 0.4")
        project.build(overrides=["seed=3"])
        assert before != project.hashes()
        return project, use_cases.log(project.where)[-1].id, before


@pytest.fixture
def twice(
    template: tuple[Project, str, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Project, str, dict[str, str]]:
    """The same elsewhere: a project that moves with its cache keeps its log."""
    monkeypatch.setattr(stattable, "RACY_NS", 0)
    monkeypatch.setattr(stamp, "_RACY_NS", 0)
    project, first, before = template
    shutil.copytree(project.root, tmp_path / "project", copy_function=shutil.copy2)
    return Project(tmp_path / "project"), first, before


def without_packs(project: Project) -> None:
    """Take what is in the cache's packs away, and nothing else."""
    cache = Cache.open(project.root / "cache")
    for pack in cache.packs.ids():
        cache.packs.discard(pack)
    cache.close()


def change(project: Project, source: str) -> None:
    """Change one tensor of a source."""
    tensors = read_model(project.root / source)
    project.model(source, {**tensors, NORM: tensors[NORM] + np.float32(1)})


def test_the_log_says_what_was_asked_what_ran_and_what_came_out(twice: tuple[Project, str, dict[str, str]]):
    project, first, _ = twice

    later, earlier = use_cases.log(project.where)
    whole = use_cases.logged(project.where, first[:4])

    assert ((), (36, 36, 0)) == (earlier.overrides, (earlier.total, earlier.run, earlier.reused))
    assert ("seed=3",) == later.overrides
    assert later.run < later.total == 36
    assert later.started >= earlier.started > 1.7e9
    assert [("release", "built")] == [(output.name, output.state) for output in later.outputs]
    assert later.outputs[0].identity != earlier.outputs[0].identity
    assert {"base", "code", "math"} == set(earlier.sources) == set(earlier.outputs[0].read)
    assert {"ties": 1, "dare_linear": 1, "slerp": 1}.keys() == earlier.methods.keys()
    assert "value = 0.6" in next(iter(whole.texts.values()))
    assert "" == whole.lock


def test_a_build_that_finds_everything_as_it_should_be_is_no_entry_and_writes_nothing(twice: tuple[Project, str, dict[str, str]]):
    """Neither one that goes by its stamp, nor one that has to look."""
    project, *_ = twice
    project.build(overrides=["seed=3"])  # in another place the output is another, which is an entry
    before = [build.id for build in use_cases.log(project.where)]

    for path in (project.root / "cache/stamps").iterdir():
        path.unlink()
    looked = project.build(overrides=["seed=3"])
    index = {path.name: path.stat().st_mtime_ns for path in (project.root / "cache/index").iterdir()}
    stamped = project.build(overrides=["seed=3"])

    assert ["fresh"] * 2 == [outcome.targets[0].state for outcome in (looked, stamped)]
    assert index == {path.name: path.stat().st_mtime_ns for path in (project.root / "cache/index").iterdir()}
    assert before == [build.id for build in use_cases.log(project.where)]


def test_a_build_that_failed_is_an_entry(diamond: Project):
    tensors = read_model(diamond.root / "math")
    diamond.model("math", {**tensors, NORM: tensors[NORM] * np.float32(np.nan)})

    outcome = diamond.build(keep_going=True)

    (build,) = use_cases.log(diamond.where)
    assert Exit.ACTION_FAILED == outcome.exit_code
    assert ("failed", "") == (build.outputs[0].state, build.outputs[0].identity)
    assert build.problems
    with pytest.raises(ModelbuildError, match="left no output"):
        use_cases.restore(diamond.where, build.id)


def test_a_log_that_is_lost_is_missing_alone(twice: tuple[Project, str, dict[str, str]]):
    project, first, _ = twice
    shutil.rmtree(project.root / "cache/index")

    assert () == use_cases.log(project.where)
    assert 0 == project.build(overrides=["seed=3"]).actions.run
    with pytest.raises(ModelbuildError, match=f"no build in the log is called `{first}`"):
        use_cases.logged(project.where, first)


def test_an_old_output_is_linked_from_the_cache_though_its_sources_are_gone(twice: tuple[Project, str, dict[str, str]]):
    """To where the Modelfile has it, over what a later build made there; the next build puts that back."""
    project, first, before = twice
    later = project.hashes()
    for name in ("base", "code", "math"):
        (project.root / name).rename(project.root / f"{name}-away")

    (done,) = use_cases.restore(project.where, first)
    (again,) = use_cases.restore(project.where, first, "release")

    assert ("linked", "fresh") == (done.how, again.how)
    assert before == project.hashes()
    assert use_cases.log(project.where)[-1].outputs[0].identity == done.identity
    for name in ("base", "code", "math"):
        (project.root / f"{name}-away").rename(project.root / name)
    assert 0 == project.build(overrides=["seed=3"]).actions.run
    assert later == project.hashes()


def test_one_whose_packs_are_gone_is_built_from_the_modelfile_of_then(twice: tuple[Project, str, dict[str, str]]):
    """Elsewhere, and what stands at the output's path stays."""
    project, first, before = twice
    later = project.hashes()
    without_packs(project)
    project.write("[merge.release]\nmethod = 3\n")

    (done,) = use_cases.restore(project.where, first, output=project.root / "old")

    assert ("built", 36, 36) == (done.how, done.run, done.total)
    assert before == {path.name: digest for path, digest in _hashes(project, "old").items()}
    assert later == project.hashes()


def _hashes(project: Project, directory: str) -> dict[Path, str]:
    import hashlib

    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((project.root / directory).iterdir())}


def test_one_that_comes_out_otherwise_is_refused_and_what_stands_there_stays(twice: tuple[Project, str, dict[str, str]]):
    project, first, _ = twice
    later = project.hashes()
    without_packs(project)
    change(project, "math")

    with pytest.raises(ModelbuildError) as raised:
        use_cases.restore(project.where, first)

    assert Exit.DIGEST == raised.value.exit_code
    assert "`release` came out other than it was" in str(raised.value)
    assert "source math (tensors): it was " in str(raised.value)
    assert later == project.hashes()


def test_a_pack_that_was_tampered_with_is_not_linked(twice: tuple[Project, str, dict[str, str]]):
    """It is found to be another, removed, and the output is built."""
    project, first, before = twice
    identity = use_cases.log(project.where)[-1].outputs[0]
    pack = project.root / "cache/packs" / f"{identity.weights['model.safetensors']}.safetensors"
    pack.chmod(0o644)
    pack.write_bytes(pack.read_bytes()[:-1] + b"\xee")

    (done,) = use_cases.restore(project.where, first)

    assert "built" == done.how
    assert before == project.hashes()


def test_nothing_that_modelbuild_did_not_make_is_written_over(twice: tuple[Project, str, dict[str, str]]):
    """A directory of somebody's own, a source, the cache and what is in it, and what holds all of these."""
    project, first, _ = twice
    (project.root / "mine").mkdir()
    (project.root / "mine/notes.txt").write_text("mine")

    for where in ("mine", "base", "cache", "cache/inside", "."):
        with pytest.raises(ModelbuildError) as raised:
            use_cases.restore(project.where, first, output=project.root / where)

        assert Exit.UNSAFE == raised.value.exit_code
    assert "mine" == (project.root / "mine/notes.txt").read_text()
    assert (project.root / "base/model.safetensors").is_file()


def test_a_target_that_the_modelfile_no_longer_has_needs_a_place(twice: tuple[Project, str, dict[str, str]]):
    project, first, before = twice
    text = (project.root / "Modelfile.toml").read_text()
    project.write(text.replace("[merge.release]", "[merge.other]"))

    with pytest.raises(ModelbuildError, match="has no merge `release`") as raised:
        use_cases.restore(project.where, first)
    (done,) = use_cases.restore(project.where, first, output=project.root / "old")

    assert (Exit.USAGE, "linked") == (raised.value.exit_code, done.how)
    assert before == {path.name: digest for path, digest in _hashes(project, "old").items()}


def test_a_merge_that_is_not_kept_is_built_again(diamond: Project):
    diamond.edit('head = "blend"', 'head = "blend"\nkeep = false')
    diamond.build()
    before = diamond.hashes()
    first = use_cases.log(diamond.where)[0].id
    diamond.build(overrides=["merge.blend.t=0.5"])

    (done,) = use_cases.restore(diamond.where, first)

    assert ("built", 0) == (done.how, done.run)
    assert before == diamond.hashes()


def test_a_configuration_of_mergekit_is_in_the_log_and_restored(project: Project):
    project.family()
    config = "merge_method: slerp\nbase_model: base\nmodels: [{model: base}, {model: code}]\nparameters: {t: %s}\ndtype: bfloat16\n"
    file = project.root / "mix.yml"
    where = Where(file, directory=project.root)
    file.write_text(config % 0.3)
    use_cases.build(where)
    before = project.hashes("mix")
    file.write_text(config % 0.6)
    use_cases.build(where)
    without_packs(project)
    first = use_cases.log(where)[-1].id

    (done,) = use_cases.restore(where, first)

    assert "built" == done.how
    assert before == project.hashes("mix")
    assert "t: 0.3" in use_cases.logged(where, first).texts[str(file)]
    assert not list((project.root / "cache").glob(".verify-*"))


def test_a_source_on_a_hub_is_read_at_the_commit_that_was_locked_then(family: Project, hub: Hub, tmp_path: Path):
    """The pin has moved since, and the packs are gone: the lock of then, in the log, says which commit it was."""
    use_cases.lock(family.where)
    family.build()
    before = family.hashes()
    change(Project(tmp_path / "origin"), "math")
    hub.put("lab/math", tmp_path / "origin" / "math")
    use_cases.lock(family.where, ())
    family.build()
    assert before != family.hashes()
    last, first = use_cases.log(family.where)
    without_packs(family)

    (done,) = use_cases.restore(family.where, first.id)

    assert ("built", before) == (done.how, family.hashes())
    assert first.sources["math"].commit in use_cases.logged(family.where, first.id).lock
    assert first.sources["math"].commit != last.sources["math"].commit

"""Files of a source that are none, or lead elsewhere: links, FIFOs, devices, and files that seem to be terabytes."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from modelbuild import usecases as use_cases
from modelbuild.errors import Exit
from modelbuild.usecases import Options, Where
from tests.fuzz.judge import Verdict, judge
from tests.support.projects import Project

MODELFILE = """\
[source]
base.from = "base"
code.from = "code"
[merge.out]
method = "linear"
inputs = ["base", "code"]
tokenizer = { source = "base" }
"""
QUICK = Options(jobs=1, device="cpu")
READ = (
    "model.safetensors",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "model.safetensors.index.json",
)
WORDS = '{"model": {"vocab": {' + ", ".join(f'"t{i}": {i}' for i in range(40)) + "}}}"
TERABYTE = 1 << 40


@pytest.fixture
def models(tmp_path: Path) -> Project:
    """A project within a directory that holds more."""
    project = Project(tmp_path / "project")
    project.root.mkdir()
    project.family(1, ("code",))
    for name in ("base", "code"):
        (project.root / name / "tokenizer.json").write_text(WORDS)
    project.write(MODELFILE)
    return project


def verdicts(project: Project) -> list[Verdict]:
    """Look, foresee, lock and build."""
    where = project.where
    calls = (
        lambda: use_cases.show(where, "out"),
        lambda: use_cases.forecast(where, options=QUICK),
        lambda: use_cases.lock(where, dry_run=True),
        lambda: use_cases.build(where, options=QUICK),
    )
    return [judge(call, project.root, bounded=False) for call in calls]


def put(project: Project, name: str) -> Path:
    """Make room for something else in place of a file of the base."""
    path = project.root / "base" / name
    path.unlink(missing_ok=True)
    if name.endswith("index.json"):
        (project.root / "base" / "model.safetensors").unlink()
    return path


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("where", ["../../secret", "{}/secret", "../code/{name}"], ids=["relative", "absolute", "to another source"])
def test_a_link_out_of_a_source_is_refused_and_not_followed(models: Project, name: str, where: str):
    """What it leads to would be published under the model's name; exit 8, with nothing read there."""
    (models.root.parent / "secret").write_text("not yours")
    put(models, name).symlink_to(where.format(models.root.parent, name=name))

    found = verdicts(models)

    assert [(Exit.UNSAFE, ())] * 4 == [(verdict.code, verdict.faults) for verdict in found]
    assert all(f"`{name}` is a link to " in verdict.words for verdict in found)


def test_a_link_within_a_source_and_a_source_that_is_a_link_are_followed(models: Project):
    shutil.move(models.root / "base", models.root / "kept")
    (models.root / "base").symlink_to("kept")
    (models.root / "kept" / "weights").mkdir()
    shutil.move(models.root / "kept" / "model.safetensors", models.root / "kept" / "weights" / "x")
    (models.root / "kept" / "model.safetensors").symlink_to("weights/x")

    assert [(Exit.DONE, ())] * 4 == [(verdict.code, verdict.faults) for verdict in verdicts(models)]


def test_the_links_of_a_snapshot_in_the_hubs_cache_are_followed_to_its_blobs_alone(models: Project):
    """As huggingface_hub lays them out."""
    repository = models.root / "models--lab--base"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for path in (models.root / "base").iterdir():
        shutil.move(path, repository / "blobs" / path.name)
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}")
    models.edit('"base"\ncode', f'"models--lab--base/snapshots/{snapshot.name}"\ncode')

    assert [(Exit.DONE, ())] * 4 == [(verdict.code, verdict.faults) for verdict in verdicts(models)]

    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to("../../../code/config.json")
    assert [Exit.UNSAFE] * 4 == [verdict.code for verdict in verdicts(models)]


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("kind", ["fifo", "device", "socket", "directory", "itself"])
def test_what_is_no_file_is_not_waited_for(models: Project, name: str, kind: str):
    """A FIFO would block, a device never end: the source is as if nothing were there, or refused."""
    path = put(models, name)
    make(path, kind)

    found = verdicts(models)

    assert [()] * 4 == [verdict.faults for verdict in found]
    needed = name in ("model.safetensors", "model.safetensors.index.json")
    assert {verdict.code for verdict in found} <= ({Exit.SOURCE, Exit.UNSAFE} if needed else {Exit.DONE, Exit.USAGE, Exit.UNSAFE})


def make(path: Path, kind: str) -> None:
    """Make something that is no file."""
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        os.mknod(path, stat.S_IFSOCK | 0o600)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(path.name)


@pytest.mark.parametrize("kind", ["fifo", "device", "directory", "itself"])
@pytest.mark.parametrize("name", ["Modelfile.toml", "Modelfile.lock", "base", "out/out", "cache", "recipe.yml"])
def test_what_is_no_file_in_a_project_is_not_waited_for(models: Project, name: str, kind: str):
    """The Modelfile, the lock, a source, the output, the cache, a recipe."""
    if (name, kind) == ("cache", "device"):
        pytest.skip("a directory is to be made there, which fails")
    path = models.root / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    make(path, kind)
    calls = [lambda: use_cases.import_mergekit([models.root / "recipe.yml"])] if name == "recipe.yml" else []

    found = [*verdicts(models), *(judge(call, models.root) for call in calls)]

    assert [()] * len(found) == [verdict.faults for verdict in found]


@pytest.mark.parametrize("name", [*READ, "generation_config.json", "tokenizer.model", "added_tokens.json"])
def test_a_file_that_seems_to_be_a_terabyte_is_refused_at_once(models: Project, name: str):
    """A sparse file costs nobody anything to make."""
    with put(models, name).open("wb") as file:
        file.truncate(TERABYTE)

    found = verdicts(models)

    assert [(Exit.SOURCE, ())] * 4 == [(verdict.code, verdict.faults) for verdict in found]


@pytest.mark.parametrize("name", ["Modelfile.toml", "Modelfile.lock", "recipe.yml", "template.jinja"])
def test_a_text_that_seems_to_be_a_terabyte_is_refused_at_once(models: Project, name: str):
    if name == "template.jinja":
        models.edit('{ source = "base" }', '{ source = "base", chat_template = "template.jinja" }')
    with (models.root / name).open("wb") as file:
        file.truncate(TERABYTE)
    where = Where(models.root / "Modelfile.toml")
    call = (
        (lambda: use_cases.import_mergekit([models.root / name])) if name == "recipe.yml" else lambda: use_cases.build(where, options=QUICK)
    )

    verdict = judge(call, models.root, bounded=False)

    assert () == verdict.faults
    assert verdict.code in (Exit.USAGE, Exit.LOCK, Exit.SOURCE)


def test_a_header_that_seems_to_be_a_terabyte_of_one_tensor_is_read_as_a_header(models: Project):
    """Nothing of its data is."""
    header = b'{"model.norm.weight":{"dtype":"BF16","shape":[%d],"data_offsets":[0,%d]}}' % (TERABYTE // 2, TERABYTE)
    with put(models, "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + TERABYTE)

    found = verdicts(models)

    assert [()] * 4 == [verdict.faults for verdict in found]
    assert {Exit.USAGE} == {verdict.code for verdict in found}

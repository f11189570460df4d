"""Two people, two machines: the same lock and the same bytes, and locks that merge."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelbuild import usecases as use_cases
from modelbuild.method import REQUIRED as REQUIRED_MARK
from modelbuild.methods import installed, load
from tests.support.checkpoints import random_tensors
from tests.support.projects import DIAMOND, Project

REQUIRED = {"t": 0.3, "decay": 0.5, "alpha": 0.4}
"""Values of parameters without a default."""


def every_exact_method() -> str:
    """Return a Modelfile with a merge by every method whose bytes are bound to no device and no version of torch."""
    merges = []
    for name in installed():
        method = load(name)
        if method.numerics == "exact":
            models = ["code", "math"] if method.base in ("required", "optional") else ["base", "code", "math"]
            lines = [f"[merge.{name}]", f'method = "{name}"', f"inputs = {json.dumps(models[: method.inputs[1]])}"]
            lines += ['base = "base"'] if method.base == "required" else []
            lines += [f"{param.name} = {REQUIRED[param.name]}" for param in method.params if param.default is REQUIRED_MARK]
            lines += ["density = 0.4"] if any(param.name == "density" for param in method.params) else []
            merges.append("\n".join(lines))
    return DIAMOND + "\n" + "\n".join(merges)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own."""
    command = [sys.executable, "-m", "modelbuild", *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    return done


def one_by_one(project: Project) -> Iterator[str]:
    """Return the names of all merges."""
    return (line[7:-1] for line in project.where.file.read_text().splitlines() if line.startswith("[merge."))


def project_at(root: Path, text: str = DIAMOND) -> Project:
    """Make a project of its own."""
    root.mkdir(parents=True)
    project = Project(root)
    project.family()
    project.write(text)
    return project


@pytest.mark.slow
def test_two_clones_under_other_circumstances_have_the_same_lock_and_the_same_bytes(tmp_path):
    """Another path, umask, time zone, hash seed and number of threads."""
    text = every_exact_method()
    one, other = project_at(tmp_path / "one", text), project_at(tmp_path / "other place/deep/er", text)
    targets = list(one_by_one(one))
    before = os.umask(0o077)
    try:
        run("lock", "-C", str(one.root), TZ="Asia/Tokyo", PYTHONHASHSEED="1")
        run("build", "-C", str(one.root), *targets, "-j", "1", TZ="Asia/Tokyo", PYTHONHASHSEED="1")
    finally:
        os.umask(before)
    run("lock", "-C", str(other.root), TZ="America/Lima", PYTHONHASHSEED="2")
    run("build", "-C", str(other.root), *reversed(targets), "-j", "4", "--memory", "64MB", TZ="America/Lima", PYTHONHASHSEED="2")

    assert one.where.lock.read_bytes() == other.where.lock.read_bytes()
    assert 25 <= len(targets)
    for target in targets:
        assert one.hashes(target) == other.hashes(target)


@pytest.mark.slow
def test_another_version_of_torch_gives_the_same_lock_and_the_same_bytes(tmp_path):
    """MODELBUILD_OTHER_PYTHON names the Python of an environment with an older torch."""
    python = os.environ.get("MODELBUILD_OTHER_PYTHON")
    if not python:
        pytest.skip("MODELBUILD_OTHER_PYTHON names no environment")
    text, made = every_exact_method(), []
    for name, interpreter in (("here", sys.executable), ("there", python)):
        project = project_at(tmp_path / name, text)
        targets = list(one_by_one(project))
        for arguments in (("lock",), ("build", *targets)):
            done = subprocess.run(
                [interpreter, "-m", "modelbuild", "-C", project.root, *arguments], check=False, capture_output=True, text=True
            )
            assert 0 == done.returncode, done.stderr
        versions = json.loads((project.root / "out/release.environment.json").read_text())["packages"]
        made.append((project.where.lock.read_bytes(), {target: project.hashes(target) for target in targets}, versions["torch"]))

    assert made[0][:2] == made[1][:2]
    assert made[0][2] != made[1][2]


def test_locks_of_two_people_who_changed_different_sources_merge(tmp_path):
    """By git, without a conflict, into the lock that a third would write."""
    project = project_at(tmp_path / "project")

    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(project.root), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    use_cases.lock(project.where)
    project.build("skills", "talk", "release")
    (project.root / ".gitignore").write_text("cache\nout\nbase\ncode\nmath\n")
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "locked")
    before = {name: (project.root / name / "model.safetensors").read_bytes() for name in ("code", "math")}
    for name, seed in (("code", 11), ("math", 12)):
        git("checkout", "-qb", name, "main")
        project.model(name, random_tensors(seed))
        use_cases.lock(project.where)
        git("commit", "-qam", name)
        (project.root / name / "model.safetensors").write_bytes(before[name])
    git("checkout", "-q", "code")
    git("merge", "-q", "math")
    merged = project.where.lock.read_bytes()
    for name, seed in (("code", 11), ("math", 12)):
        project.model(name, random_tensors(seed))

    assert "unchanged" == use_cases.lock(project.where, check=True).state
    shutil.rmtree(project.root / "cache")
    use_cases.lock(project.where)
    assert merged == project.where.lock.read_bytes()


def test_what_built_an_output_stands_beside_it_and_goes_with_it(project: Project):
    project.family()
    project.write(DIAMOND)
    project.build()
    beside = project.root / "out/release.environment.json"
    assert not beside.exists()
    use_cases.lock(project.where)
    project.edit("value = 0.6", "value = 0.7")
    project.build()

    table = json.loads(beside.read_text())
    assert {"modelbuild", "python", "packages", "system", "machine", "device"} == table.keys()
    assert "cpu" == table["device"]
    use_cases.clean(project.where)
    assert not beside.exists()

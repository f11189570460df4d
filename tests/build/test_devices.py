"""Whole builds, and what computes them: the CPU, a GPU, or both; with the same bytes, whoever works beside whom."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib import metadata

import pytest

from modelbuild import usecases as use_cases
from modelbuild.engine import budget, choosing, engine
from modelbuild.engine.compute import Computed
from modelbuild.engine.workspace import Job, Workspace
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.usecases import stamp
from modelbuild.usecases.project import Project as Opened
from tests.support.projects import DIAMOND, Project

on_a_gpu = pytest.mark.gpu

MIXED = """\
[source]
base.from = "base"
code.from = "code"
math.from = "math"
[merge.dropped]
method = "della"
base = "base"
inputs = [{ model = "code", density = 0.5 }, { model = "math", density = 0.4 }]
dtype = "float16"
[merge.crumbs]
method = "breadcrumbs_ties"
base = "base"
inputs = [{ model = "code", density = 0.5 }, { model = "math", density = 0.7 }]
keep = false
[merge.release]
method = "model_stock"
base = "base"
inputs = ["dropped", "crumbs"]
dtype = "float32"
"""
"""Random masks, ranks and selections, in three types; one intermediate goes on in memory."""


WHOLE = f"""{DIAMOND}
[merge.even]
method = "iso_c"
base = "base"
inputs = ["code", "math"]
"""
"""Beside the graph, a merge by singular values."""


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A machine that seems to have a GPU, which torch's CPU stands in for: nodes by the device that computed them."""
    merged: dict[str, list[str]] = {}

    def compute(job: Job, workspace: Workspace) -> Computed:
        merged.setdefault(workspace.device.name, []).append(job.action.node)
        return computed(job, workspace)

    computed = engine.compute
    monkeypatch.setattr(engine, "compute", compute)
    monkeypatch.setattr(choosing, "has_nvidia", lambda: True)
    monkeypatch.setattr(choosing, "choose", lambda name: {"auto": "cpu:1", "cuda": "cpu:1"}.get(name, name))
    monkeypatch.setattr(budget, "room", lambda name: 0)
    return merged


def test_auto_takes_a_gpu_for_what_is_not_exact_and_the_cpu_for_all_else(project: Project, opened: dict[str, list[str]]):
    project.family()
    project.write(WHOLE)
    project.build()

    exact = {"skills", "talk", "blend", "even"}
    assert {"cpu": exact, "cpu:1": {"even (task vector)"}} == {device: set(nodes) for device, nodes in opened.items()}
    assert "cpu, cpu:1" == use_cases.log(project.where)[0].device


def test_without_anything_to_decompose_auto_looks_for_no_gpu(project: Project, opened: dict[str, list[str]], monkeypatch):
    def never(name: str) -> str:
        raise AssertionError

    monkeypatch.setattr(choosing, "choose", never)
    project.family()
    project.write(DIAMOND)
    project.build()

    assert {"cpu"} == opened.keys()


def test_a_device_that_is_named_computes_everything(project: Project, opened: dict[str, list[str]]):
    project.family()
    project.write(WHOLE)
    project.build(device="cuda")

    assert {"cpu:1"} == opened.keys()


def test_another_device_than_what_is_not_exact_was_built_on_builds_it_again(project: Project, opened: dict[str, list[str]], monkeypatch):
    """That something stands there is no answer, whether or not a stamp says so."""
    monkeypatch.setattr(stamp, "_RACY_NS", 0)
    project.family()
    project.write(WHOLE)
    ran = [project.build(device=device).actions.run for device in ("cuda", "cuda", "auto", "cpu", "cpu", "auto", "cpu")]

    matrices = opened["cpu"].count("even (task vector)")
    assert [0, 0, matrices, 0, 0, 0] == ran[1:]
    assert {"even (task vector)"} == set(opened["cpu"])


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:", "cuda:\u0663", f"cuda:{'1' * 5000}"])
@pytest.mark.parametrize("built", [False, True], ids=["before a build", "where all is fresh"])
def test_what_is_no_device_is_refused(project: Project, name: str, built: bool, monkeypatch):
    """Though nothing is to be computed."""
    monkeypatch.setattr(stamp, "_RACY_NS", 0)
    project.family()
    project.write(DIAMOND)
    if built:
        project.build()

    with pytest.raises(ModelbuildError, match="is no device") as caught:
        project.build(device=name)
    assert Exit.USAGE == caught.value.exit_code


@pytest.mark.parametrize("has_nvidia", [False, True])
def test_what_stands_there_serves_those_who_ask_for_its_device(monkeypatch: pytest.MonkeyPatch, has_nvidia: bool):
    monkeypatch.setattr(choosing, "has_nvidia", lambda: has_nvidia)
    asked = ("auto", "cpu", "cuda", "cuda:0", "cuda:1")

    def served(told: str) -> set[str]:
        return {device for device in asked if stamp._serves(told, device)}

    torch = f"torch {metadata.version('torch')}"
    auto = {"auto"}
    assert set(asked) == served("")
    assert {"cpu"} | (set() if has_nvidia else auto) == served(f"cpu {torch}")
    assert {"cuda", "cuda:0"} | (auto if has_nvidia else set()) == served(f"cuda:0 {torch}")
    assert set() == served("cpu torch 2.0.0")


@on_a_gpu
@pytest.mark.parametrize("text", [DIAMOND, MIXED], ids=["diamond", "mixed"])
@pytest.mark.parametrize("jobs", [1, 8])
def test_a_build_has_the_bytes_of_the_cpu(cuda, project: Project, text: str, jobs: int):
    """And its records serve the other: what one device built, no other builds again."""
    project.family(layers=6)
    project.write(text)
    project.build(device="cuda", jobs=jobs)
    built = project.hashes()

    assert 0 == project.build(device="cpu").actions.run
    assert project.build(device="cpu", force=True).actions.run
    assert built == project.hashes()


@on_a_gpu
def test_a_method_that_is_not_exact_repeats_itself_on_the_device(cuda, project: Project):
    """Its records are those of the device: the CPU builds its own."""
    project.family()
    project.write(MIXED.replace('"model_stock"', '"iso_c"'))
    first = project.build(device="cuda", jobs=4)
    built = project.hashes()
    project.build(device="cuda", jobs=2, force=True)

    assert built == project.hashes()
    assert first.actions.run > project.build(device="cpu").actions.run > 0


@on_a_gpu
def test_a_refusal_leaves_the_device_usable(cuda, project: Project):
    """What is beyond float16 is found on the device as on the CPU, and the next build is whole."""
    project.family()
    project.write(MIXED)
    project.edit('"float16"', '"float16"\nlambda = 1e30')
    assert Exit.ACTION_FAILED == project.build(device="cuda", jobs=4).exit_code

    project.edit("lambda = 1e30", "")
    project.build(device="cuda", jobs=4)
    built = project.hashes()
    project.build(device="cpu", force=True)
    assert built == project.hashes()


@on_a_gpu
def test_two_builds_at_once_share_a_device(cuda, project: Project, tmp_path):
    """In one process, as notebooks do."""
    others = [Project(tmp_path / str(i)) for i in range(2)]
    for other in others:
        other.root.mkdir()
        other.family()
        other.write(DIAMOND)
    with ThreadPoolExecutor(2) as pool:
        built = list(pool.map(lambda other: other.build(device="cuda", jobs=3).exit_code, others))
    project.family()
    project.write(DIAMOND)
    project.build(device="cpu")

    assert [Exit.DONE] * 2 == built
    assert [project.hashes()] * 2 == [other.hashes() for other in others]


def test_buffers_on_both_devices_fit_into_memory_together(project: Project, opened: dict[str, list[str]]):
    """Each worker keeps both; half of what is allowed is for them."""
    project.family()
    project.write(WHOLE)
    plan = Opened.open(project.where).plan(("release", "even"))
    devices = choosing.assign("auto", plan.actions)

    both, alone = (budget.share_out(plan.actions, 64 << 20, 2, one) for one in (devices, choosing.Devices("cpu", "cpu")))
    held = sum(
        max(budget.bytes_per_element(action) * (2 if name == "cpu:1" else 1) for action in plan.actions if devices.of(action) == name)
        for name in devices
    )
    assert 2 * both.jobs * both.chunk * held <= 64 << 20
    assert both.chunk < alone.chunk


def test_whole_tensors_take_half_of_what_is_free_on_a_gpu(project: Project, opened: dict[str, list[str]], monkeypatch):
    """As many workers as fit in there."""
    project.family()
    project.write(WHOLE)
    plan = Opened.open(project.where).plan(("even",))
    largest = max(4 * (len(action.inputs) + 2) * action.numel for action in plan.actions if not action.streaming)
    monkeypatch.setattr(budget, "room", lambda name: 3 * largest)

    assert 3 == budget.share_out(plan.actions, 1 << 30, 8, choosing.assign("auto", plan.actions)).jobs

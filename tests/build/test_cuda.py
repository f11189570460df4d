"""Whole builds on a CUDA device: the bytes of the CPU, whoever works beside whom, and whatever happens in between."""

from __future__ import annotations

import threading

import pytest
import torch

from modelbuild.errors import Exit
from tests.support.projects import DIAMOND, Project

pytestmark = pytest.mark.gpu

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


@pytest.fixture(autouse=True)
def there() -> None:
    """Need a device."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.mark.parametrize("text", [DIAMOND, MIXED], ids=["diamond", "mixed"])
@pytest.mark.parametrize("jobs", [1, 8])
def test_a_build_has_the_bytes_of_the_cpu(project: Project, text: str, jobs: int):
    """And its records serve the other: what one device built, no other builds again."""
    project.family(layers=6)
    project.write(text)
    project.build(device="cuda", jobs=jobs)
    built = project.hashes()

    assert 0 == project.build(device="cpu").actions.run
    assert project.build(device="cpu", force=True).actions.run
    assert built == project.hashes()


def test_a_method_that_is_not_exact_repeats_itself_on_the_device(project: Project):
    """Its records are those of the device: the CPU builds its own."""
    project.family()
    project.write(MIXED.replace('"model_stock"', '"iso_c"'))
    first = project.build(device="cuda", jobs=4)
    built = project.hashes()
    project.build(device="cuda", jobs=2, force=True)

    assert built == project.hashes()
    assert first.actions.run > project.build(device="cpu").actions.run > 0


def test_a_refusal_leaves_the_device_usable(project: Project):
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


def test_two_builds_at_once_share_a_device(project: Project, tmp_path):
    """In one process, as notebooks do."""
    others = [Project(tmp_path / str(i)) for i in range(2)]
    for other in others:
        other.root.mkdir()
        other.family()
        other.write(DIAMOND)
    threads = [threading.Thread(target=other.build, kwargs={"device": "cuda", "jobs": 3}) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert others[0].hashes() == others[1].hashes()

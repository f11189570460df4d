"""What is found from all tensors before one is merged, and task vectors kept for the sake of their factor."""

from __future__ import annotations

import os
import time

import numpy as np

from tests.support.checkpoints import from_bfloat16, read_model, to_bfloat16
from tests.support.projects import Project

MODEL_WIDE = """\
[source]
base.from = "base"
code.from = "code"
math.from = "math"
[merge.out]
method = "ties"
base = "base"
inputs = [{ model = "code", density = 0.3 }, { model = "math", density = 0.6, weight = 0.5 }]
trim = "model"
"""


def trimmed(deltas: dict[str, np.ndarray], density: float) -> dict[str, np.ndarray]:
    """Keep the largest of a whole task vector, as the paper does."""
    flat = np.sort(np.concatenate([np.abs(delta).reshape(-1) for delta in deltas.values()]))[::-1]
    threshold = flat[int(density * len(flat)) - 1]
    return {name: np.where(np.abs(delta) >= threshold, delta, np.float32(0)) for name, delta in deltas.items()}


def test_ties_trims_a_whole_model_by_one_threshold(project: Project):
    """TIES, section 3: the share is of all entries of a task vector; tensors of small changes lose more than others."""
    project.family()
    project.write(MODEL_WIDE)
    project.build()

    base, code, math, out = (read_model(project.root / name) for name in ("base", "code", "math", "out/out"))
    left = trimmed({name: code[name] - base[name] for name in base}, 0.3)
    right = trimmed({name: math[name] - base[name] for name in base}, 0.6)
    for name in base:
        a, b = left[name], np.float32(0.5) * right[name]
        plus = a + b >= 0
        agree = [np.where(plus, one > 0, one < 0) for one in (a, b)]
        mixed = np.where(agree[0], a, np.float32(0)) + np.where(agree[1], b, np.float32(0))
        share = (agree[0] + np.float32(0.5) * agree[1]).astype(np.float32)
        expected = base[name] + mixed / np.where(share == 0, np.float32(1), share)
        assert np.array_equal(from_bfloat16(to_bfloat16(expected)), out[name]), name


def test_a_survey_is_an_action_of_its_own_and_runs_again_only_where_it_would_differ(project: Project):
    project.family()
    project.write(MODEL_WIDE)
    tensors = len(read_model(project.root / "base"))

    assert tensors + 1 == project.build().actions.run
    project.edit("weight = 0.5", "weight = 0.7")
    assert tensors == project.build().actions.run
    project.edit("density = 0.3", "density = 0.2")
    assert tensors + 1 == project.build().actions.run


def test_a_null_build_knows_a_survey(project: Project):
    """Its stamp is written once the sources are older than two seconds."""
    project.family()
    project.write(MODEL_WIDE)
    for path in project.root.glob("*/*"):
        os.utime(path, (1e9, 1e9))
    time.sleep(2.1)
    project.build()

    assert 0 == project.build().actions.run


def test_a_survey_changes_no_byte_with_threads_memory_or_a_cache(project: Project):
    project.family()
    project.write(MODEL_WIDE)
    project.build(jobs=1)
    first = project.hashes("out")
    for options in ({"jobs": 4}, {"memory": 16 << 20}, {"force": True}):
        project.build(**options)
        assert first == project.hashes("out"), options


def test_tensors_of_other_densities_are_surveyed_apart(project: Project):
    project.family()
    project.write(MODEL_WIDE.replace("trim =", 'density = [{ filter = "mlp", value = 0.5 }, { value = 0.4 }]\ntrim =').replace(
        "density = 0.3", "weight = 1.0").replace("density = 0.6, ", ""))  # fmt: skip

    assert len(read_model(project.root / "base")) + 2 == project.build().actions.run


SPECTRAL = """\
[source]
base.from = "base"
code.from = "code"
math.from = "math"
[merge.out]
method = "tsv_m"
base = "base"
inputs = ["code", "math"]
lambda = 0.7
"""


def test_another_lambda_decomposes_nothing(project: Project):
    """Two actions a tensor: the task vector, which is kept, and base + lambda times it; a third build knows both."""
    project.family()
    project.write(SPECTRAL)
    tensors = len(read_model(project.root / "base"))

    assert 2 * tensors == project.build().actions.run
    first = read_model(project.root / "out/out")
    project.edit("lambda = 0.7", "lambda = 1.4")
    assert tensors == project.build().actions.run
    base, second = read_model(project.root / "base"), read_model(project.root / "out/out")
    for name in base:
        assert np.allclose(2 * (first[name] - base[name]), second[name] - base[name], atol=0.01), name
    project.edit("lambda = 1.4", "lambda = 0.7")
    assert 0 == project.build().actions.run

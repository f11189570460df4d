"""Configurations as mergekit's users write them, built by both programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from tests.mergekit.configurations import SPECS, configuration

from . import oracle
from .comparing import NEGLIGIBLE, compare, read
from .conftest import ROOT
from .test_parity import NEGLIGIBLE_IN, OFTEN

if TYPE_CHECKING:
    from .comparing import Bits

pytestmark = pytest.mark.parity

SAMPLE = 20
TRIED = 60
"""How many are drawn at most: mergekit refuses some, and of those with several stages only the last is compared."""

MEMBERS = ("base", "code", "math", "prose")
DETERMINISTIC = tuple(name for name, spec in SPECS.items() if not spec.random and name != "sce")
"""sce's choice among equal variances differs; test_parity holds its formula."""

NEGLIGIBLE_IN_NORMS = 2.0**-12
"""Of methods that divide by norms, which mergekit takes in float32; where models cancel out (weights of 0.0042, 0.0042 and -0.0083) its
karcher is 1.3e-4 of them off the same steps in float64, ours 1e-6."""

TIED = ("ties", "breadcrumbs")
"""Methods that select by magnitude: of equal ones mergekit keeps any."""


def one_stage(seed: int) -> dict[str, Any]:
    """Draw the last stage of a configuration, of a family's members alone; rounded once, as ours are."""
    drawn = next(
        stages[0]
        for stages in (configuration(Random(f"{seed} {i}"), MEMBERS, 4, DETERMINISTIC) for i in range(1 << 10))  # noqa: S311
        if len(stages) == 1 and not {"tokenizer", "tokenizer_source", "chat_template"} & stages[0].keys()
    )
    return drawn | {"dtype": "float32", "out_dtype": "bfloat16"}


def located(told: Any, family: Path) -> Any:
    """Return a configuration with directories in the place of members."""
    if isinstance(told, dict):
        return {key: str(family / value) if key in ("model", "base_model") else located(value, family) for key, value in told.items()}
    return [located(one, family) for one in told] if isinstance(told, list) else told


def test_configurations_that_mergekit_accepts_give_its_weights(tmp_path: Path, family: Path) -> None:
    """Twenty random ones: few elements are not equal, and those one step of bfloat16 apart, or selected where magnitudes tie."""
    home = Path(given) if (given := os.environ.get("MODELBUILD_MERGEKIT_VENV")) else oracle.ensure(ROOT / ".venv-mergekit")
    drawn = {f"c{i}": located(one_stage(i), family) for i in range(TRIED)}
    refused = oracle.tried(home, {str(tmp_path / "theirs" / name): told for name, told in drawn.items()}, tmp_path / "asked.json", SAMPLE)
    accepted = [name for name in drawn if (tmp_path / "theirs" / name / "config.json").exists()]
    assert len(accepted) == SAMPLE, refused

    inputs = [read(family / member) for member in MEMBERS]
    for name in accepted:
        told = drawn[name]
        (tmp_path / f"{name}.yml").write_text(yaml.safe_dump(told, sort_keys=False))
        command = [sys.executable, "-m", "modelbuild", "build", "-q", "-C", str(tmp_path), f"{name}.yml"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 0, json.dumps(told, indent=1) + done.stderr
        ours, theirs = read(tmp_path / "out" / name), read(tmp_path / "theirs" / name)
        slack = [{tensor: _widest(tensor, bits.shape, inputs) for tensor, bits in ours.items()}]
        found = compare(ours, theirs, slack, negligible=NEGLIGIBLE_IN_NORMS if told["merge_method"] in NEGLIGIBLE_IN else NEGLIGIBLE)
        said = f"{found}\n{json.dumps(told, indent=1)}"
        assert 1 - found.equal / found.compared <= OFTEN, said
        assert found.ulps <= 1 or told["merge_method"] in TIED, said


def _widest(name: str, shape: tuple[int, ...], inputs: list[dict[str, Bits]]) -> Bits:
    """Return the largest magnitude that the models have for a tensor of the result, whose layers may be of other numbers."""
    inner = name.split(".", 3)[-1] if name.startswith("model.layers.") else name
    held = [tensor & 0x7FFF for one in inputs for own, tensor in one.items() if own.endswith(inner) and tensor.shape == shape]
    return np.maximum.reduce(held)

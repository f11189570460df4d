"""RAM and RAM+: what is unique is kept, what is shared averaged."""

from __future__ import annotations

import numpy as np
import pytest

from modelbuild.methods.ram import ram, ramplus, ramplus_tl
from tests.methods.values import of_deltas
from tests.support.checkpoints import read_model
from tests.support.projects import Project


def test_what_one_changed_alone_is_kept_and_the_rest_averaged():
    """Entries changed by one, by both and by none; 1e-6 is no change."""
    merged = of_deltas(ram, [4.0, 2.0, 1e-6], [0.0, 4.0, 0.0]).merged()

    assert [4.0, 3.0, 0.0] == merged.tolist()


def test_a_change_of_epsilon_is_none():
    assert [0.0] == of_deltas(ram, [0.5], epsilon=0.5).merged().tolist()


@pytest.mark.parametrize("method", [ramplus, ramplus_tl])
def test_what_is_unique_grows_with_what_is_shared(method):
    """The first shares one entry and has two alone: rho 1/2 times r 0.2 makes 1.1; the second shares all and has none alone."""
    merged = of_deltas(method, [10.0, 20.0, 2.0], [0.0, 0.0, 4.0], r=0.2, alpha=0.5).merged()

    assert [11.0, 22.0, 3.0] == pytest.approx(merged.tolist(), rel=1e-6)


def test_alpha_limits_rho():
    """The first has one entry alone and shares two: rho 2, taken as 0.2."""
    merged = of_deltas(ramplus_tl, [10.0, 1.0, 1.0], [0.0, 1.0, 1.0], r=0.5).merged()

    assert 11.0 == pytest.approx(merged[0], rel=1e-6)


def test_ramplus_counts_over_the_whole_model(project: Project):
    """Each tensor of the output is what its formula gives with the counts of all tensors together."""
    project.family()
    source = "".join(f'[source.{name}]\nfrom = "{name}"\n' for name in ("base", "code", "math"))
    project.write(source + '[merge.out]\nmethod = "ramplus"\nbase = "base"\ninputs = ["code", "math"]\nepsilon = 0.02\ndtype = "float32"\n')
    project.build()

    base, code, math, out = (read_model(project.root / name) for name in ("base", "code", "math", "out/out"))
    deltas = [{name: one[name] - base[name] for name in base} for one in (code, math)]
    changed = [{name: np.abs(delta) > np.float32(0.02) for name, delta in one.items()} for one in deltas]
    both = {name: changed[0][name] & changed[1][name] for name in base}
    shared = sum(int(one.sum()) for one in both.values())
    factors = []
    for mine in changed:
        alone = sum(int((mine[name] & ~both[name]).sum()) for name in base)
        factors.append(1 + 0.1 * min(shared / alone, 0.2))
    for name in base:
        unique = sum(np.where(mine[name], factor * one[name], 0.0) for mine, factor, one in zip(changed, factors, deltas, strict=True))
        expected = base[name] + np.where(both[name], (deltas[0][name] + deltas[1][name]) / 2, unique)
        assert np.allclose(expected, out[name], rtol=1e-5, atol=1e-8), name

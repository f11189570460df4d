"""Memory and disk: bounded, and said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from modelbuild.engine import budget
from modelbuild.engine.choosing import Devices
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.usecases.project import Project as Opened
from tests.support.checkpoints import write_file
from tests.support.projects import DIAMOND, Project

CPU = Devices("cpu", "cpu")
PEAK = """
import sys
from pathlib import Path
from modelbuild.usecases import Options, Where, build

print(build(Where(Path(sys.argv[1])), (), Options(jobs=2, memory=24_000_000)).peak_rss_bytes)
"""
ONE_TENSOR = """\
[source]
a.from = "a.safetensors"
b.from = "b.safetensors"
c.from = "c.safetensors"
[merge.skills]
method = "METHOD"
base = "a"
inputs = ["b", "c"]
density = 0.3
keep = false
[merge.out]
method = "slerp"
inputs = ["a", "skills"]
t = 0.5
"""


@pytest.mark.slow
@pytest.mark.parametrize(("method", "bits"), [("ties", 0), ("dare_ties", 0), ("della", 1)])
def test_memory_does_not_grow_with_the_tensor(tmp_path: Path, method: str, bits: int):
    """A slerp of what a method makes of one tensor of 128 MB in bfloat16, of 1 MB: each input of della takes a bit for each element."""
    peaks = []
    for size in (1 << 19, 1 << 26):
        root = tmp_path / str(size)
        values = np.resize(np.random.default_rng(0).normal(0, 1, 1 << 19).astype(np.float32), size)
        for name, factor in (("a", 1.0), ("b", 1.25), ("c", 0.75)):
            write_file(root / f"{name}.safetensors", {"weight": (values * np.float32(factor)).reshape(-1, 1 << 13)})
        (root / "Modelfile.toml").write_text(ONE_TENSOR.replace("METHOD", method))
        told = subprocess.run([sys.executable, "-c", PEAK, str(root / "Modelfile.toml")], capture_output=True, text=True, check=True)
        peaks.append(int(told.stdout))

    assert peaks[1] < peaks[0] + 40_000_000 + bits * 2 * (1 << 26) // 8
    assert peaks[1] < 400_000_000


def test_a_build_that_cannot_fit_is_refused_before_work(diamond: Project):
    with pytest.raises(ModelbuildError, match=r"4\.4 MB needed, 1\.0 MB allowed") as caught:
        diamond.build(memory=1_000_000)

    assert Exit.LOCAL_IO == caught.value.exit_code
    assert not (diamond.root / "out").exists()


def test_workers_share_memory_with_what_grows_with_a_tensor(diamond: Project):
    """della over an embedding of 128k x 8192 holds 134 MB of bits for each of two inputs, whatever its chunks: never more than is allowed."""
    diamond.write(DIAMOND.replace('"ties"', '"della"'))
    actions = Opened.open(diamond.where).plan(("release",)).actions
    embedding = replace(next(action for action in actions if action.method.name == "della"), shape=(1 << 17, 1 << 13))
    held = 2 * embedding.numel // 8

    assert [3, 1] == [budget.share_out([embedding], memory, 8, CPU).jobs for memory in (3 * held, 2 * held - 1)]
    with pytest.raises(ModelbuildError, match=r"268\.4 MB needed, .* so much of all inputs is kept"):
        budget.share_out([embedding], held - 1, 8, CPU)


def test_the_cache_is_kept_within_its_size_and_the_build_in_hand_stays(diamond: Project):
    """Least recently used out first; outputs are whole all the same."""
    diamond.write('[cache]\nmax_size = "20kB"\n' + DIAMOND)
    for t in (0.1, 0.2, 0.3, 0.4):
        diamond.build(overrides=[f"merge.blend.t={t}"])

    packs = list((diamond.root / "cache" / "packs").glob("*.safetensors"))
    assert {path.stat().st_ino for path in (diamond.root / "out" / "release").glob("*.safetensors")} <= {
        path.stat().st_ino for path in packs
    }
    assert len(packs) < 6


def test_bytes_that_were_evicted_are_computed_again_and_nothing_else(diamond: Project):
    """Records outlive bytes: with all packs gone but the output's, the 3 tensors that change run, and the 6 that they read."""
    diamond.build()
    before = diamond.hashes()
    linked = {path.stat().st_ino for path in (diamond.root / "out" / "release").iterdir()}
    for path in (diamond.root / "cache" / "packs").glob("*.safetensors"):
        if path.stat().st_ino not in linked:
            path.unlink()
    assert 0 == diamond.build().actions.run
    diamond.edit('{ filter = "mlp", value = 0.3 }', '{ filter = "mlp", value = 0.35 }')

    outcome = diamond.build()

    assert 3 + 6 == outcome.actions.run
    assert before != diamond.hashes()

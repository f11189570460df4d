"""Builds that are killed or stopped in the middle, and what the next one makes of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelbuild import usecases as use_cases
from modelbuild.events import Event, Merged
from modelbuild.usecases import Options
from tests.support.projects import DIAMOND, Project

LIVE = 36
"""Actions that the diamond rests on."""

KILLED = """
import os, signal, sys
from pathlib import Path
from modelbuild.usecases import Options, Where, build
from modelbuild.events import Merged

left = int(sys.argv[2])

def report(event):
    global left
    left -= isinstance(event, Merged)
    if left == 0:
        os.kill(os.getpid(), getattr(signal, sys.argv[3] if sys.argv[3:] else "SIGKILL"))

build(Where(Path(sys.argv[1])), (), Options(jobs=1), report)
"""


@pytest.mark.parametrize("finished", [1, 10, 25, 35])
def test_what_a_killed_build_finished_is_not_computed_again(diamond: Project, tmp_path_factory, finished: int):
    """kill -9 after so many tensors; the next build computes the others and equals a clean one bit for bit."""
    clean = Project(tmp_path_factory.mktemp("clean"))
    clean.family()
    clean.write(DIAMOND)
    clean.build()

    killed = subprocess.run([sys.executable, "-c", KILLED, str(diamond.root / "Modelfile.toml"), str(finished)], check=False)
    outcome = diamond.build()

    assert -signal.SIGKILL == killed.returncode
    assert LIVE - finished == outcome.actions.run
    assert clean.hashes() == diamond.hashes()
    assert [] == list((diamond.root / "cache" / "staging").iterdir())


@pytest.mark.parametrize("end", ["SIGKILL", "SIGINT"])
def test_what_a_killed_build_finished_waits_for_a_build_that_wants_it(diamond: Project, end: str):
    """Ended after 25 of 36 or a little later, then another recipe is built to its end, then the first one again; who can writes records."""
    ended = subprocess.run([sys.executable, "-c", KILLED, str(diamond.where.file), "25", end], capture_output=True, check=False)
    assert ended.returncode in (-signal.SIGKILL, -signal.SIGINT)
    diamond.edit('"code", density = 0.5', '"code", density = 0.3')
    diamond.edit('"code", density = 0.6', '"code", density = 0.7')
    time.sleep(2.1)  # a source younger than that is looked at again
    other = diamond.build()
    assert () == use_cases.forecast(diamond.where).warnings
    diamond.write(DIAMOND)

    foretold = use_cases.forecast(diamond.where)
    outcome = diamond.build()

    kept = re.fullmatch(
        r"finished tensors kept of an interrupted build: (\d+) \([\d.]+ kB\); those that fit are not merged again", foretold.warnings[0]
    )
    assert kept
    assert 25 <= int(kept[1]) < LIVE
    assert (LIVE, LIVE - int(kept[1])) == (other.actions.run, outcome.actions.run)
    assert not foretold.exact
    assert [] == list((diamond.root / "cache" / "staging").iterdir())


def test_an_interrupted_build_keeps_what_is_finished_and_the_old_output(diamond: Project):
    """Ctrl-C after five tensors of a rebuild."""
    diamond.build()
    before = diamond.hashes()
    diamond.edit('"math", density = 0.5', '"math", density = 0.3')
    seen = 0

    def press(event: Event) -> None:
        nonlocal seen
        if isinstance(event, Merged):
            seen += 1
            if seen == 5:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        use_cases.build(diamond.where, (), Options(jobs=1), press)
    assert before == diamond.hashes()

    assert diamond.build().actions.run <= 24 - 5
    assert before != diamond.hashes()


@pytest.mark.parametrize(("keep_going", "other"), [(True, "built"), (False, "failed")])
def test_a_failed_action_leaves_the_old_output_and_names_its_tensor(diamond: Project, keep_going, other):
    """A NaN in one tensor of one source; a target that does not read it is built with keep_going."""
    diamond.build()
    before = diamond.hashes()
    poisoned = diamond.root / "math" / "model.safetensors"
    data = bytearray(poisoned.read_bytes())
    data[-2:] = b"\xc0\x7f"
    poisoned.write_bytes(data)
    diamond.write(DIAMOND + '[merge.other]\nmethod = "linear"\ninputs = ["base", "code"]\n')

    outcome = diamond.build(keep_going=keep_going, jobs=1)

    assert {"release": "failed", "other": other} == {target.name: target.state for target in outcome.targets}
    assert 1 == outcome.exit_code
    assert "NaN or Inf in what `skills::" in str(outcome.problems[0])
    assert before == diamond.hashes()


def test_an_output_that_is_not_ours_is_never_replaced(diamond: Project):
    (diamond.root / "out" / "release").mkdir(parents=True)
    (diamond.root / "out" / "release" / "notes.txt").write_text("mine")

    with pytest.raises(Exception, match=r"holds files that modelbuild did not write"):
        diamond.build()
    assert "mine" == (diamond.root / "out" / "release" / "notes.txt").read_text()


def test_an_output_over_a_source_is_refused(diamond: Project):
    diamond.write(DIAMOND + 'output = { path = "base" }\n')

    with pytest.raises(Exception, match="would overwrite source `base`"):
        diamond.build()


@pytest.mark.parametrize("options", [{}, {"keep": False}, {"shard_size": "4kB"}], ids=["packs", "not kept", "shards"])
def test_a_null_build_imports_nothing_heavy_and_writes_nothing(diamond: Project, options):
    """In a process of its own; the sources have to be two seconds old to be trusted."""
    import time

    if "shard_size" in options:
        diamond.write(DIAMOND + 'output = { shard_size = "4kB" }\n')
    if "keep" in options:
        diamond.write(DIAMOND.replace('method = "', 'keep = false\nmethod = "'))
    time.sleep(2.1)
    diamond.build()
    before = {path: path.stat().st_mtime_ns for path in diamond.root.rglob("*")}
    code = """
import sys
from pathlib import Path
from modelbuild.usecases import Where, build

outcome = build(Where(Path(sys.argv[1])))
heavy = {"torch", "numba", "numpy", "transformers", "networkx", "huggingface_hub", "pydantic", "diskcache"} & set(sys.modules)
print(outcome.actions.run, outcome.bytes.written, outcome.targets[0].state, sorted(heavy))
"""

    told = subprocess.run(
        [sys.executable, "-c", code, str(diamond.root / "Modelfile.toml")], capture_output=True, text=True, check=True
    ).stdout

    assert "0 0 fresh []\n" == told
    assert before == {path: path.stat().st_mtime_ns for path in diamond.root.rglob("*")}


def test_shards_are_no_larger_than_asked_and_load_through_their_index(diamond: Project):
    import json

    diamond.write(DIAMOND + 'output = { shard_size = "4kB", dtype = "float32" }\n')
    diamond.build()
    out = diamond.root / "out" / "release"
    weight_map = json.loads((out / "model.safetensors.index.json").read_text())["weight_map"]

    assert set(weight_map.values()) == {path.name for path in out.glob("*.safetensors")}
    assert "float32" == json.loads((out / "config.json").read_text())["dtype"]
    assert all(path.stat().st_size <= 4096 + 4000 for path in out.glob("*.safetensors"))


def test_the_forecast_of_a_stale_graph_is_the_fact_where_it_says_exact(diamond: Project):
    """The last node's parameter changes, so that no judgement waits for another."""
    import time

    time.sleep(2.1)
    diamond.build()
    diamond.edit("value = 0.6", "value = 0.7")

    foretold = use_cases.forecast(diamond.where)
    outcome = diamond.build()

    assert foretold.exact
    assert outcome.actions == foretold.actions
    assert outcome.bytes == foretold.bytes


def test_the_forecast_of_a_first_build_is_an_upper_bound(diamond: Project):
    foretold = use_cases.forecast(diamond.where)

    assert not foretold.exact
    assert not (Path(diamond.root) / "cache" / "packs").exists()
    outcome = diamond.build()
    assert outcome.actions.run <= foretold.actions.run
    assert outcome.bytes.written <= foretold.bytes.written
    assert outcome.bytes.read <= foretold.bytes.read

"""Choosing by results: what is proposed, what wins, what the lock keeps, and what a build makes of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import islice
from math import nan
from pathlib import Path

import numpy as np
import pytest

from modelbuild import lockfile
from modelbuild import usecases as use_cases
from modelbuild.errors import ModelbuildError
from modelbuild.lockfile import Lock, LockedSearch, LockedTrial
from modelbuild.modelfile.evaluation import Axis, Search
from modelbuild.modelfile.parse import parse
from modelbuild.usecases import Options
from modelbuild.usecases.samplers import first, sampler_of
from modelbuild.usecases.searching import Trial, _best, _souped
from tests.cli.conftest import Program, program
from tests.support.checkpoints import VOCAB
from tests.support.projects import Project

__all__ = ["program"]

MODELFILE = """\
default = ["release"]
[source]
base.from = "base"
code.from = "code"
math.from = "math"
[merge.skills]
method = "ties"
base = "base"
inputs = [{ model = "code", density = 0.5 }, { model = "math", density = 0.5 }]
[merge.release]
method = "slerp"
inputs = ["base", "skills"]
t = 0.5
[merge.soup]
method = "greedy_soup"
inputs = ["base", "code", "math"]
check = "tokens"
[check.tokens]
kind = "perplexity"
text = "tokens.safetensors"
tensors = ["held"]
metric = "loss"
[search.tuned]
of = "release"
objective = "tokens"
sampler = "grid"
[search.tuned.space]
"merge.release.t" = { low = 0.2, high = 0.8, step = 0.3 }
"merge.skills.inputs[0].density" = [0.3, 0.7]
"""


@pytest.fixture
def searched(project: Project) -> Project:
    from safetensors.numpy import save_file

    project.family()
    project.write(MODELFILE)
    save_file({"held": np.random.default_rng(0).integers(0, VOCAB, (4, 17))}, project.root / "tokens.safetensors")
    return project


def plan(sampler: str, *axes: Axis, seed: int = 0, objectives: tuple[str, ...] = ("a",)) -> Search:
    return Search("s", "release", objectives, axes, sampler, 30, seed, ("search", "s"))


def test_a_grid_is_every_combination_the_last_axis_first() -> None:
    told = parse(Path("Modelfile.toml"), MODELFILE).searches["tuned"]

    assert [(0.2, 0.3), (0.2, 0.7), (0.5, 0.3), (0.5, 0.7), (0.8, 0.3), (0.8, 0.7)] == list(first(sampler_of(told), told.trials))


def test_more_random_trials_begin_with_those_of_fewer() -> None:
    told = plan("random", Axis("t", (), 0.1, 10.0, log=True), Axis("k", (1, 2, 3)), Axis("d", (), 0.0, 1.0))
    few, many = list(islice(sampler_of(told).points(), 10)), list(islice(sampler_of(told).points(), 200))
    other = next(sampler_of(plan("random", *told.space, seed=1)).points())

    assert few == many[:10]
    assert few[0] != other
    assert all(0.1 <= t <= 10 and k in (1, 2, 3) and 0 <= d <= 1 for t, k, d in many)
    assert 80 <= sum(t < 1 for t, _, _ in many) <= 120  # half of the decades
    assert all(value == float(f"{value:.6g}") for point in many for value in (point[0], point[2]))


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_optunas_samplers_give_the_same_points_for_the_same_scores_and_find_a_minimum(sampler: str) -> None:
    pytest.importorskip("optuna")

    def points() -> list[tuple[float, ...]]:
        asked = sampler_of(plan(sampler, Axis("x", (), -2.0, 2.0), Axis("y", (), -2.0, 2.0), seed=3))
        found = []
        for x, y in first(asked, 60):
            found.append((x, y))
            asked.tell([(x - 1) ** 2 + y**2])
        return found

    once, twice = points(), points()

    assert once == twice
    assert min((x - 1) ** 2 + y**2 for x, y in once) < 0.2


def test_of_several_objectives_the_front_is_what_nothing_dominates() -> None:
    """The first is to be low, the second high; a candidate without a score is dominated by all that have one."""
    trials = [Trial((), scores) for scores in ((1.0, 5.0), (2.0, 9.0), (3.0, 9.0), (nan, 9.0), (1.0, 4.0), (1.5, 8.0))]
    winner, front = _best(trials, (False, True))

    assert (0, 1, 5) == front
    assert winner in front
    assert (0, (0,)) == _best([Trial((), (3.0,)), Trial((), (4.0,)), Trial((), (nan,))], (False,))


class Kitchen:
    """Scores soups by a table, higher better."""

    def __init__(self, scores: dict[str, float]) -> None:
        self.scores, self.higher, self.order = scores, [True], list[str]()

    def run(self, merge: str, edits: tuple[str, ...], chosen: dict[str, list[str]]) -> tuple[float]:
        assert ("soup", ()) == (merge, edits)
        self.order.append("+".join(chosen["soup"]))
        return (self.scores[self.order[-1]],)


def test_a_soup_takes_the_best_and_then_whatever_does_not_lower_the_score() -> None:
    """By the paper's recipe: math is best, base lowers it, code keeps it; sums are in the Modelfile's order."""
    merge = parse(Path("Modelfile.toml"), MODELFILE).merges["soup"]
    kitchen = Kitchen({"base": 0.5, "code": 0.4, "math": 0.6, "base+math": 0.55, "code+math": 0.6})
    trials, winner = _souped(kitchen, merge)  # type: ignore[arg-type]

    assert ["base", "code", "math", "base+math", "code+math"] == kitchen.order
    assert ('merge.soup.inputs=["code", "math"]',) == trials[winner].edits


def test_a_lock_keeps_a_search_to_the_last_digit_and_a_build_keeps_the_lock(searched: Project) -> None:
    trail = (LockedTrial(("merge.release.t=0.1", 'vars.name="x"'), (0.1 + 0.2,)), LockedTrial((), (2.0,)))
    lock = Lock(searches={"tuned": LockedSearch("ab" * 32, 0, trail), "gone": LockedSearch("ab" * 32, 1, trail)})
    searched.where.lock.write_text(lockfile.to_text(lock))

    assert lock == lockfile.read(searched.where.lock)
    searched.build()
    after = lockfile.read(searched.where.lock)
    assert after
    assert {"tuned": lock.searches["tuned"]} == after.searches
    assert after.merges["release"].root


@pytest.mark.parametrize("bad", ["winner = 2", "winner = -1", "trail = 3", 'trail = [{ scores = ["x"], set = [] }]', "more = 1"])
def test_a_search_in_a_lock_that_makes_no_sense_is_refused(searched: Project, bad: str) -> None:
    text = lockfile.to_text(Lock(searches={"tuned": LockedSearch("ab" * 32, 0, (LockedTrial((), (1.0,)),))}))
    key = bad.partition(" ")[0]
    lines, inside = [], False
    for line in text.splitlines():
        inside = inside and line != "]" if inside else key == "trail" and line.startswith("trail")
        if not inside and not line.startswith(f"{key} =") and not (key == "trail" and line == "]"):
            lines.append(line)
    searched.where.lock.write_text("\n".join([*lines, bad]) + "\n")

    with pytest.raises(ModelbuildError) as refused:
        lockfile.read(searched.where.lock)
    assert 3 == refused.value.exit_code


def test_a_soup_is_built_of_what_the_lock_says_and_not_before(searched: Project, program: Program) -> None:
    """As the mean of those, byte for byte; when its inputs are others it has to be chosen again."""
    from modelbuild.usecases.soups import definition_of

    refused = program("-C", searched.root, "build", "soup")
    definition = definition_of(parse(Path("Modelfile.toml"), MODELFILE), parse(Path("Modelfile.toml"), MODELFILE).merges["soup"])
    trail = (LockedTrial(('merge.soup.inputs=["base", "math"]',), (1.0,)),)
    searched.where.lock.write_text(lockfile.to_text(Lock(searches={"soup": LockedSearch(definition, 0, trail)})))
    searched.write(MODELFILE + '[merge.mean]\nmethod = "linear"\ninputs = ["base", "math"]\n')
    searched.build("soup", "mean")
    searched.edit('inputs = ["base", "code", "math"]', 'inputs = ["base", "math"]')
    again = program("-C", searched.root, "build", "soup")

    assert 2 == refused.code == again.code
    assert "error: the ingredients of `soup` are not chosen yet" in refused.err
    assert "hint: run `modelbuild search soup`" in refused.err
    mean, soup = searched.hashes("mean"), searched.hashes("soup")
    assert mean["model.safetensors"] == soup["model.safetensors"]


WRONG = """\
[source.base]
from = "base"
[merge.release]
method = "linear"
inputs = ["base"]
[merge.soup]
method = "greedy_soup"
inputs = ["base"]
check = "los"
[check.loss]
kind = "perplexity"
text = "t.txt"
[check.mt]
kind = "command"
run = "true"
[search.a]
of = "relase"
objective = ["loss", "mt"]
space = { x = { low = 1.0, high = 0.5 }, y = { values = [1], step = 1 }, z = { low = 0, high = 1, log = true }, w = { high = 1 } }
[search.b]
of = "release"
objective = "loss"
sampler = "grid"
space = { x = { low = 0, high = 1 } }
"""


def test_everything_wrong_with_searches_is_said_at_once(project: Project, program: Program) -> None:
    project.write(WRONG)
    ended = program("-C", project.root, "search", "a")

    assert 2 == ended.code
    assert [
        "error: no check `los` gives candidates a score",
        "error: no merge is called `relase`",
        "error: no check `mt` gives candidates a score",
        "error: `low` is not below `high`",
        "error: `values` are all there is",
        "error: a logarithmic range begins above 0",
        "error: `w` has neither `values` nor `low`",
        "error: a grid needs values: a list, or a range with a `step`",
    ] == [line for line in ended.err.splitlines() if line.startswith("error:")]


def test_a_search_that_is_not_there_is_said(searched: Project, program: Program) -> None:
    ended = program("-C", searched.root, "search", "tunde")

    assert 2 == ended.code
    assert "error: no search is called `tunde`\n  declared: tuned, soup\nhint: did you mean `tuned`?\n" in ended.err


@pytest.mark.slow
def test_a_search_resumes_after_kill_9_repeats_for_nothing_and_leaves_no_model(searched: Project) -> None:
    """Six candidates; a kill after the second; what wins is what `test` then measures of the built merge, from the record."""
    command = [sys.executable, "-m", "modelbuild", "-C", str(searched.root), "search", "tuned", "-j", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as killed:
        assert killed.stderr
        for line in killed.stderr:
            if line.startswith("note: candidate 2:"):
                os.kill(killed.pid, signal.SIGKILL)
                break
    resumed, again = (use_cases.search(searched.where, "tuned", Options(jobs=1)) for _ in range(2))
    lock = lockfile.read(searched.where.lock)
    best = resumed.trials[resumed.winner]
    searched.write(MODELFILE.replace("t = 0.5", best.edits[0].removeprefix("merge.release.")))
    density = json.loads(best.edits[1].partition("=")[2])
    searched.edit('{ model = "code", density = 0.5 }', f'{{ model = "code", density = {density} }}')
    tested = use_cases.test(searched.where, ["release"], Options(jobs=1), only=["tokens"])

    assert -signal.SIGKILL == killed.returncode
    assert 6 == len(resumed.trials) == resumed.evaluated + resumed.cached
    assert 2 <= resumed.cached < 6
    assert (0, 6) == (again.evaluated, again.cached)
    assert resumed.trials == again.trials
    assert len({trial.scores for trial in resumed.trials}) == 6
    assert best.scores == min(trial.scores for trial in resumed.trials)
    assert lock
    assert best.edits == lock.searches["tuned"].edits
    assert (0, 1) == (tested.evaluated, tested.cached)
    assert best.scores[0] == tested.results[0].verdict.score
    assert ["release"] == [path.name for path in (searched.root / "out").iterdir() if path.is_dir()]  # written by `test` alone


@pytest.mark.slow
def test_a_soup_is_at_least_as_good_as_its_best_ingredient_and_can_be_built(searched: Project) -> None:
    found = use_cases.search(searched.where, "soup", Options(jobs=1))
    again = use_cases.search(searched.where, "soup", Options(jobs=1))
    alone = min(trial.scores[0] for trial in found.trials[:3])
    searched.build("soup")

    assert found.trials[found.winner].scores[0] <= alone
    assert (0, found.evaluated) == (again.evaluated, again.cached)
    assert (searched.root / "out" / "soup" / "model.safetensors").exists()

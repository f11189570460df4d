"""Sweeps built: variants are merges like any other, share what they can, and are told apart side by side."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from modelbuild import usecases as use_cases
from modelbuild.cache import stattable
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.events import Event, Noted, Warned
from modelbuild.lockfile import read as read_lock
from modelbuild.plan import Action, doubles
from modelbuild.usecases.testing import checks_of
from modelbuild.usecases.where import modelfile_at
from tests.cli.conftest import Program, program
from tests.support.projects import Project

__all__ = ["program"]

SWEPT = """\
[source]
base.from = "base"
code.from = "code"
math.from = "math"
[merge.skills]
method = "ties"
base = "base"
inputs = [{ model = "code", density = 0.5 }, { model = "math", density = 0.5 }]
[merge.x]
method = "dare_linear"
base = "base"
inputs = ["skills", { model = "math", weight = 0.4 }]
[merge.x.matrix]
density = [0.6, 0.8]
inputs.skills.weight = [0.5, [0.1, 1.0]]
exclude = [{ density = 0.8, "inputs.skills.weight" = 0.5 }]
[merge.last]
method = "linear"
inputs = ["base", "x@density=0.6,inputs.skills.weight=0.5"]
[group]
release = ["last", "x@density=0.8*"]
"""
VARIANTS = (
    "x@density=0.6,inputs.skills.weight=0.5",
    "x@density=0.6,inputs.skills.weight=0.1_1",
    "x@density=0.8,inputs.skills.weight=0.1_1",
)


def by_hand(name: str, density: float, weight: str) -> str:
    """Write the merge of one point without a matrix."""
    inputs = f'inputs = [{{ model = "skills", weight = {weight} }}, {{ model = "math", weight = 0.4 }}]'
    return f'[merge.{name}]\nmethod = "dare_linear"\nbase = "base"\n{inputs}\ndensity = {density}\n'


@pytest.fixture
def swept(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Sources are trusted to be what they were although they are young."""
    monkeypatch.setattr(stattable, "RACY_NS", 0)
    project.family()
    project.write(SWEPT)
    return project


def test_a_variant_has_the_keys_and_the_bytes_of_the_same_merge_written_by_hand(swept: Project) -> None:
    """The masks of `dare_linear` are random: a name in a key or a seed would move them."""
    points = {"one": (0.6, "0.5"), "two": (0.6, "[0.1, 1.0]"), "three": (0.8, "[0.1, 1.0]")}
    swept.write(SWEPT + "".join(by_hand(name, *point) for name, point in points.items()))
    swept.build("x")
    built = {name: swept.hashes(name) for name in VARIANTS}
    keys = {name: [one.key for one in use_cases.show(swept.where, (name,))[0].tensors] for name in VARIANTS}

    outcome = swept.build(*points)

    assert 0 == outcome.actions.run
    for variant, name in zip(VARIANTS, points, strict=True):
        assert built[variant] == swept.hashes(name)
        assert keys[variant] == [one.key for one in use_cases.show(swept.where, (name,))[0].tensors]
        assert all(keys[variant])


def test_variants_share_what_is_upstream_and_the_work_of_each_sums_up_to_all(swept: Project) -> None:
    outcome = swept.build("x@*")

    assert VARIANTS == tuple(one.name for one in outcome.targets)
    assert {"out/" + name for name in VARIANTS} == {str(path.relative_to(swept.root)) for path in (swept.root / "out").iterdir()}
    assert outcome.actions.run == outcome.actions.total == sum(one.run for one in outcome.targets) == 4 * 30
    assert [(60, 0), (30, 30), (30, 30)] == [(one.run, one.reused) for one in outcome.targets]
    assert [(0, 60)] * 3 == [(one.run, one.reused) for one in swept.build("x@*").targets]
    assert {"density": 0.8, "inputs.skills.weight": (0.1, 1.0)} == outcome.targets[2].point

    swept.edit("density = [0.6, 0.8]", "density = [0.6, 0.7, 0.8]")
    assert {"x@density=0.7,inputs.skills.weight=0.5": 30, "x@density=0.7,inputs.skills.weight=0.1_1": 30} == {
        one.name: one.run for one in swept.build("x").targets if one.run
    }


def test_groups_lists_and_globs_are_targets_of_every_command(swept: Project) -> None:
    where = swept.where

    assert ["last", VARIANTS[2]] == [one.name for one in use_cases.forecast(where, ("release",)).targets]
    assert [*VARIANTS, "skills"] == [one.name for one in use_cases.status(where, ("x", "skill?", "x@*"))]
    assert [*VARIANTS] == [one.name for one in use_cases.show(where, ("x",))]
    assert {"x", "skills"} == {one.tensor.partition("::")[0].partition("@")[0] for one in use_cases.explain(where, "x@*0.8*")}
    assert [*VARIANTS[:1], "last"] == [
        one.name for one in use_cases.view_graph(where, "last").nodes if one.name not in ("base", "code", "math", "skills")
    ]
    exported, _ = use_cases.export_mergekit(where, ("x@*=0.5", "skills"), swept.root / "exported")
    assert [f"{VARIANTS[0]}.yml", "skills.yml"] == [path.rpartition("/")[2] for path, _ in exported]
    swept.build("release")
    assert {"last": "out/last", VARIANTS[2]: f"out/{VARIANTS[2]}"} == {
        one.target: one.path.removeprefix(f"{swept.root}/") for one in use_cases.clean(where, ("release",)).removed
    }
    with pytest.raises(ModelbuildError) as caught:
        swept.build("y@*", "x@density=0.60,inputs.skills.weight=0.5", "relaese")
    assert [
        ("no merge matches `y@*`", "did you mean `x@*`?"),
        ("no merge is called `x@density=0.60,inputs.skills.weight=0.5`", f"did you mean `{VARIANTS[0]}`?"),
        ("no merge is called `relaese`", "did you mean `release`?"),
    ] == [(problem.what, problem.hint) for problem in caught.value.problems]


def test_what_is_to_be_said_of_several_variants_is_said_once(swept: Project) -> None:
    swept.write(
        f'{SWEPT[: SWEPT.index("[merge")]}[merge.x]\nmethod = "ties"\nbase = "base"\n'
        'inputs = ["base", { model = "code", weight = 0.99 }, { model = "math", weight = 0.01 }]\nmatrix = { density = [0.3, 0.5, 0.7] }\n'
    )
    told: list[Event] = []

    assert 3 == len([one for one in use_cases.forecast(swept.where, report=told.append).warnings if "hardly count" in one])
    assert [
        Noted("`base` is the base and its difference to itself is nothing: skipped as an input"),
        Warned("`x@density=0.3` gives `code` 99% of the weight: the others hardly count (and of 2 more variants)"),
    ] == told


@pytest.mark.parametrize("of", ["x", "x@*", "?", "x@density=0.6*"])
def test_a_check_may_be_of_a_sweep(swept: Project, of: str) -> None:
    swept.write(f'{SWEPT}[check.sound]\nkind = "finite"\nof = "{of}"\n')
    modelfile = modelfile_at(swept.where)

    assert [VARIANTS[0], VARIANTS[1], *(VARIANTS[2:] if "0.6" not in of else ())] == [
        name for name in modelfile.merges if any(check.name == "sound" for check in checks_of(modelfile, name))
    ]


def test_what_is_of_no_merge_is_told_with_the_variants_that_are_near(swept: Project) -> None:
    swept.write(f'{SWEPT}[check.sound]\nkind = "finite"\nof = ["x@density=0.7*", "nothing"]\n[export.whole]\nof = "x"\nformat = "gguf"\n')

    with pytest.raises(ModelbuildError) as caught:
        modelfile_at(swept.where)

    assert ["no merge is called `x@density=0.7*`", "no merge is called `nothing`"] == [one.what for one in caught.value.problems]
    assert (f"variants: {', '.join(VARIANTS)}",) == caught.value.problems[0].facts
    swept.write(f'{SWEPT}[export.whole]\nof = "x"\nformat = "gguf"\n')
    with pytest.raises(ModelbuildError, match="`x` is made several times, by its matrix") as caught:
        use_cases.status(swept.where)
    assert f"name one of them: `{VARIANTS[0]}`" == caught.value.problems[0].hint


def test_some_variants_of_a_past_build_are_restored_and_the_others_stay(swept: Project) -> None:
    """By a glob, by names, by the sweep's name with all of them; into a directory where one is meant."""
    swept.build("x")
    first, was = use_cases.log(swept.where)[0].id, {name: swept.hashes(name) for name in VARIANTS}
    swept.build("x", overrides=["seed=3"])
    new = {name: swept.hashes(name) for name in VARIANTS}

    assert VARIANTS[:2] == tuple(one.target for one in use_cases.restore(swept.where, first, "x@density=0.6*"))
    assert [was[VARIANTS[0]], was[VARIANTS[1]], new[VARIANTS[2]]] == [swept.hashes(name) for name in VARIANTS]
    (apart,) = use_cases.restore(swept.where, first, "*0.8*", output=swept.root / "out/apart")
    assert (VARIANTS[2], was[VARIANTS[2]], new[VARIANTS[2]]) == (apart.target, swept.hashes("apart"), swept.hashes(VARIANTS[2]))
    pairs = use_cases.diff(swept.where, f"{first}::x@density=0.6*", use_cases.log(swept.where)[0].id)
    assert [f"{first}::{name}" for name in VARIANTS[:2]] == [pair.a for pair in pairs if not pair.equal]
    assert ["fresh", "fresh", "linked"] == [one.how for one in use_cases.restore(swept.where, first, ["x", VARIANTS[0]])]
    assert was == {name: swept.hashes(name) for name in VARIANTS}


def test_what_of_a_past_build_cannot_be_restored_is_told(swept: Project) -> None:
    swept.build("x")
    (build,) = use_cases.log(swept.where)

    def said(*words: str, **output: Path) -> str:
        with pytest.raises(ModelbuildError) as caught:
            use_cases.restore(swept.where, build.id, words, **output)
        return str(caught.value).replace(build.id, "ID")

    left = f"it left {', '.join(VARIANTS)}"
    near = f"hint: did you mean one of `{VARIANTS[0]}`, `{VARIANTS[1]}`?"
    assert f"error: build ID left no output of `x@density=0.5`\n  {left}\n{near}" == said("x@density=0.5", VARIANTS[0])
    assert f"error: build ID left no output of `y*`\n  {left}\nhint: `modelbuild log` lists builds and what they left" == said("y*")
    assert f"these are meant: {VARIANTS[0]}, {VARIANTS[1]}\nhint: name one of them: `modelbuild restore ID {VARIANTS[0]} -o DIR`" in said(
        "*0.6*", output=swept.root / "one"
    )
    swept.edit("density = [0.6, 0.8]\n", "density = [0.6, 0.9]\n")
    swept.edit("density = 0.8, ", "density = 0.9, ")
    way = f"name those that it has, or say where one is to go: `modelbuild restore ID {VARIANTS[2]} -o DIR`"
    assert (
        f"error: the Modelfile as it is now has no merge `{VARIANTS[2]}`\n  of these it has {VARIANTS[0]}, {VARIANTS[1]}\nhint: {way}"
    ) == said("x")


@pytest.mark.slow
def test_a_lock_holds_variants_apart(swept: Project) -> None:
    use_cases.lock(swept.where)
    swept.build("x")
    lock = read_lock(swept.where.lock)
    assert lock is not None
    assert {*VARIANTS, "skills", "last"} == {*lock.merges}
    assert 3 == len({lock.merges[name].root for name in VARIANTS})

    assert Exit.DONE == swept.build("x@*", locked=True).exit_code
    swept.write(SWEPT.replace("0.8", "0.9"))
    with pytest.raises(ModelbuildError) as caught:
        swept.build("x@*", locked=True)
    assert Exit.LOCK == caught.value.exit_code


def test_status_counts_for_each_target_what_a_forecast_counts(swept: Project) -> None:
    """What several rest on is one target's, and the same under another name is too; the rest of it is told as shared."""
    swept.write(SWEPT + by_hand("same", 0.6, "0.5"))
    words = ("same", "x", "skills")
    for run, whole in (([30, 30, 30, 30, 0], [60, 60, 60, 60, 30]), ([0, 0, 0, 0, 0], [0, 0, 0, 0, 0])):
        told = use_cases.status(swept.where, words)
        forecast = use_cases.forecast(swept.where, words)

        assert run == [one.stale for one in told] == [one.run for one in forecast.targets]
        assert [one.nbytes for one in told] == [one.nbytes for one in forecast.targets]
        assert whole == [one.stale + one.shared for one in told]
        swept.build("x")


def test_a_sweep_is_told_as_a_table_by_build_and_by_status(program: Program, swept: Project) -> None:
    ended = program("build", "-C", swept.root, "x")

    assert (
        """\
x: 3 variants
  density  inputs.skills.weight  state  run  reused  merged
  0.6      0.5                   built  60   0       31.7 kB
  0.6      0.1_1                 built  30   30      15.8 kB
  0.8      0.1_1                 built  30   30      15.8 kB
built 3 variants of x in """
        in ended.err
    )
    swept.write(SWEPT.replace("0.8", "0.9"))
    told = program("status", "-C", swept.root, "x@*", "skills")
    assert (
        f"""\
skills  stale  {swept.root}/out/skills  only to be written
        its output is not there
x: 3 variants
  density  inputs.skills.weight  state  to run  of  to merge
  0.6      0.5                   fresh  0       60  0 B
  0.6      0.1_1                 fresh  0       60  0 B
  0.9      0.1_1                 stale  30      60  15.8 kB
  not built before
"""
        == told.out
    )


ALIKE = (
    SWEPT[: SWEPT.index("[merge")]
    + """\
[merge.skills]
method = "ties"
base = "base"
inputs = ["code", "math"]
[merge.x]
method = "slerp"
inputs = ["base", "skills"]
t = [{ filter = "self_attn", value = 0.3 }, { value = 0.5 }]
[merge.x.matrix]
"t[0].value" = [0.1, 0.2, 0.3]
"""
)
ATTENTION, ALL = 12, 30
"""Tensors of a model of three layers: of its attention, and in all."""


@pytest.mark.parametrize("jobs", [1, 3])
def test_what_variants_have_in_common_is_merged_once_and_as_if_each_were_built_alone(swept: Project, jobs: int) -> None:
    swept.write(ALIKE)
    forecast = use_cases.forecast(swept.where, ["x"])
    outcome = swept.build("x", jobs=jobs)
    together = {target.name: swept.hashes(target.name) for target in outcome.targets}
    again = swept.build("x", jobs=jobs, force=True)
    told = [use_cases.explain(swept.where, name) for name in together]
    swept.edit("value = 0.5", "value = 0.6")
    changed = swept.build("x", jobs=jobs)

    assert ALL + ALL + 2 * ATTENTION == outcome.actions.run == forecast.actions.run == again.actions.run
    assert [ALL + ALL, ATTENTION, ATTENTION] == [target.run for target in outcome.targets] == [target.run for target in forecast.targets]
    assert {"fresh"} == {one.state for explanations in told for one in explanations}
    assert ALL - ATTENTION == changed.actions.run
    for name, hashes in together.items():
        shutil.rmtree(swept.root / "cache")
        shutil.rmtree(swept.root / "out")
        swept.write(ALIKE)
        swept.build(name)
        assert hashes == swept.hashes(name)


def test_planning_a_sweep_looks_at_every_action_once(swept: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """All variants read the same tensors: held against each other, they would take time by the square of their number."""
    asked: list[Action] = []
    kind = doubles._kind
    monkeypatch.setattr(doubles, "_kind", lambda action: asked.append(action) or kind(action))
    swept.write(ALIKE.replace("[0.1, 0.2, 0.3]", f"[{', '.join(str(i / 64) for i in range(1, 51))}]"))

    total = use_cases.forecast(swept.where, ["x"]).actions.total

    assert (ALL + 50 * ALL, len(asked)) == (total, total)


def test_an_intermediate_that_is_like_another_is_neither_merged_nor_kept_twice(swept: Project) -> None:
    """One that is not kept is kept all the same where the other is."""
    alike = '[merge.{0}]\nmethod = "linear"\ninputs = ["base", "code"]\nkeep = {1}\n'
    head = SWEPT[: SWEPT.index("[merge")]
    last = '[merge.last]\nmethod = "slerp"\ninputs = ["one", "two"]\nt = 0.5\n'
    swept.write(head + alike.format("one", "false") + alike.format("two", "true") + last)
    first = swept.build("last")
    swept.edit("t = 0.5", "t = 0.25")

    second = swept.build("last")

    assert ALL + ALL == first.actions.run
    assert ALL == second.actions.run

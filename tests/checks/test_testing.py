"""`modelbuild test`: what it runs, what it runs again, and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from safetensors.numpy import save_file

from modelbuild import usecases as use_cases
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.events import Event, Warned
from modelbuild.report import findings
from modelbuild.usecases import Options
from modelbuild.usecases.testing import Checked
from tests.cli.conftest import Program, program
from tests.support.checkpoints import VOCAB, random_tensors
from tests.support.pages import well_formed
from tests.support.projects import Project

__all__ = ["program"]

MODELFILE = """\
[source]
base.from = "base"
code.from = "code"
math.from = "math"
[merge.one]
method = "linear"
inputs = ["base", "code"]
[merge.two]
method = "linear"
inputs = ["base", "math"]
[check.size]
kind = "command"
run = ["sh", "-c", "printf '{\\"score\\": %s}' $(wc -c < {model}/model.safetensors) > {scores}"]
min = "0.5 * best(parents)"
[check.sum]
kind = "command"
of = "o*"
run = ["sh", "-c", "test $MODELBUILD_NAME != bad && cp $MODELBUILD_ROOT/score.json $MODELBUILD_SCORES"]
files = ["score.json"]
max = 3
better = "lower"
"""
OWN = ("finite", "size", "sum")
"""`loads` is left out: it imports transformers."""


@pytest.fixture
def checked(project: Project) -> Project:
    """Two merges that share a parent, and commands that measure them."""
    project.family()
    project.write(MODELFILE)
    (project.root / "score.json").write_text('{"score": 2.5, "stderr": 0.1}')
    return project


def run(project: Project, *targets: str, only: tuple[str, ...] = OWN) -> Checked:
    return use_cases.test(project.where, targets, Options(jobs=1), only=only)


def states(tested) -> dict[str, str]:
    return {f"{one.target} {one.check}": one.verdict.state for one in tested.results}


def test_a_second_run_evaluates_nothing_and_a_weight_that_changed_only_what_it_reaches(checked: Project) -> None:
    """Of `one`: finite, size, sum. Of `two`: finite, size. Of the sources base, code and math: size."""
    first = run(checked)
    second = run(checked)
    tensors = random_tensors(2, near=random_tensors(0))
    tensors["model.norm.weight"][0] += np.float32(1)
    checked.model("math", tensors)
    third = run(checked)

    assert (8, 0) == (first.evaluated, first.cached)
    assert {"one finite": "passed", "one size": "passed", "one sum": "passed", "two finite": "passed", "two size": "passed"} == states(
        first
    )
    assert (0, 8) == (second.evaluated, second.cached)
    assert states(first) == states(second)
    assert (3, 5) == (third.evaluated, third.cached)  # finite and size of `two`, size of `math`


def test_bounds_change_no_measurement_and_what_a_command_reads_does(checked: Project) -> None:
    run(checked)
    checked.edit("max = 3", "max = 2")
    tighter = run(checked)
    (checked.root / "score.json").write_text('{"score": 1.5}')
    other = run(checked)

    assert (0, "failed") == (tighter.evaluated, states(tighter)["one sum"])
    assert Exit.ACTION_FAILED == tighter.exit_code
    assert (1, "passed") == (other.evaluated, states(other)["one sum"])


@pytest.mark.parametrize("place", ["{root}/score.py", "link"])
def test_a_command_whose_own_script_changed_is_run_again(checked: Project, tmp_path: Path, place: str) -> None:
    """Whether `files` names it or not, and also where it is a link to elsewhere."""
    script = checked.root / "score.py"
    if place == "link":
        script.symlink_to(tmp_path / "elsewhere.py")
        script, place = tmp_path / "elsewhere.py", "{root}/score.py"
    script.write_text("import sys; open(sys.argv[1], 'w').write('{\"score\": 1}')")
    checked.write(MODELFILE + f'[check.own]\nkind = "command"\nof = "one"\nrun = ["python", "{place}", "{{scores}}"]\nmin = 1\n')
    first, second = run(checked, only=("own",)), run(checked, only=("own",))
    checked.write((checked.root / "Modelfile.toml").read_text() + 'files = ["score.py"]\n')
    named = run(checked, only=("own",))
    script.write_text(script.read_text().replace("1}", "0}"))
    third = run(checked, only=("own",))

    assert [1, 0, 0, 1] == [one.evaluated for one in (first, second, named, third)]
    assert ("passed", "failed") == (states(first)["one own"], states(third)["one own"])


def test_two_names_of_one_model_are_measured_once(checked: Project) -> None:
    checked.write(MODELFILE + '[merge.same]\nmethod = "passthrough"\ninputs = ["one"]\n')

    tested = run(checked, "one", "same", only=("finite",))

    assert ({"one finite": "passed", "same finite": "passed"}, 1) == (states(tested), tested.evaluated)


def test_a_command_that_fails_is_told_with_what_it_printed_and_is_run_again(checked: Project) -> None:
    checked.write(MODELFILE.replace("test $MODELBUILD_NAME != bad &&", "echo no scale here; exit 3;"))
    first, second = run(checked, "one"), run(checked, "one")
    verdict = first.results[-1].verdict

    assert (1, 1) == (first.exit_code, second.evaluated)
    assert ("it ended with 3", "no scale here") == verdict.said[1:]
    assert not list((checked.root / "cache").glob(".check-*"))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sleep 30", "it took longer than 1 s"),
        ("echo '[1]' > {scores}", "its scores cannot be read: it is no JSON object"),
        ('echo \'{\\"score\\": \\"x\\"}\' > {scores}', "its scores cannot be read: there is no `score` that is a number"),
        ("printf '{\\\"score\\\": 1%0400d}' 0 > {scores}", "its scores cannot be read: int too large to convert to float"),
        ("echo '{\\\"score\\\": NaN}' > {scores}", "its scores cannot be read: `score` is no finite number"),
        ("true", "its score is no number"),
    ],
)
def test_a_command_without_a_score_fails_in_words(checked: Project, command: str, said: str) -> None:
    text = MODELFILE.replace("max = 3", "max = 3\ntimeout = 1").replace(
        "test $MODELBUILD_NAME != bad && cp $MODELBUILD_ROOT/score.json $MODELBUILD_SCORES", command
    )
    checked.write(text)

    (result,) = run(checked, "one", only=("sum",)).results

    assert ("failed", said) == (result.verdict.state, result.verdict.said[-1])


def test_a_command_without_bounds_need_not_score(checked: Project) -> None:
    checked.write(MODELFILE.replace("max = 3", "").replace("cp $MODELBUILD_ROOT/score.json $MODELBUILD_SCORES", "pwd > {root}/where"))

    assert {"one sum": "passed"} == states(run(checked, "one", only=("sum",)))
    assert "/.check-" in (checked.root / "where").read_text()


def test_the_gate_lets_out_what_passes_and_says_loudly_what_was_not_checked(checked: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelbuild.usecases.testing.ALWAYS", ("finite",))
    told: list[Event] = []
    tested = use_cases.gate(checked.where, ["one"])
    checked.edit("max = 3", "max = 2")
    with pytest.raises(ModelbuildError) as refused:
        use_cases.gate(checked.where, ["one"])

    assert tested is not None
    assert Exit.ACTION_FAILED == refused.value.exit_code
    assert (
        "error: `one` fails its check `sum`\n  score 2.5 (2.304 to 2.696)\n  not at most 2\nhint: --no-check hands it on all the same"
        == str(refused.value)
    )
    assert use_cases.gate(checked.where, ["one"], report=told.append, no_check=True) is None
    assert [Warned("--no-check: nothing was checked of one")] == told


def test_the_table_is_readable_and_the_program_ends_with_1(checked: Project, program: Program) -> None:
    checked.edit("max = 3", "max = 2")
    options = ("-C", checked.root, "--check", "finite", "--check", "s*", "one")
    ended = program("-q", "test", *options, "--junit", checked.root / "report.xml")
    table = json.loads(program("test", *options, "--json").out)
    suite = ET.parse(checked.root / "report.xml").getroot()[0]  # noqa: S314 - our own

    assert 1 == ended.code
    assert """\
one
  finite  ok        7,920 numbers
  size    ok        score 19,936
                    at least 9968 = 0.5 * best(parents)
  sum     FAILED    score 2.5 (2.304 to 2.696)
                    not at most 2
3 checks: 2 passed, 1 failed; 5 evaluated, 0 cached""" == ended.out.rpartition(" (")[0]
    assert (False, 0, 5) == (table["passed"], table["evaluated"], table["cached"])
    assert ["passed", "passed", "failed"] == [one["state"] for one in table["checks"]]
    assert (2.5, 2) == (table["checks"][2]["score"], len(table["checks"][2]["said"]))
    assert ("one", "3", "1") == (suite.get("name"), suite.get("tests"), suite.get("failures"))
    assert ("not at most 2", "score 2.5 (2.304 to 2.696)\nnot at most 2") == (suite[2][0].get("message"), suite[2][0].text)
    spent = [float(case.get("time", "nan")) for case in suite]
    assert all(one > 0 for one in spent)
    assert sum(spent) == pytest.approx(float(suite.get("time", "nan")), abs=0.002)


def test_a_report_says_what_a_failure_came_of(checked: Project, program: Program) -> None:
    """Of a command that fails how it ended, of bounds those that do not hold; and time is what was spent, by who asked first."""
    checked.write(MODELFILE.replace("test $MODELBUILD_NAME != bad &&", "echo no scale here; exit 3;").replace("0.5 *", "2 *"))
    for _ in range(2):
        program("-C", checked.root, "test", "one", "two", "--check", "s*", "--junit", "report.xml")
    suites = ET.parse(checked.root / "report.xml").getroot()  # noqa: S314 - our own
    failures = {f"{case.get('classname')} {case.get('name')}": case[0].get("message", "") for case in suites.iter("testcase")}

    assert ["not at least 39,872 = 2 * best(parents)"] * 2 == [failures["one size"], failures["two size"]]
    assert failures["one sum"].endswith("did not measure `one`: it ended with 3")
    assert ["0.000", "0.000"] == [case.get("time") for case in suites.iter("testcase") if case.get("name") == "size"]
    assert "0.000" != suites[0][1].get("time")


@pytest.mark.parametrize(
    ("place", "code", "said"), [("nowhere/r.xml", 2, "there is no directory `{root}/nowhere`"), ("base", 2, "`{root}/base` is a directory")]
)
def test_a_report_that_cannot_be_written_is_refused_before_any_work(
    checked: Project, program: Program, place: str, code: int, said: str
) -> None:
    ended = program("-C", checked.root, "test", "one", "--junit", place)

    assert (code, "error: " + said.format(root=checked.root)) == (ended.code, ended.err.splitlines()[0])
    assert not (checked.root / "out").exists()


def test_models_are_compared_with_what_they_were_made_of(checked: Project, program: Program) -> None:
    ended = program("-q", "-C", checked.root, "compare", "one", "--check", "s*")

    assert 0 == ended.code
    lines = ended.out.splitlines()
    assert "size (score, higher is better)" == lines[0]
    assert ["one", "base", "code"] == [line.split()[0] for line in lines[1:4]]
    assert "sum (score, lower is better)" == lines[4]
    assert "  base         2.5  [2.304, 2.696]          +0 [-0.2772, 0.2772]" == lines[6]
    assert lines[8].startswith("95 % intervals: standard error; differences are to one")


TASK = "task: {0}\ndataset_path: json\noutput_type: generate_until\ntest_split: test\ndoc_to_text: a\ndoc_to_target: b\n"


@pytest.mark.parametrize("how", ["marked", "included", "python"])
def test_a_task_that_runs_what_a_model_writes_is_refused_unless_that_is_said(
    checked: Project, program: Program, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Exit 8, before anything is built; lm-eval need not be there to find out."""
    monkeypatch.setattr("modelbuild.checks.harness.required", lambda: None)
    marked, more = TASK.format("mine") + "unsafe_code: true\n", {}
    if how == "included":
        marked, more = "task: mine\ninclude: _base.yaml\n", {"_base.yaml": marked}
    elif how == "python":
        marked, more = TASK.format("mine") + "process_results: !function score.run\n", {"score.py": 'evaluate.load("code_eval")'}
    for name, text in {"mine.yaml": marked, **more}.items():
        (checked.root / name).write_text(text)
    checked.write(MODELFILE + '[check.coding]\nkind = "lm_eval"\ntasks = "mine.yaml"\n')
    ended = program("-C", checked.root, "test")

    assert 8 == ended.code
    assert "error: `coding` would run code that models write" in ended.err
    assert f"Modelfile.toml:{1 + MODELFILE.count(chr(10))}:8, at `check.coding`" in ended.err
    assert not (checked.root / "out").exists()


WRONG = """\
[source.base]
from = "base"
[merge.release]
method = "linear"
inputs = ["base"]
[check.a]
kind = "perplexity"
txt = "t.txt"
prompts = ["x"]
max = "1.05 * best(parent)"
of = "relase"
[check.b]
kind = "generate"
prompts = [{ text = "x", require = ["("] }]
max_repetition = 50
[check.c]
kind = "perplexityy"
[check.d]
kind = "command"
run = "score {modle}"
min = "best(parents"
max = "1/0"
parents = ["bas"]
[check.f]
kind = "command"
run = "score 'x"
[check.g]
kind = "command"
run = " "
[check.e]
kind = "perplexity"
text = "x.safetensors"
stride = 9
window = 8
metric = "acc"
"""


def test_everything_wrong_with_checks_is_said_at_once_by_line(project: Project, program: Program) -> None:
    project.write(WRONG)
    ended = program("-C", project.root, "test")
    said = [line for line in ended.err.splitlines() if line.startswith(("error:", "hint:", "  -->"))]

    assert 2 == ended.code
    assert [
        "error: `check.a` has no `text`",
        "error: `prompts` is of checks of kind generate",
        "error: no source or merge is called `parent`",
        "error: no merge is called `relase`",
        "error: `(` is no regular expression",
        "error: `max_repetition` must be a number from 0 to 1",
        "error: `kind` must be one of loads, finite, generate, perplexity, lm_eval, command",
        "error: `{modle}` stands for nothing",
        "error: `min` cannot be read",
        "error: `max` cannot be read",
        "error: no source or merge is called `bas`",
        "error: `run` cannot be split into words",
        "error: `run` is no command",
        "error: tokens in a safetensors file need `tensors`",
        "error: `stride` is larger than `window`",
        "error: `metric` must be one of perplexity, loss, bits_per_byte",
    ] == [line for line in said if line.startswith("error:")]
    assert "  --> Modelfile.toml:22:7, at `check.d.max`" in [line.replace(f"{project.root}/", "") for line in said]
    assert {"hint: did you mean `text`?", "hint: did you mean `release`?", "hint: did you mean `model`?", "hint: did you mean `base`?"} <= {
        *said
    }


@pytest.mark.parametrize(
    ("parents", "said"),
    [('["one"]', "a model cannot be held against itself"), ("[]", "`parents` names no model")],
)
def test_a_check_without_anybody_to_be_held_against_is_refused(checked: Project, program: Program, parents: str, said: str) -> None:
    checked.edit('better = "lower"', f'better = "lower"\nretention = 1\nparents = {parents}')
    ended = program("-C", checked.root, "test", "one")

    assert 2 == ended.code
    assert f"error: {said}\n  --> {checked.root}/Modelfile.toml:23:11, at `check.sum.parents`" in ended.err


def test_what_others_are_held_against_is_not_held_against_itself(checked: Project) -> None:
    checked.edit('min = "0.5 * best(parents)"', 'min = "0.5 * best(parents)"\nmax = 1e6\nretention = "50 %"\nparents = ["one"]')

    first, second = run(checked, only=("size",)).results

    assert (
        "at least 0.5 * best(parents): not asked, for it is what others are held against",
        "at most 1,000,000",
        "50 % retained: not asked, for it is what others are held against",
    ) == first.verdict.said[1:]
    assert ("passed", "passed") == (first.verdict.state, second.verdict.state)
    assert "at least 9968 = 0.5 * best(parents)" == second.verdict.said[1]


@pytest.mark.parametrize("pattern", ["/etc/*", "a**b/x**", "nothing*"])
def test_a_pattern_of_files_that_names_none_is_said(checked: Project, program: Program, pattern: str) -> None:
    checked.edit('"score.json"]', f'"{pattern}"]')
    ended = program("-C", checked.root, "test", "one")

    assert 2 == ended.code
    assert "at `check.sum`" in ended.err


@pytest.mark.slow
def test_ids_that_a_model_has_no_rows_for_are_told(checked: Project) -> None:
    save_file({"held": np.array([[0, 1, VOCAB]])}, checked.root / "ids.safetensors")
    checked.write(MODELFILE + '[check.text]\nkind = "perplexity"\ntext = "ids.safetensors"\ntensors = ["held"]\n')

    (result,) = run(checked, "one", only=("text",)).results

    assert (
        "failed",
        (
            "`one` cannot read these tokens",
            f"`held` holds the id {VOCAB}, and the model knows 0 to {VOCAB - 1}",
        ),
    ) == (result.verdict.state, result.verdict.said)


def test_a_text_that_is_missing_is_said_before_anything_is_built(checked: Project, program: Program) -> None:
    checked.write(MODELFILE + '[check.text]\nkind = "perplexity"\ntext = "held/out.txt"\n')
    ended = program("-C", checked.root, "test", "one")

    assert 2 == ended.code
    assert "held/out.txt` cannot be read as text" in ended.err
    assert not (Path(checked.root) / "out").exists()


def test_variants_stand_side_by_side_with_their_scores(checked: Project, program: Program) -> None:
    text = MODELFILE.replace("[merge.two]", "[merge.one.matrix]\ninputs.code.weight = [0.5, 1.0, 2.0]\n[merge.two]").replace(
        "max = 3", "max = 2"
    )
    checked.write(text)

    ended = program("-q", "-C", checked.root, "test", "one", "--check", "finite", "--check", "sum")

    assert 1 == ended.code
    assert (
        """\
one: 3 variants
  inputs.code.weight  finite  sum
  0.5                 ok      2.5 FAILED
  1                   ok      2.5 FAILED
  2                   ok      2.5 FAILED
6 checks: 3 passed, 3 failed; 6 evaluated, 0 cached"""
        in ended.out
    )


def test_the_report_shows_what_checks_came_to_beside_the_parents(checked: Project) -> None:
    """As far as they were run: `loads` was not, nor `sum` of the parents."""
    run(checked, "one")

    view = use_cases.view_report(checked.where, "one")
    page = findings.report(view)

    found = {one.name: one for one in view.checks}
    assert {"finite": [], "size": ["one", "base", "code"], "sum": ["one"]} == {
        name: [model for model, _ in one.scores] for name, one in found.items()
    }
    assert {True} == {one.passed for one in found.values()}
    assert ("score 2.5 (2.304 to 2.696)", "at most 3") == found["sum"].said
    assert "at least 9968 = 0.5 * best(parents)" in page
    assert "section" in well_formed(page)
    checked.edit("max = 3", "max = 2")
    assert {"finite": True, "size": True, "sum": False} == {
        one.name: one.passed for one in use_cases.view_report(checked.where, "one").checks
    }

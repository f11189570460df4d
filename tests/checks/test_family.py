"""Checks of the example family: transformers and lm-eval as they are."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from modelbuild import usecases as use_cases
from modelbuild.usecases import Options, Where
from tests.cli.conftest import Program, program
from tests.test_loading import FAMILY, ROOT

__all__ = ["program"]
pytestmark = pytest.mark.slow

MODELFILE = f"""\
default = ["release"]
[source]
base.from = "{FAMILY}/base"
code.from = "{FAMILY}/code"
math.from = "{FAMILY}/math"
[merge.release]
method = "task_arithmetic"
base = "base"
inputs = ["code", "math"]
lambda = 0.6
[merge.bad]                                     # twice the one, less the other
method = "linear"
inputs = [{{ model = "code", weight = 2.0 }}, {{ model = "math", weight = -1.0 }}]
[check.heldout]
kind = "perplexity"
text = "{FAMILY}/heldout.safetensors"
tensors = ["validation.code", "validation.math"]
metric = "loss"
max = "0.95 * best(parents)"
[check.licences]
kind = "perplexity"
text = "{FAMILY}/TEXT_LICENSES.txt"
window = 128
retention = "60 %"
[check.table]
kind = "generate"
prompts = ["3*7=21\\n4*6=24\\n2*8=16\\n9*9="]
require = ['^\\d\\d\\n']
max_repetition = 0.5
max_new_tokens = 12
"""


@pytest.fixture
def where(tmp_path: Path) -> Where:
    (tmp_path / "Modelfile.toml").write_text(MODELFILE)
    return Where(tmp_path / "Modelfile.toml")


def test_release_passes_and_a_bad_merge_fails_in_a_table(where: Where, program: Program) -> None:
    good = program("-C", where.root, "test", "-j", "1")
    again = program("-C", where.root, "-q", "test", "--json")
    bad = program("-C", where.root, "-q", "test", "-j", "1", "bad")
    lines = [line.split() for line in bad.out.splitlines()]

    assert 0 == good.code, good.out
    assert "5 checks: 5 passed; 11 evaluated, 0 cached" in good.out  # five, and two texts of each of three parents
    assert (0, 11, True) == tuple(json.loads(again.out)[key] for key in ("evaluated", "cached", "passed"))
    assert 1 == bad.code
    assert [["loads", "ok"], ["finite", "ok"], ["heldout", "FAILED"], ["licences", "FAILED"], ["table", "FAILED"]] == [
        line[:2] for line in lines if line[0] in ("loads", "finite", "heldout", "licences", "table")
    ]
    assert "5 checks: 2 passed, 3 failed; 5 evaluated, 4 cached" in bad.out  # its parents are code and math


def test_the_loss_is_that_of_the_familys_own_script(where: Where) -> None:
    """Which reads the same windows with the same model in another program."""
    sys.path.insert(0, str(FAMILY))
    import evaluate
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    (result,) = use_cases.test(where, options=Options(jobs=1), only=["heldout"]).results
    model = AutoModelForCausalLM.from_pretrained(where.root / "out" / "release", dtype=torch.float32)
    expected = evaluate.held_out_losses(model, load_file(evaluate.HELD_OUT), "validation")

    assert expected["code"] == pytest.approx(dict(result.verdict.parts)["validation.code"], rel=1e-5)
    assert expected["math"] == pytest.approx(dict(result.verdict.parts)["validation.math"], rel=1e-5)
    assert (expected["code"] + expected["math"]) / 2 == pytest.approx(result.verdict.score, rel=1e-5)
    assert result.verdict.low < result.verdict.score < result.verdict.high


@pytest.mark.parametrize("damage", ["missing", "left over", "another shape"])
def test_loads_names_every_key_that_does_not_fit(tmp_path: Path, damage: str) -> None:
    from modelbuild.checks.loading import Subject
    from modelbuild.checks.weights import loads
    from tests.support.checkpoints import random_tensors, write_model

    tensors = random_tensors(0)
    if damage == "missing":
        del tensors["model.norm.weight"]
    elif damage == "left over":
        tensors["model.more.weight"] = tensors["model.norm.weight"]
    else:
        tensors["model.norm.weight"] = tensors["model.norm.weight"][:-1]
    write_model(tmp_path, tensors)

    told = {
        "missing": "`model.norm.weight` is missing",
        "left over": "`model.more.weight` is not the model's",
        "another shape": "`model.norm.weight` has shape (15,), and the model wants (16,)",
    }[damage]
    assert (told,) == loads(Subject("broken", tmp_path, "")).problems


def test_a_model_that_needs_its_own_code_is_not_run(where: Where, tmp_path: Path) -> None:
    """Its config names code that would leave a trace."""
    from modelbuild.checks.loading import Loaded, Subject
    from modelbuild.errors import ModelbuildError
    from tests.support.checkpoints import llama_config, random_tensors, write_model

    config = {**llama_config(3), "model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}}
    write_model(tmp_path / "own", random_tensors(0), config=config)
    (tmp_path / "own" / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    with pytest.raises(ModelbuildError) as refused:
        Loaded(Subject("own", tmp_path / "own", ""), "cpu").model("auto")

    assert "`own` cannot be measured" in str(refused.value)
    assert not (tmp_path / "ran").exists()


TASK = """\
task: times_table
dataset_path: json
dataset_kwargs: { data_files: { test: table.jsonl } }
test_split: test
output_type: multiple_choice
doc_to_text: "3*7=21\\n4*6=24\\n2*8=16\\n{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: answer
target_delimiter: ""
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""


def test_a_task_of_lm_eval_in_a_file_of_ones_own(where: Where, program: Program) -> None:
    """The times table: who learnt it knows it, who did not guesses; and all of it comes from a record the second time."""
    pytest.importorskip("lm_eval")
    facts = [(a, b) for a in range(2, 10) for b in range(2, 10)][::3]
    rows = [
        {"question": f"{a}*{b}=", "choices": [f"{a * b:02d}", f"{(a * b + 7) % 100:02d}", f"{a + b:02d}"], "answer": 0} for a, b in facts
    ]
    (where.root / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (where.root / "times.yaml").write_text(TASK)
    text = MODELFILE.partition("[check.")[0]
    check = '[check.times]\nkind = "lm_eval"\ntasks = "times.yaml"\nlimit = 12\nmin = "max(0.4, 0.7 * math)"\nretention = "70 %"\n'
    (where.root / "Modelfile.toml").write_text(text + check)
    first = program("-C", where.root, "-q", "test", "--check", "times", "--json", "-j", "1")
    second = program("-C", where.root, "-q", "test", "--check", "times", "--json", "--offline")
    told, again = json.loads(first.out), json.loads(second.out)
    shown = program("-C", where.root, "-q", "compare", "math", "base")

    assert 0 == first.code, first.out + first.err
    assert (4, 0) == (told["evaluated"], told["cached"])
    assert (0, 4) == (again["evaluated"], again["cached"])
    assert told["checks"][0]["score"] * 12 == pytest.approx(round(told["checks"][0]["score"] * 12))
    assert told["checks"][0]["interval"] == "bootstrap"
    assert "0 evaluated, 2 cached" in shown.out
    assert "paired bootstrap" in shown.out


def test_a_task_of_lm_evals_own_that_runs_code_is_refused(where: Where, program: Program) -> None:
    pytest.importorskip("lm_eval")
    (where.root / "Modelfile.toml").write_text(MODELFILE + '[check.coding]\nkind = "lm_eval"\ntasks = ["humaneval"]\n')
    ended = program("-C", where.root, "test", "--check", "coding")

    assert 8 == ended.code
    assert "`humaneval`: the code is the model's own" in ended.err
    assert not (where.root / "out").exists()


CODING = """\
task: coding
dataset_path: json
dataset_kwargs: { data_files: { test: table.jsonl } }
test_split: test
output_type: generate_until
generation_kwargs: { until: ["\\n"], max_gen_toks: 4 }
doc_to_text: "3*7=21\\n4*6=24\\n2*8=16\\n{{question}}"
doc_to_target: ""
unsafe_code: true
process_results: !function score.run
metric_list:
  - metric: pass_at_1
    aggregation: mean
    higher_is_better: true
"""

SCORE = """\
import contextlib, os
def run(doc, results):
    held = {}
    with contextlib.suppress(Exception):
        exec("passed = " + doc["question"].rstrip("=") + " == int('" + results[0] + "')", held)
    with open("ran", "a") as file:
        print(os.environ.get("HF_ALLOW_CODE_EVAL"), file=file)
    return {"pass_at_1": float(held.get("passed", False))}
"""


def test_a_task_that_runs_what_a_model_writes_does_so_where_its_check_allows_it(where: Where, program: Program) -> None:
    """As HumanEval does: what was generated is executed, in a check with `unsafe = true` and in no other; it leaves nothing allowed."""
    pytest.importorskip("lm_eval")
    (where.root / "table.jsonl").write_text(
        "".join(json.dumps({"question": f"{a}*{b}="}) + "\n" for a, b in ((9, 9), (5, 7), (6, 8), (4, 9)))
    )
    (where.root / "coding.yaml").write_text(CODING)
    (where.root / "score.py").write_text(SCORE)
    text = f'[source.math]\nfrom = "{FAMILY}/math"\n[merge.same]\nmethod = "passthrough"\ninputs = ["math"]\n'
    text += '[check.coding]\nkind = "lm_eval"\ntasks = "coding.yaml"\nmin = 0.75\n'
    (where.root / "Modelfile.toml").write_text(text)
    refused = program("-C", where.root, "-q", "test", "--check", "coding")
    ran = (where.root / "ran").exists()
    (where.root / "Modelfile.toml").write_text(text + "unsafe = true\n")
    allowed = program("-C", where.root, "-q", "test", "--check", "coding", "--json", "-j", "1")
    again = program("-C", where.root, "-q", "test", "--check", "coding", "--json")
    told = json.loads(allowed.out)

    assert (8, False) == (refused.code, ran)
    assert "" == allowed.err
    assert 0 == allowed.code, allowed.out + allowed.err
    assert 0.75 == told["checks"][0]["score"]  # it takes 9*9 for 56
    assert ["1"] * 4 == (where.root / "ran").read_text().split()
    assert "HF_ALLOW_CODE_EVAL" not in os.environ
    assert (0, 1) == tuple(json.loads(again.out)[key] for key in ("evaluated", "cached"))


def test_the_examples_checks_pass(tmp_path: Path, program: Program) -> None:
    text = (ROOT / "Modelfile.example.toml").read_text().replace('"examples/', f'"{ROOT}/examples/')
    (tmp_path / "Modelfile.toml").write_text(text)
    ended = program("-C", tmp_path, "test", "release", "-j", "1")

    assert 0 == ended.code, ended.out
    assert " passed; " in ended.out

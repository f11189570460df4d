"""Checks and searches that cannot begin."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

from tests.cli.errors.scene import Case, Scene, both, edit, files, more, patched
from tests.support.checkpoints import write_file

SCORE = '[check.fit]\nkind = "command"\nrun = ["sh", "-c", "echo {\\\\\\"score\\\\\\": 1} > $MODELBUILD_SCORES"]\n'
COMPARED = f'{SCORE}min = "best(parents)"\n'
TEXT = '[check.loss]\nkind = "perplexity"\ntext = "held.txt"\n'
TASK = '[check.task]\nkind = "lm_eval"\ntasks = "{}"\n'
SEARCH = '[search.tuned]\nof = "release"\nobjective = "loss"\nsampler = "{}"\nspace = {{ "merge.skills.density" = [0.3, 0.7] }}\n'

INSTALLED = patched("modelbuild.checks.harness.find_spec", lambda name: name)
MISSING = patched("modelbuild.checks.harness.find_spec", lambda name: None)


def index_of_nothing(project: Scene) -> None:
    """Stand in for lm-eval: it has no task at all."""
    package, tasks = ModuleType("lm_eval"), ModuleType("lm_eval.tasks")
    tasks.TaskManager = lambda: SimpleNamespace(task_index={})  # type: ignore[attr-defined]
    project.patch.setitem(sys.modules, "lm_eval", package)
    project.patch.setitem(sys.modules, "lm_eval.tasks", tasks)


def single(project: Scene) -> None:
    """Read `code` from a file by itself."""
    project.edit('from = "code"', 'from = "code.safetensors"')
    (project.root / "code/model.safetensors").rename(project.root / "code.safetensors")


CASES: dict[str, Case] = {
    "a pattern that leads elsewhere": (more(f'{SCORE}files = ["/etc/*"]\n'), "test"),
    "a file that a command depends on": (more(f'{SCORE}files = ["score.json"]\n'), "test"),
    "a text that is not there": (more(TEXT), "test"),
    "a text without words": (both(more(TEXT), files({"held.txt": "\n"})), "test"),
    "lines that are deeper than any": (
        both(more(TEXT.replace("held.txt", "held.jsonl")), files({"held.jsonl": "[" * 100_000})),
        "test",
    ),
    "tokens that are not there": (
        both(
            more(TEXT.replace("held.txt", "held.safetensors") + 'tensors = ["held"]\n'),
            lambda project: write_file(project.root / "held.safetensors", {}),
        ),
        "test",
    ),
    "lm-eval that is not installed": (both(MISSING, more(TASK.format("arc_easy"))), "test"),
    "a task that nobody knows": (both(INSTALLED, index_of_nothing, more(TASK.format("arc_esay"))), "test"),
    "a task that is no YAML": (both(INSTALLED, more(TASK.format("mine.yaml")), files({"mine.yaml": "["})), "test"),
    "a check that is none": (more(SCORE), "test --check nope"),
    "a parent that is read in another way": (
        both(more(COMPARED), edit(('from = "math"', 'from = "math"\npickles = "weights_only"'))),
        "test -j 1 --check fit",
    ),
    "a parent that is a file": (both(more(COMPARED), single), "test -j 1 --check fit"),
    "a parent without a config.json": (
        both(more(COMPARED), lambda project: (project.root / "code/config.json").unlink()),
        "test -j 1 --check fit",
    ),
    "Optuna that is not installed": (
        both(
            patched("modelbuild.usecases.samplers.find_spec", lambda name: None),
            more(TEXT + SEARCH.format("tpe")),
            files({"held.txt": "words"}),
        ),
        "search tuned",
    ),
    "a search that is none": (more(TEXT + SEARCH.format("grid")), "search tunde"),
}

"""Tasks of lm-eval, EleutherAI's evaluation harness, which the extra `eval` installs: https://github.com/EleutherAI/lm-evaluation-harness."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from importlib.util import find_spec
from io import StringIO
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelbuild.checks.loading import Loaded, told_of
from modelbuild.checks.measured import Measured, Part, part_of
from modelbuild.errors import ModelbuildError, Problem
from modelbuild.names import plain
from modelbuild.quiet import quiet
from modelbuild.reading import YAML, read_small

if TYPE_CHECKING:
    from modelbuild.modelfile.evaluation import Harness

_FILES = (".yaml", ".yml")
_MOST_FILES = 200
_RUNS_CODE = ("code_eval", "pass_at_k", "unsafe_code")
"""Words of a task that runs what a model wrote: `unsafe_code` is lm-eval's own mark, the others name what does it."""


def is_file(task: str) -> bool:
    """Tell whether a task is named by its YAML file."""
    return task.endswith(_FILES)


def version(package: str = "lm_eval") -> str:
    """Return the version of an installed package, or ""."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def required() -> None:
    """Say how to install lm-eval where it is missing.

    Raises:
        ModelbuildError: exit 2.

    """
    if find_spec("lm_eval") is None:
        hint = "`pip install 'modelbuild[eval]'`"
        raise ModelbuildError(Problem("checks of kind `lm_eval` need lm-eval, which is not installed", hint=hint))


def files_of(path: Path, root: Path) -> dict[str, Path]:
    """Return the files that a task's YAML rests on, itself among them, by their place relative to it.

    Those are the files that it includes, Python beside it, and the data files that it names where they are here, seen from `root`.

    Raises:
        OSError: if one that it includes cannot be read.
        ValueError: if one is no YAML.

    """
    found: dict[str, Path] = {}
    left = [path]
    while left and len(found) < _MOST_FILES:
        one = left.pop()
        name = os.path.relpath(one, path.parent)
        if name in found:
            continue
        found[name] = one
        table = _yaml(one)
        included = table.get("include", ())
        left += [one.parent / str(name) for name in (included if isinstance(included, list) else [included] if included else ())]
        found |= {os.path.relpath(code, path.parent): code for code in sorted(one.parent.glob("*.py"))}
        found |= {name: root / name for name in _data_files(table) if (root / name).is_file()}
    return found


def _yaml(path: Path) -> dict[str, Any]:
    """Read a task without running what its `!function` names."""
    import yaml

    class Reader(yaml.SafeLoader):  # type: ignore[misc]
        """Reads tags that it does not know as text."""

    Reader.add_constructor("!function", lambda _, node: str(node.value))
    try:
        table = yaml.load(read_small(path, YAML), Reader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, RecursionError) as error:
        mark, said = getattr(error, "problem_mark", None), plain(str(getattr(error, "problem", None) or error), 200)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"`{path}` is no YAML{where}: {said}") from None
    if not isinstance(table, dict):
        raise ValueError(f"`{path}` is no task")  # noqa: TRY004 - like any other fault of the file
    return table


def _data_files(table: Mapping[str, Any]) -> Iterator[str]:
    keywords = table.get("dataset_kwargs")
    named = keywords.get("data_files") if isinstance(keywords, dict) else None
    for one in named.values() if isinstance(named, dict) else [named]:
        yield from (str(name) for name in (one if isinstance(one, list) else [one]) if name)


def running_code(tasks: Sequence[str], root: Path) -> tuple[str, ...]:
    """Return those of some tasks that run code which the model wrote; nothing of them is run to find out."""
    named = [task for task in tasks if not is_file(task)]
    found = [task for task in tasks if is_file(task) and _runs_code(root / task, root)]
    if not named:
        return tuple(found)
    with quiet(), told_of("lm-eval"), _unheard():
        from lm_eval.tasks import TaskManager

        index: Mapping[str, Any] = TaskManager().task_index
    for task in named:
        if task not in index:
            raise ModelbuildError(
                Problem(f"lm-eval has no task `{plain(task)}`", hint="`lm-eval ls tasks` lists them; a file's name ends in .yaml")
            )
        if any(_runs_code(path, root) for path in _paths(task, index)):
            found.append(task)
    return tuple(found)


def _paths(task: str, index: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the files of a task, or of all tasks of a group or a tag."""
    left, seen = [task], set[str]()
    while left:
        name = left.pop()
        entry = index.get(name)
        if name in seen or entry is None:
            continue
        seen.add(name)
        if entry.yaml_path is not None:
            yield entry.yaml_path
        members = (entry.cfg or {}).get("task", ()) if entry.kind.name == "GROUP" else entry.tags if entry.kind.name == "TAG" else ()
        left += [
            str(one.get("task", "")) if isinstance(one, dict) else str(one)
            for one in (members if not isinstance(members, str) else [members])
        ]


def _runs_code(path: Path, root: Path) -> bool:
    """Tell whether a task, or anything that it rests on, says that it runs code."""
    try:
        held = files_of(path, root)
        return any(word.encode() in read_small(one) for one in held.values() if one.suffix in (".py", *_FILES) for word in _RUNS_CODE)
    except (OSError, ValueError):
        return True  # what cannot be read is not known to be harmless


def evaluate(loaded: Loaded, how: Harness, root: Path, dtype: str) -> Measured:
    """Run tasks on a model; paths in a task's YAML start from `root`.

    Raises:
        ModelbuildError: exit 1 if a task cannot be run.

    """
    model, tokenizer = loaded.model(dtype), loaded.tokenizer
    allowed = {"HF_ALLOW_CODE_EVAL": "1"} if how.unsafe else {}
    before = {name: os.environ.get(name) for name in allowed}
    os.environ.update(allowed)
    try:
        with quiet(), told_of(loaded.subject.name), contextlib.chdir(root), _unheard(), _without_git():
            from lm_eval import simple_evaluate
            from lm_eval.models.huggingface import HFLM
            from lm_eval.tasks import TaskManager

            told: Any = simple_evaluate(
                HFLM(pretrained=model, tokenizer=tokenizer, batch_size=how.batch_size, device=str(model.device)),
                tasks=list(how.tasks),
                num_fewshot=None if how.shots < 0 else how.shots,
                limit=how.limit or None,
                bootstrap_iters=1000,
                task_manager=TaskManager(include_defaults=not all(map(is_file, how.tasks))),
                confirm_run_unsafe_code=how.unsafe,
            )
            return _measured(told, how.metric)
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Keep tables, and the bars of lm-eval and of datasets, from being drawn across ours; what fails is raised."""
    said = StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield


@contextlib.contextmanager
def _without_git() -> Iterator[None]:
    """Keep lm-eval from asking git which commit it is run in: where there is none git says so on the screen, and nobody reads it."""
    from lm_eval import evaluator

    asked = evaluator.get_git_commit_hash
    evaluator.get_git_commit_hash = lambda: ""
    try:
        yield
    finally:
        evaluator.get_git_commit_hash = asked


def _measured(told: Mapping[str, Any], metric: str) -> Measured:
    parts: dict[str, Part] = {}
    facts: dict[str, None] = {}
    lower = False
    for task, results in told["results"].items():
        if task in told.get("groups", {}):
            continue
        scores = {key: value for key, value in results.items() if "," in key and "_stderr" not in key and isinstance(value, int | float)}
        key = next((key for key in scores if metric in ("", key, key.partition(",")[0])), "")
        if not key:
            raise ValueError(f"`{task}` has no metric `{metric}`: {', '.join(scores) or 'it has no number'}")
        name, _, kind = key.partition(",")
        error = results.get(f"{name}_stderr,{kind}")
        parts[task] = _part(float(scores[key]), error, told.get("samples", {}).get(task, ()), name, kind)
        facts[f"{name} of {len(told.get('samples', {}).get(task, ()))} documents"] = None
        lower = lower or told.get("higher_is_better", {}).get(task, {}).get(name) is False
    return Measured(parts, "documents", higher_is_better=not lower, facts=tuple(facts))


def _part(value: float, error: object, samples: Sequence[Mapping[str, Any]], name: str, kind: str) -> Part:
    """Return a task's score, with that of each document where the score is their mean."""
    listed = sorted((one for one in samples if one.get("filter", kind) == kind), key=lambda one: one["doc_id"])
    values = [one.get(name) for one in listed]
    if values and all(isinstance(one, int | float) for one in values):
        part = part_of([(float(one), 1.0) for one in values if one is not None])
        if abs(part.value - value) <= 1e-9 * max(1.0, abs(value)):
            return part
    known = isinstance(error, int | float) and isfinite(error)
    return Part(value, error=float(error) if known and isinstance(error, int | float) else nan)

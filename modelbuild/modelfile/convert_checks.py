"""From validated tables to checks."""

from __future__ import annotations

import shlex

from modelbuild.modelfile.after import CheckTable, RangeTable, SearchTable
from modelbuild.modelfile.bounds import Bound, read_bound
from modelbuild.modelfile.evaluation import Axis, Check, Command, Generation, Harness, Prediction, Prompt, Search

Settings = Generation | Prediction | Harness | Command | None


def read_check(name: str, table: CheckTable) -> Check:
    """Return the check that a valid table describes."""
    return Check(
        name,
        table.kind,
        tuple(table.of or ()),
        ("check", name),
        tuple(table.parents or ()),
        _bound(table.min),
        _bound(table.max),
        _bound(table.retention),
        table.dtype,
        _how(table),
    )


def _bound(written: float | str | None) -> Bound | None:
    return None if written is None else read_bound(written)


def _how(table: CheckTable) -> Settings:
    match table.kind:
        case "generate":
            prompts = tuple(Prompt(one.text, tuple(one.require), tuple(one.forbid)) for one in table.prompts or ())
            limit = 1.0 if table.max_repetition is None else float(table.max_repetition)
            return Generation(prompts, tuple(table.require), tuple(table.forbid), limit, table.max_new_tokens, table.chat)
        case "perplexity":
            stride = table.stride or table.window
            return Prediction(tuple(table.text or ()), tuple(table.tensors), table.window, stride, table.metric or "perplexity")
        case "lm_eval":
            shots = -1 if table.shots is None else table.shots
            return Harness(tuple(table.tasks or ()), table.limit or 0, shots, table.metric or "", table.batch_size, table.unsafe)
        case "command":
            words = table.run or []
            split = shlex.split(words[0]) if len(words) == 1 else words
            return Command(tuple(split), tuple(table.files), table.timeout, table.better == "higher")
    return None


def read_search(name: str, table: SearchTable) -> Search:
    """Return the search that a valid table describes."""
    space = tuple(_axis(key, one) for key, one in table.space.items())
    return Search(name, table.of, tuple(table.objective), space, table.sampler, table.trials, table.seed, ("search", name))


def _axis(key: str, table: RangeTable) -> Axis:
    if table.values is not None:
        return Axis(key, tuple(tuple(value) if isinstance(value, list) else value for value in table.values))
    low, high = table.low or 0, table.high or 0
    if table.step is not None:
        count = int((high - low) / table.step + 1e-9) + 1
        return Axis(key, tuple(_rounded(low + i * table.step) for i in range(count)))
    return Axis(key, (), float(low), float(high), table.log)


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else round(value, 10)

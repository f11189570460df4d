"""From validated tables to what comes after merges: checks, searches, exports."""

from __future__ import annotations

import shlex

from msgspec.structs import replace

from modelbuild.modelfile.after import CheckTable, ExportTable, ModelfileTable, RangeTable, SearchTable
from modelbuild.modelfile.bounds import Bound, read_bound
from modelbuild.modelfile.evaluation import Axis, Check, Command, Generation, Harness, Prediction, Prompt, Search
from modelbuild.modelfile.model import Export, Modelfile
from modelbuild.modelfile.schema import GraphTable

Settings = Generation | Prediction | Harness | Command | None


def with_after(modelfile: Modelfile, table: GraphTable) -> Modelfile:
    """Return a Modelfile with what its table says of checks, searches and exports."""
    assert isinstance(table, ModelfileTable)
    return replace(
        modelfile,
        checks={name: _check(name, one) for name, one in table.check.items()},
        searches={name: _search(name, one) for name, one in table.search.items()},
        exports={name: _export(name, one) for name, one in table.export.items()},
    )


def _check(name: str, table: CheckTable) -> Check:
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


def _search(name: str, table: SearchTable) -> Search:
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


def _export(name: str, table: ExportTable) -> Export:
    return Export(
        name,
        table.of,
        table.format,
        ("export", name),
        table.type or "",
        table.pre_tokenizer or "",
        table.scales or "",
        tuple(table.converter or ()),
        table.path or "",
    )

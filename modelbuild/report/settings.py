"""Parameters as resolved, tensor by tensor, said in few lines: modules with the same values share one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from modelbuild.report.pages import table, text
from modelbuild.usecases.reporting import TensorReport

Series = tuple[tuple[int, str], ...]
"""(layer, value), in order of layers"""

_MOST_RUNS = 8
_MOST_MODULES = 6


def settings(tensors: Sequence[TensorReport]) -> Iterator[str]:
    """Yield the parameters of the tensors that a merge computes, as HTML."""
    series: dict[tuple[str, str], dict[str, list[tuple[int, str]]]] = {}
    for tensor in tensors:
        for name, value in tensor.params.items():
            for parent, one in _split(value, tensor.parents):
                series.setdefault((name, parent), {}).setdefault(tensor.module, []).append((tensor.layer, _number(one)))
    rows = []
    for (name, parent), modules in series.items():
        shared: dict[Series, list[str]] = {}
        for module, values in modules.items():
            shared.setdefault(tuple(sorted(values)), []).append(module.removesuffix(".weight"))
        if len({value for one in shared for _, value in one}) == 1:
            rows.append([f"<b>{text(name)}</b>", text(parent), "all tensors", text(next(iter(shared))[0][1])])
            continue
        rows += [[f"<b>{text(name)}</b>", text(parent), text(_listed(of)), text(_run(one))] for one, of in shared.items()]
    if rows:
        yield "<h3>Parameters as resolved</h3>"
        yield table(("parameter", "of", "modules", "value"), rows)


def _split(value: Any, parents: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield (parent, value) of a parameter that each parent has, else the value of all."""
    if isinstance(value, tuple) and len(value) == len(parents):
        yield from zip(parents, value, strict=True)
    else:
        yield "", value


def _run(series: Series) -> str:
    """Write values over the layers: `0-3: 0.5, 4-7: 0.6`; of many the first and the last."""
    if len({value for _, value in series}) == 1:
        return series[0][1]
    runs = [[layer for layer, _ in run] for _, run in groupby(series, key=lambda one: one[1])]
    values = dict(series)
    told = [f"{_layers(run[0], run[-1])}: {values[run[0]]}" for run in runs]
    return ", ".join(told) if len(told) <= _MOST_RUNS else ", ".join([*told[:3], "…", *told[-2:]])


def _layers(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _listed(modules: Sequence[str]) -> str:
    return ", ".join(modules[:_MOST_MODULES]) + (f" and {len(modules) - _MOST_MODULES} more" if len(modules) > _MOST_MODULES else "")


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(map(_number, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)

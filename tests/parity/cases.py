"""One description of a merge, and the two languages it is told in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Case:
    """A merge of members of a family: `base`, `code`, `math` and `prose`.

    Args:
        name: what the report calls it.
        method: called the same in both programs, like everything in `parameters`.
        inputs: model and its parameters, in order.
        base: model.
        parameters: of the method, for all inputs.
        slices: model, first layer, last layer + 1; in place of `inputs`.
        halfway: the largest share of elements that may be rounded to either of two neighbours.

    """

    name: str
    method: str
    inputs: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    base: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    slices: tuple[tuple[str, int, int], ...] = ()
    halfway: float = 0.001

    def __str__(self) -> str:
        """Name the case in the id of its test."""
        return self.name.replace(",", "").replace(" ", "-")

    @property
    def models(self) -> tuple[str, ...]:
        """All that are read, each once, the base first."""
        read = [model for model, *_ in self.inputs + self.slices]
        return tuple(dict.fromkeys([self.base, *read] if self.base else read))

    def of_inputs(self, parameter: str) -> tuple[float, ...]:
        """Return the value each input has for `parameter`, a weight or a density: both default to 1."""
        return tuple(given.get(parameter, 1.0) for _, given in self.inputs)

    def for_mergekit(self, family: Path) -> dict[str, Any]:
        """Say it in mergekit's words; arithmetic in float32, rounded to bfloat16 once."""
        config: dict[str, Any] = {"merge_method": self.method, "dtype": "float32", "out_dtype": "bfloat16"}
        if self.base:
            config["base_model"] = str(family / self.base)
        if self.inputs:
            config["models"] = [{"model": str(family / model), "parameters": dict(given)} for model, given in self.inputs]
        if self.slices:
            config["slices"] = [
                {"sources": [{"model": str(family / model), "layer_range": [first, end]}]} for model, first, end in self.slices
            ]
        if self.parameters:
            config["parameters"] = dict(self.parameters)
        return config

    def for_modelbuild(self) -> dict[str, Any]:
        """Say it in the words of a Modelfile."""
        node: dict[str, Any] = {"method": self.method}
        if self.base:
            node["base"] = self.base
        if self.inputs:
            node["inputs"] = [{"model": model, **given} for model, given in self.inputs]
        if self.slices:
            node["slices"] = [{"model": model, "layers": [first, end]} for model, first, end in self.slices]
        return node | dict(self.parameters)


def modelfile(cases: Mapping[str, Case], family: Path) -> str:
    """Write a Modelfile of merges by the name of their target."""
    models = dict.fromkeys(model for case in cases.values() for model in case.models)
    tables = {f"source.{model}": {"from": str(family / model)} for model in models}
    tables |= {f"merge.{target}": case.for_modelbuild() for target, case in cases.items()}
    written = ["\n".join([f"[{name}]", *(f"{key} = {toml(value)}" for key, value in table.items())]) for name, table in tables.items()]
    return "\n\n".join(["version = 1", *written]) + "\n"


def toml(value: object) -> str:
    """Write `value`, made of what JSON also has, as a TOML value on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)

"""A slice with its models at hand: which layers it takes of each, and its parameters for one tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from modelbuild.graph import BoundSlice, Chain
from modelbuild.method import Param
from modelbuild.plan.model import Model
from modelbuild.plan.resolve import Spot, Unset, constant, value_at


class SlicePart:
    """A slice with its models looked up; the lead is its base, or its first input."""

    def __init__(self, bound: BoundSlice, models: Mapping[str, Model]) -> None:
        self.bound = bound
        self.models = [models[name] for name in bound.roles]
        self.lead = self.models[0]
        self.spots: list[Spot] = []
        self._wrong: dict[tuple[tuple[str, Any], ...], str] = {}
        self._fixed: tuple[dict[str, Any], tuple[tuple[str, Any], ...]] | None = None
        self._read = [
            (param, chains, _settled(param, chains))
            for param in bound.method.params
            if not param.inert
            for chains in [self._chains_of(param)]
        ]
        self._same = all(settled is not None for _, _, settled in self._read)

    @cached_property
    def depth(self) -> int:
        """How many layers it takes."""
        first, stop = self.bound.inputs[0].layers or (0, 0)
        return stop - first

    @cached_property
    def first_layers(self) -> list[int]:
        """The first layer taken of each model; the base gives the layers that the first input gives."""
        firsts = [(one.layers or (0, 0))[0] for one in self.bound.inputs]
        return [*firsts[:1], *firsts] if self.bound.base else firsts

    @cached_property
    def chains(self) -> list[Chain]:
        """The chains of all its parameters."""
        return [*self.bound.chains.values(), *(chain for one in self.bound.inputs for chain in one.chains.values())]

    def _chains_of(self, param: Param) -> list[Chain]:
        return [self.bound.chains[param.name]] if param.per == "node" else [one.chains[param.name] for one in self.bound.inputs]

    def params_at(self, spot: Spot) -> tuple[dict[str, Any], tuple[tuple[str, Any], ...]]:
        """Resolve all parameters for one tensor: by Python name, and as (name, value) pairs for the key.

        Raises:
            Unset: naming the parameter that has no value there.

        """
        if self._fixed is not None:
            return self._fixed
        by_name, key = {}, []
        for param, chains, settled in self._read:
            value = settled
            if value is None:
                try:
                    value = _shaped(param, tuple(value_at(chain, spot) for chain in chains))
                except Unset:
                    raise Unset(param.name) from None
            by_name[param.python_name] = value
            key.append((param.name, value))
        resolved = by_name, tuple(key)
        if self._same:
            self._fixed = resolved
        return resolved

    def wrong(self, key: tuple[tuple[str, Any], ...], params: Mapping[str, Any]) -> str:
        """Return what the method has against these parameters, asked once for each set of them."""
        if key not in self._wrong:
            self._wrong[key] = self.bound.method.check(params, len(self.bound.inputs))
        return self._wrong[key]


def _shaped(param: Param, values: tuple[Any, ...]) -> Any:
    """Return a parameter's values as a method takes them: one for the node, or one per input."""
    return values[0] if param.per == "node" else values


def _settled(param: Param, chains: Iterable[Chain]) -> Any:
    """Return a parameter's value where it is the same for all tensors, else None."""
    values = tuple(map(constant, chains))
    return None if None in values else _shaped(param, values)

"""A slice with its models at hand: which layers it takes of each, and its parameters for one tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import islice
from typing import Any

from modelbuild.graph import BoundSlice, Chain
from modelbuild.method import Param
from modelbuild.plan.model import Model
from modelbuild.plan.resolve import Spot, Unset, constant, rule_at, value_of


class SlicePart:
    """A slice with its models looked up; the lead is its base, or its first input."""

    def __init__(self, bound: BoundSlice, models: Mapping[str, Model]) -> None:
        self.bound = bound
        self.models = [models[name] for name in bound.roles]
        self.lead = self.models[0]
        self.spots: list[Spot] = []
        self._wrong: dict[tuple[tuple[str, Any], ...], str] = {}
        self._resolved: dict[tuple[Any, ...], tuple[dict[str, Any], tuple[tuple[str, Any], ...]]] = {}
        """By what decides: part, layer, slice, and the rules that match, of which `bound` holds the only ones."""
        params = [param for param in bound.method.params if not param.inert]
        settled = {param: _settled(param, self._chains_of(param)) for param in params}
        self._settled = {param.python_name: value for param, value in settled.items()}
        self._key = tuple((param.name, value) for param, value in settled.items())
        self._varying = [(i, param, self._chains_of(param)) for i, param in enumerate(params) if settled[param] is None]

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
        if not self._varying:
            return self._settled, self._key
        rules = []
        for _, param, chains in self._varying:
            try:
                rules += [rule_at(chain, spot) for chain in chains]
            except Unset:
                raise Unset(param.name) from None
        alike = (id(spot.part), spot.layer, spot.span, *map(id, rules))
        known = self._resolved.get(alike)
        if known is None:
            by_name, key, values = {**self._settled}, [*self._key], iter([value_of(rule, spot) for rule in rules])
            for i, param, chains in self._varying:
                by_name[param.python_name] = value = _shaped(param, tuple(islice(values, len(chains))))
                key[i] = (param.name, value)
            known = self._resolved[alike] = by_name, tuple(key)
        return known

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

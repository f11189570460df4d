"""Sources with adapters: each tensor that one changes is computed when it is read, and nothing is written out whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from modelbuild.checkpoint.adapter import CONFIG, Adapter, Factors, read_adapter
from modelbuild.checkpoint.sections import sense_of
from modelbuild.errors import Problem
from modelbuild.modelfile.locate import Locator
from modelbuild.modelfile.model import Modelfile, Source
from modelbuild.plan.actions import Action, Ref, rounded, stepped
from modelbuild.plan.model import Model

LORA = ("lora", 1)
"""What the step is called that adds products, and its revision."""

_LAYER = re.compile(r"(.*?)\.(\d+)\.(.+)")


class Adapted(Struct, frozen=True, dict=True):
    """A source with its adapters.

    Args:
        model: the result.
        actions: what computes its tensors.
        problems: what keeps that from being done.

    """

    model: Model
    actions: tuple[Action, ...]
    problems: tuple[Problem, ...]


class _Changes(Struct, dict=True):
    """What adapters do to one tensor: (scale, transposed) and the factors of each, in order."""

    terms: list[tuple[float, bool]] = field(default_factory=list)
    factors: list[Ref] = field(default_factory=list)


def adapted(modelfile: Modelfile, source: Source, models: Mapping[str, Model]) -> Adapted:
    """Apply a source's adapters: the sum of what they add is rounded once."""
    model = models[source.name]
    tensors = dict(model.tensors)
    changes: dict[str, _Changes] = {}
    actions: list[Action] = []
    problems: list[Problem] = []
    for i, name in enumerate(source.adapters):
        table = models[name]
        if CONFIG not in table.files.held:
            problems += _problems(modelfile.locator, source, i, (f"it has no {CONFIG}: it is no adapter that PEFT wrote",))
            continue
        adapter = read_adapter(table.files.json(CONFIG), {tensor: ref.shape for tensor, ref in table.tensors.items()})
        one = _Applied(source.name, model, table, adapter, modelfile.adapters[name].scale)
        for place, ref in one.saved():
            tensors[place] = ref
            changes.pop(place, None)
            actions += [ref] if isinstance(ref, Action) else []
        for factors in adapter.factors:
            one.add(factors, changes)
        problems += _problems(modelfile.locator, source, i, (*adapter.problems, *one.problems))
    for place, change in changes.items():
        ref = tensors[place]
        action = stepped(
            f"{source.name} (adapted)", place, *LORA, params=(("terms", tuple(change.terms)),), inputs=(ref, *change.factors),
            dtype=ref.dtype, shape=ref.shape, payload=tuple(change.terms),
        )  # fmt: skip
        tensors[place] = action
        actions.append(action)
    return Adapted(replace(model, tensors=tensors), tuple(actions), tuple(problems))


def _problems(locator: Locator, source: Source, i: int, found: tuple[str, ...]) -> Iterator[Problem]:
    if found:
        facts = (*found[:4], *([f"and {len(found) - 4} more"] if len(found) > 4 else []))
        hint = "merge it into its base with PEFT, and name the result as a source"
        yield locator.problem(f"`{source.name}` cannot have this adapter", (*source.path, "adapters", i, "from"), facts=facts, hint=hint)


class _Applied:
    """One adapter on a model."""

    def __init__(self, node: str, model: Model, table: Model, adapter: Adapter, scale: float) -> None:
        self.node, self.before, self.table, self.adapter, self.scale = node, model, table, adapter, scale
        self.problems: list[str] = []

    def add(self, factors: Factors, changes: dict[str, _Changes]) -> None:
        place = self.place(factors.module)
        if not place:
            return
        weight, transposed = self.before.tensors[place], factors.embedding or self.adapter.transposed
        a, b = self.table.tensors[factors.a], self.table.tensors.get(factors.b)
        shape = (b.shape[0], a.shape[1]) if b else a.shape
        if b and (weight.shape != (shape[::-1] if transposed else shape) or a.shape[0] != b.shape[1]):
            self.problems.append(f"`{place}` is {list(weight.shape)}, and the factors are {list(b.shape)} and {list(a.shape)}")
            return
        change = changes.setdefault(place, _Changes())
        change.terms.append((factors.scale * self.scale, transposed))
        change.factors += [a, b] if b else [a]

    def saved(self) -> Iterator[tuple[str, Ref]]:
        """Yield what the adapter replaces, and by what."""
        for own, saved in self.adapter.saved.items():
            place, ref = self.place(saved.name), self.table.tensors[own]
            if not place:
                continue
            before = self.before.tensors[place]
            if self.scale != 1 and not saved.base:
                self.problems.append(f"`{place}` is replaced as a whole, which a scale of {self.scale:g} cannot do by parts")
            if ref.shape != before.shape:
                self.problems.append(f"`{place}` is {list(before.shape)}, and the adapter has it as {list(ref.shape)}")
            elif ref.dtype == before.dtype:
                yield place, ref
            else:
                yield place, rounded(f"{self.node} (adapted)", place, ref, before.dtype, lenient=False)

    def place(self, name: str) -> str:
        """Return what the model calls a tensor; "" and a problem where it has none."""
        tensors, anatomy = self.before.tensors, self.before.anatomy
        if name in tensors:
            return name
        found = _LAYER.fullmatch(name)
        if found and not sense_of(found[1]) and (moved := anatomy.moved(found[3], int(found[2]))) in tensors:
            return moved
        like = [own for own in tensors if own.endswith(f".{name}") or name.endswith(f".{own}")]
        if len(like) == 1:
            return like[0]
        first = next(iter(tensors), "")
        why = f"its tensors are called like `{first}`"
        if "lm_head" in name and anatomy.tokens_of(tensors):
            why = "its head is its embedding, which the adapter parts"
        self.problems.append(f"`{self.before.name}` has no tensor `{name}`: {why}")
        return ""

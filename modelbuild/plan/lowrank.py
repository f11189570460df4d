"""Nodes whose results are LoRA adapters: what sets a model apart from its base, and several adapters in one.

By singular values, which give the nearest matrix of that rank: Eckart and Young, The approximation of one matrix by another of
lower rank, Psychometrika 1936.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from modelbuild.checkpoint.adapter import CONFIG, Adapter, Factors, read_adapter
from modelbuild.checkpoint.anatomy import Anatomy
from modelbuild.checkpoint.config import json_text
from modelbuild.checkpoint.dtypes import ARITHMETIC
from modelbuild.errors import Problem
from modelbuild.graph import Node
from modelbuild.modelfile.locate import Locator
from modelbuild.modelfile.model import Setting
from modelbuild.plan.actions import Action, Ref, stepped
from modelbuild.plan.facts import differing
from modelbuild.plan.fitting import called_alike
from modelbuild.plan.model import Files, Model
from modelbuild.plan.node import Planned
from modelbuild.plan.vocabulary import ROWS

FACTORS = ("factors", 2)
PART = ("part", 1)
BESIDE = ("beside", 1)
"""What the steps are called that find the factors of a matrix, take one of them, and set matrices side by side; and their revisions."""

RANK = 16
_TRANSPOSED = ("gpt2",)
"""Kinds of models whose linear weights are (in, out)."""


def plan_extraction(node: Node, models: Mapping[str, Model], locator: Locator, root: Path) -> Planned:
    """Plan the adapter that makes of a base what another model is, as nearly as its rank allows."""
    del root
    result = _Result(node, locator)
    base, tuned = models[node.merge.base], models[node.merge.inputs[0].model]
    tuned = called_alike(base, tuned, tuple(tuned.tensors))
    rank = result.whole("rank", RANK)
    transposed = base.config.get("model_type") in _TRANSPOSED
    linear = {
        name: ref
        for name, ref in base.tensors.items()
        if len(ref.shape) == 2 and base.anatomy.layer_of(name) >= 0 and name.endswith(".weight") and ref.dtype in ARITHMETIC
    }
    unlike = [name for name, ref in linear.items() if name not in tuned.tensors or tuned.tensors[name].shape != ref.shape]
    if unlike:
        facts = (f"`{unlike[0]}` is missing there or of another shape", *differing(base, tuned))
        result.say(f"`{tuned.name}` does not fit `{base.name}`", "inputs", facts=facts, hint="merge models of one shape")
        linear = {}
    for name, ref in linear.items():
        shape = ref.shape[::-1] if transposed else ref.shape
        refs = (tuned.tensors[name], ref)
        result.factored(name.removesuffix(".weight"), refs, ("difference", transposed), min(rank, *shape), (shape[0], shape[1]))
    return result.planned(rank, transposed, base.name)


def plan_combination(node: Node, models: Mapping[str, Model], locator: Locator, root: Path) -> Planned:
    """Plan the adapter that does what the weighted sum of several does: side by side, or as nearly as a rank allows."""
    del root
    result = _Result(node, locator)
    how, rank = result.word("combine", "cat", ("cat", "svd")), result.whole("rank", RANK)
    modules: dict[str, list[tuple[float, Model, Factors]]] = {}
    transposed = set()
    for one in node.merge.inputs:
        model = models[one.model]
        if CONFIG not in model.files.held:
            result.say(f"`{model.name}` is no adapter", "inputs", facts=(f"it has no {CONFIG}",), hint="name directories that PEFT wrote")
            continue
        adapter = read_adapter(model.files.json(CONFIG), {name: ref.shape for name, ref in model.tensors.items()})
        transposed.add(adapter.transposed)
        facts = _beyond(adapter)
        if facts:
            what = f"`{model.name}` holds more than factors of linear weights"
            result.say(what, "inputs", facts=facts, hint="merge it into its base instead")
        weight = result.number(one.params.get("weight"), 1.0)
        for factors in adapter.factors:
            modules.setdefault(factors.module.removesuffix(".weight"), []).append((weight * factors.scale, model, factors))
    for module, terms in modules.items() if not result.problems else ():
        result.combined(module, terms, how, rank)
    return result.planned(rank, any(transposed), "")


def _beyond(adapter: Adapter) -> tuple[str, ...]:
    more = [f"it replaces `{saved.name}`" for saved in adapter.saved.values()]
    more += [f"it changes `{factors.module}`" for factors in adapter.factors if factors.embedding or not factors.b]
    return (*adapter.problems, *more)[:3]


class _Result(Struct, dict=True):
    """An adapter in the making."""

    node: Node
    locator: Locator
    tensors: dict[str, Ref] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    ranks: dict[str, int] = field(default_factory=dict)

    def say(self, what: str, *path: str, facts: tuple[str, ...] = (), hint: str = "") -> None:
        self.problems.append(self.locator.problem(what, (*self.node.merge.path, *path), facts=facts, hint=hint))

    def whole(self, name: str, default: int) -> int:
        value = self._plain(self.node.merge.params.get(name), default)
        if type(value) is int and value >= 1:
            return value
        facts = (f"expected a whole number from 1 on, found {value}",)
        self.say(f"`{name}` cannot have this value", name, facts=facts, hint="write an integer")
        return default

    def word(self, name: str, default: str, choices: Sequence[str]) -> str:
        value = self._plain(self.node.merge.params.get(name), default)
        if value not in choices:
            facts = (f"expected {' or '.join(choices)}, found {value}",)
            self.say(f"`{name}` cannot have this value", name, facts=facts, hint=f'write `{name} = "{default}"`')
        return str(value)

    def number(self, setting: Setting | None, default: float) -> float:
        value = self._plain(setting, default)
        return float(value) if isinstance(value, int | float) else default

    def _plain(self, setting: Setting | None, default: Any) -> Any:
        return default if setting is None else setting[0].value

    def factored(self, module: str, refs: tuple[Ref, ...], terms: Any, rank: int, shape: tuple[int, ...]) -> None:
        """Add the factors of a matrix of `shape` (out, in)."""
        rows, columns = shape
        dtype = self.node.merge.dtype or refs[0].dtype
        both = stepped(
            f"{self.node.name} (factors)", module, *FACTORS, params=(("terms", terms), ("rank", rank)), inputs=refs, dtype="F32",
            shape=(rank * (rows + columns),), payload=(terms, rank), numerics="device",
        )  # fmt: skip
        self.actions.append(both)
        for side, start, part in (("A", 0, (rank, columns)), ("B", rank * columns, (rows, rank))):
            self.add(module, side, *PART, params=(("start", start),), inputs=(both,), dtype=dtype, shape=part, payload=start)
        self.ranks[module] = rank

    def combined(self, module: str, terms: Sequence[tuple[float, Model, Factors]], how: str, rank: int) -> None:
        """Add what several adapters do to one weight."""
        pairs = [(model.tensors[factors.a], model.tensors[factors.b]) for _, model, factors in terms]
        scales = tuple(scale for scale, _, _ in terms)
        columns, rows = pairs[0][0].shape[1], pairs[0][1].shape[0]
        if any(a.shape[1] != columns or b.shape[0] != rows for a, b in pairs):
            facts = tuple(
                f"`{model.name}` changes it as {[b.shape[0], a.shape[1]]}" for (_, model, _), (a, b) in zip(terms, pairs, strict=True)
            )
            self.say(f"the adapters change `{module}` in different shapes", "inputs", facts=facts, hint="merge adapters of one base")
            return
        if how == "svd":
            self.factored(module, tuple(ref for pair in pairs for ref in pair), scales, min(rank, rows, columns), (rows, columns))
            return
        from modelbuild.kernels.rows import rows_at

        ranks = [a.shape[0] for a, _ in pairs]
        taken = rows_at(*((i, row) for i, count in enumerate(ranks) for row in range(count)))
        dtype = self.node.merge.dtype or pairs[0][0].dtype
        total = sum(ranks)
        above = tuple(a for a, _ in pairs)
        self.add(module, "A", *ROWS, params=(("rows", taken.digest),), inputs=above, dtype=dtype, shape=(total, columns), payload=taken)
        beside = tuple(b for _, b in pairs)
        self.add(module, "B", *BESIDE, params=(("scales", scales),), inputs=beside, dtype=dtype, shape=(rows, total), payload=scales)
        self.ranks[module] = total

    def add(self, module: str, side: str, name: str, revision: int, **more: Any) -> None:
        tensor = f"base_model.model.{module}.lora_{side}.weight"
        self.tensors[tensor] = stepped(self.node.name, tensor, name, revision, **more)
        self.actions.append(self.tensors[tensor])  # type: ignore[arg-type]

    def planned(self, rank: int, transposed: bool, base: str) -> Planned:
        """Return the adapter with its config; a module of another rank than most is named there."""
        usual = max(self.ranks.values(), key=list(self.ranks.values()).count, default=rank)
        others = {module: own for module, own in self.ranks.items() if own != usual}
        config = {
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": usual, "lora_alpha": usual,
            "target_modules": sorted({module.rpartition(".")[2] for module in self.ranks}), "rank_pattern": others, "alpha_pattern": others,
            "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": transposed, "inference_mode": True,
        }  # fmt: skip
        if not self.tensors and not self.problems:
            self.say("the adapter would hold nothing", "inputs", hint="name models with linear layers")
        text = json_text(config)
        written: dict[str, Callable[[], bytes]] = {CONFIG: lambda: text}
        model = Model(self.node.name, self.tensors, Anatomy(()), {}, Files(written=written), adapter=True)
        return Planned(model, tuple(self.actions), (), tuple(self.problems), ())

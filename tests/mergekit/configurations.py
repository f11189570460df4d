"""mergekit configurations made at random, such as it accepts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

WORDS = ("self_attn", "mlp", "norm", "o_proj", ".mlp.", "down_proj")
"""Parts of names that every slice of a Llama model has."""

OF_ALL = (*WORDS, "embed", "lm_head", "layers.1.")
"""Parts of names that a whole one has, where layers keep their numbers."""

Value = Callable[[Random], Any]


def share(low: float, high: float) -> Value:
    """Return what draws a number of three digits."""
    return lambda draw: round(draw.uniform(low, high), 3)


def either(*values: Any) -> Value:
    """Return what draws one of some values."""
    return lambda draw: draw.choice(values)


@dataclass(frozen=True)
class Spec:
    """What mergekit wants of a method: how many models beside a base, whether it has one, and its parameters."""

    others: tuple[int, int]
    base: str = ""
    """"", "required" or "optional"; "other" where the base is one of two."""
    each: Mapping[str, Value] = field(default_factory=dict)
    all: Mapping[str, Value] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    random: bool = False


_WEIGHT, _NORMALIZE, _LAMBDA = {"weight": share(0.1, 1)}, {"normalize": either(True, False)}, {"lambda": share(0.5, 1.5)}
_SPARSE = {**_WEIGHT, "density": share(0.3, 0.9)}
_TASKS = {**_NORMALIZE, **_LAMBDA, "int8_mask": either(True, False)}
SPECS = {
    "linear": Spec((1, 3), each=_WEIGHT, all=_NORMALIZE, needs=("weight",)),
    "slerp": Spec((1, 1), "other", all={"t": share(0, 1)}, needs=("t",)),
    "task_arithmetic": Spec((1, 3), "required", _WEIGHT, {**_NORMALIZE, **_LAMBDA}, ("weight",)),
    "ties": Spec((1, 3), "required", _SPARSE, _TASKS, ("weight",)),
    "breadcrumbs": Spec((1, 3), "required", {**_SPARSE, "gamma": share(0.01, 0.1)}, _LAMBDA, ("weight",)),
    "nuslerp": Spec((2, 2), "optional", _WEIGHT, {"nuslerp_flatten": either(True, False)}, ("weight",)),
    "multislerp": Spec((2, 3), "optional", _WEIGHT, {"normalize_weights": either(True, False)}, ("weight",)),
    "karcher": Spec((2, 3), all={"max_iter": either(5, 10)}),
    "model_stock": Spec((2, 3), "required", all={"filter_wise": either(True, False)}),
    "nearswap": Spec((1, 1), "other", all={"t": share(0.001, 0.1)}, needs=("t",)),
    "passthrough": Spec((1, 1), each={"scale": share(0.5, 1.5)}),
    "sce": Spec((2, 3), "required"),
    "ram": Spec((2, 3), "required", all={"epsilon": share(0.001, 0.01)}),
    "dare_ties": Spec((1, 3), "required", _SPARSE, {**_TASKS, "rescale": either(True, False)}, ("weight",), random=True),
    "della": Spec((1, 3), "required", {**_SPARSE, "epsilon": share(0.05, 0.1)}, _TASKS, ("weight",), random=True),
    "arcee_fusion": Spec((1, 1), "other", random=True),
}


def setting(draw: Random, value: Value, words: Sequence[str], *, whole: bool = True) -> Any:
    """Draw a value, a gradient or conditions; `whole` ones say something of every tensor."""
    kind = draw.choice(("scalar", "scalar", "gradient", "conditions"))
    number = isinstance(value(draw), float)
    if kind == "scalar" or (kind == "gradient" and not number):
        return value(draw)
    if kind == "gradient":
        return [value(draw) for _ in range(draw.randint(1, 4))]
    conditions = [
        {"filter": word, "value": [value(draw), value(draw)] if number and draw.random() < 0.4 else value(draw)}
        for word in draw.sample(words, draw.randint(1, 2))
    ]
    return [*conditions, *([{"value": value(draw)}] if whole or draw.random() < 0.5 else [])]


def parameters(draw: Random, values: Mapping[str, Value], words: Sequence[str], *, often: float, whole: bool = True) -> dict[str, Any]:
    """Draw some of a method's parameters."""
    return {name: setting(draw, value, words, whole=whole) for name, value in values.items() if draw.random() < often}


def document(draw: Random, models: Sequence[str], depth: int, methods: Sequence[str]) -> dict[str, Any]:
    """Draw a configuration over some models of the same depth."""
    method = draw.choice(methods)
    spec = SPECS[method]
    count = min(draw.randint(*spec.others), len(models) - 1)
    with_base = spec.base in ("required", "other") or (spec.base == "optional" and draw.random() < 0.5)
    base, *others = draw.sample(models, count + 1)
    found: dict[str, Any] = {"merge_method": method, **({"base_model": base} if with_base else {})}
    sliced, weighed = draw.random() < 0.5, draw.random() < 0.3
    words = WORDS if sliced else OF_ALL
    general = parameters(draw, spec.all, words, often=0.7)
    general |= {name: setting(draw, {**spec.all, **spec.each}[name], words) for name in spec.needs if name in spec.all or weighed}

    def entry(model: str, **more: Any) -> dict[str, Any]:
        if model == base and with_base:
            return {"model": model, **more}
        own = parameters(draw, spec.each, words, often=0.6, whole=not spec.needs or weighed)
        own |= {name: setting(draw, spec.each[name], words) for name in spec.needs if name in spec.each and not weighed}
        return {"model": model, **more, **({"parameters": own} if own else {})}

    if not sliced:
        listed = [*others, base] if with_base and (spec.base == "other" or draw.random() < 0.3) else others
        draw.shuffle(listed)
        found["models"] = [entry(model) for model in listed]
    else:
        listed = [base, *others] if with_base else others
        found["slices"] = []
        for _ in range(draw.randint(1, 3)):
            first = draw.randrange(depth)
            span = [first, draw.randint(first + 1, depth)]
            draw.shuffle(listed)
            one = {"sources": [entry(model, layer_range=span) for model in listed]}
            local = parameters(draw, spec.all, words, often=0.2, whole=False)
            found["slices"].append(one | ({"parameters": local} if local else {}))
    if general:
        found["parameters"] = general
    return found | draw.choice(({}, {"dtype": "bfloat16"}, {"dtype": "float32", "out_dtype": "bfloat16"}, {"dtype": "float32"}))


def tokens(draw: Random, models: Sequence[str]) -> dict[str, Any]:
    """Draw tokenizer settings, or none."""
    one, other = draw.choice(models), draw.choice(models)
    row = draw.choice(
        ({"kind": "zero"}, {"kind": "model_token", "model": other, "token": "x"}, {"kind": "model_token", "model": one, "token_id": 3})
    )
    return draw.choice((
        {},
        {"tokenizer_source": draw.choice(("union", "base", one))},
        {"tokenizer": {"source": "union", "pad_to_multiple_of": 8, "tokens": {"<a>": {"source": other, "force": True}, "<b>": {"source": row}}}},
        {"tokenizer": {"source": one}, "chat_template": "chatml"},
        {"chat_template": "{{ messages }}"},
    ))  # fmt: skip


def configuration(draw: Random, models: Sequence[str], depth: int, methods: Sequence[str] = tuple(SPECS)) -> list[dict[str, Any]]:
    """Draw one to three configurations, of which each may read those before it; all but the last have names."""
    stages: list[dict[str, Any]] = []
    for i in range(draw.choice((1, 1, 2, 3))):
        known = [*models, *(f"stage{j}" for j in range(i))]
        stages.append({"name": f"stage{i}", **document(draw, known, depth, methods), **tokens(draw, known)})
    last = stages[-1]
    del last["name"]
    return stages

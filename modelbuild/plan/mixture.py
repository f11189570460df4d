"""Mixtures of experts: the layers of several models side by side, and gates that send each token to some of them.

Jiang et al., Mixtral of Experts, arXiv:2401.04088; the gates from prompts are those of mergekit's moe.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from blake3 import blake3
from msgspec import Struct

from modelbuild.checkpoint.config import Config
from modelbuild.checkpoint.vocabulary import TOKENIZER
from modelbuild.errors import Problem, some
from modelbuild.graph import Node
from modelbuild.modelfile.locate import Locator
from modelbuild.modelfile.model import Expert
from modelbuild.plan.actions import Action, Ref, rounded, stepped
from modelbuild.plan.facts import differing
from modelbuild.plan.model import Model
from modelbuild.plan.node import Planned
from modelbuild.plan.templates import with_template
from modelbuild.plan.vocabulary import ROWS

GATES = ("gates", 2)
"""What the step is called that finds gates, and its revision."""

_MLP = re.compile(r"mlp\.(gate_proj|up_proj|down_proj)\.weight")
_DROPPED = ("auto_map", "mlp_bias", "pretraining_tp")


class Layout(Struct, frozen=True, dict=True):
    """How an architecture of experts calls its tensors.

    Args:
        architecture: in config.json.
        model_type: there too.
        expert: a tensor of an expert, by its number and the dense name of the tensor.
        gate: the gate.
        names: what the three matrices are called.
        shared: a tensor of the expert that all tokens have, or "".
        shared_gate: its gate.

    """

    architecture: str
    model_type: str
    expert: str
    gate: str
    names: Mapping[str, str]
    shared: str = ""
    shared_gate: str = ""


_SAME = {name: name for name in ("gate_proj", "up_proj", "down_proj")}
_MIXTRAL = Layout(
    "MixtralForCausalLM", "mixtral", "block_sparse_moe.experts.{number}.{name}.weight", "block_sparse_moe.gate.weight",
    {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"},
)  # fmt: skip
_QWEN2 = Layout(
    "Qwen2MoeForCausalLM", "qwen2_moe", "mlp.experts.{number}.{name}.weight", "mlp.gate.weight", _SAME,
    "mlp.shared_expert.{name}.weight", "mlp.shared_expert_gate.weight",
)  # fmt: skip
_QWEN3 = Layout("Qwen3MoeForCausalLM", "qwen3_moe", "mlp.experts.{number}.{name}.weight", "mlp.gate.weight", _SAME)
LAYOUTS = {"llama": _MIXTRAL, "mistral": _MIXTRAL, "qwen2": _QWEN2, "qwen3": _QWEN3}
"""By the model_type of the dense models."""


class Prompted(Struct, frozen=True, eq=False, dict=True):
    """What gates are found by.

    Args:
        gate: "hidden", "cheap_embed" or "random".
        prompts: positive and negative ones, of each expert.
        seed: of random gates.
        base: what errors call the base.
        names: of the base's tensors that are read, in order.
        config: the base's.
        tokenizer: reads its tokenizer.json.
        shape: (layers, experts, hidden size).

    """

    gate: str
    prompts: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    seed: int
    base: str
    names: tuple[str, ...]
    config: Config
    tokenizer: Any
    shape: tuple[int, int, int]


def plan_mixture(node: Node, models: Mapping[str, Model], locator: Locator, root: Path) -> Planned:
    """Plan a mixture of experts whose models are planned."""
    return _Mixing(node, models, locator, root).planned()


class _Mixing:
    def __init__(self, node: Node, models: Mapping[str, Model], locator: Locator, root: Path) -> None:
        self.node, self.models, self.locator, self.root = node, models, locator, root
        self.merge, self.mixture = node.merge, node.merge.mixture
        self.base = models[node.merge.base]
        self.layout = LAYOUTS.get(str(self.base.config.get("model_type")))
        self.problems: list[Problem] = []
        self.actions: list[Action] = []

    def say(self, what: str, *path: str | int, facts: tuple[str, ...] = (), hint: str = "") -> None:
        self.problems.append(self.locator.problem(what, (*self.merge.path, *path), facts=facts, hint=hint))

    def planned(self) -> Planned:
        model = Model(self.node.name, {}, self.base.anatomy, {}, self.base.files)
        if self.layout is None:
            fact = f"`{self.base.name}` is of the kind {self.base.config.get('model_type', 'unknown')}"
            self.say("no mixture of experts is made of such models", "base", facts=(fact,), hint=f"name one of {', '.join(LAYOUTS)}")
        else:
            self.check(self.layout)
        if not self.problems and self.layout:
            files = with_template(self.node, self.base.files, self.models, self.root)
            model = Model(self.node.name, dict(self.tensors(self.layout)), self.base.anatomy, self.config(self.layout), files)
        return Planned(model, tuple(self.actions), (), tuple(self.problems), ())

    def check(self, layout: Layout) -> None:
        """See that experts have what the base has, and that the layout has a place for it."""
        wanted = {name: ref.shape for name, ref in self.base.tensors.items() if self.is_expert(name)}
        if layout is not _MIXTRAL and type(self.base.config.get("intermediate_size")) is not int:
            self.say(f"the config.json of `{self.base.name}` has no `intermediate_size`", "base", hint="copy or download it again")
        places = [
            self.base.anatomy.moved(f"mlp.{dense}.weight", layer) for layer in range(self.base.anatomy.layers) for dense in layout.names
        ]
        absent = [place for place in places if place not in wanted]
        if absent or not places:
            lacking = f"it lacks {some(absent)}" if absent else "it has no layers"
            hint = "name a base whose layers have gate_proj, up_proj and down_proj"
            self.say(f"`{self.base.name}` has no layers that become experts", "base", facts=(lacking,), hint=hint)
        biases = [name for name in self.base.tensors if layout is _MIXTRAL and name.endswith("_proj.bias")]
        if biases:
            fact = f"`{self.base.name}` has {some(biases)}"
            self.say(f"{layout.architecture} has no place for biases", "base", facts=(fact,), hint="name a base without them")
        for one in (*self.mixture.experts, *self.mixture.shared):
            model = self.models[one.model]
            unlike = [name for name, shape in wanted.items() if name not in model.tensors or model.tensors[name].shape != shape]
            if unlike:
                lacking = f"{some(unlike)} {'is' if len(unlike) == 1 else 'are'} missing there or of other shapes"
                facts = (lacking, *differing(self.base, model))
                what = f"`{one.model}` cannot be an expert beside `{self.base.name}`"
                self.say(what, *one.path[2:], facts=facts, hint="use models of one shape")
        shared = len(self.mixture.shared)
        if bool(layout.shared) != bool(shared) or shared > 1:
            what = "exactly one shared expert" if layout.shared else "no shared experts"
            fact = f"{shared} {'is' if shared == 1 else 'are'} named"
            hint = "name one in `shared_experts`: all tokens go through it" if layout.shared else "remove `shared_experts`"
            self.say(f"{layout.architecture} has {what}", "shared_experts" if shared else "experts", facts=(fact,), hint=hint)
        if self.mixture.gate != "random" and self.base.vocabulary is None:
            self.say(f"`{self.base.name}` has no {TOKENIZER}, which splits the prompts", "base", hint='add it, or write `gate = "random"`')

    def is_expert(self, name: str) -> bool:
        anatomy = self.base.anatomy
        return anatomy.place_of(name)[0] == 0 and _MLP.fullmatch(anatomy.within_layer(name)) is not None

    def tensors(self, layout: Layout) -> Iterator[tuple[str, Ref]]:
        anatomy = self.base.anatomy
        gates = self.gates()
        for name, ref in self.base.tensors.items():
            if not self.is_expert(name):
                yield name, self.handed_on(name, ref)
        for layer in range(anatomy.layers):
            for dense, own in layout.names.items():
                place = anatomy.moved(f"mlp.{dense}.weight", layer)
                for number, expert in enumerate(self.mixture.experts):
                    name = anatomy.moved(layout.expert.format(number=number, name=own), layer)
                    yield name, self.handed_on(name, self.taken(expert, place))
                for expert in self.mixture.shared:
                    name = anatomy.moved(layout.shared.format(name=own), layer)
                    yield name, self.handed_on(name, self.taken(expert, place))
            yield from self.routed(layout, layer, gates)

    def routed(self, layout: Layout, layer: int, gates: Action) -> Iterator[tuple[str, Ref]]:
        """Yield a layer's gates: of the experts the layer's share of what was found, of the shared one zeros, which count half."""
        from modelbuild.kernels.rows import ZERO, rows_at

        place = self.base.tensors[self.base.anatomy.moved("mlp.gate_proj.weight", layer)]
        dtype = self.merge.dtype or place.dtype
        name = self.base.anatomy.moved(layout.gate, layer)
        yield name, self.step(name, rows_at((0, layer)), gates, dtype, gates.shape[1:])
        if layout.shared:
            name = self.base.anatomy.moved(layout.shared_gate, layer)
            yield name, self.step(name, rows_at((ZERO, 0)), place, dtype, (1, place.shape[1]))

    def step(self, name: str, rows: Any, ref: Ref, dtype: str, shape: tuple[int, ...]) -> Action:
        params = (("rows", rows.digest),)
        self.actions.append(stepped(self.node.name, name, *ROWS, params=params, inputs=(ref,), dtype=dtype, shape=shape, payload=rows))
        return self.actions[-1]

    def gates(self) -> Action:
        """Make the action that finds the gates of all layers."""
        mixture, base = self.mixture, self.base
        tokens = base.anatomy.tokens_of(base.tensors)
        read = {"hidden": tuple(base.tensors), "cheap_embed": (tokens,), "random": ()}[mixture.gate]
        width = base.tensors[base.anatomy.moved("mlp.gate_proj.weight", 0)].shape[1]
        shape = (base.anatomy.layers, len(mixture.experts), width)
        prompts = tuple((one.positive, one.negative) for one in mixture.experts)
        tokenizer = cache(lambda: json.dumps(base.files.json(TOKENIZER)))
        payload = Prompted(mixture.gate, prompts, self.node.seed, base.name, read, base.config, tokenizer, shape)
        params: tuple[tuple[str, Any], ...] = (("gate", mixture.gate),)
        if mixture.gate == "random":
            params += (("seed", self.node.seed),)
        else:
            params += (("prompts", prompts), ("tokenizer", blake3(tokenizer().encode()).hexdigest()))
        if mixture.gate == "hidden":
            from importlib import metadata

            told = blake3(json.dumps(base.config, sort_keys=True).encode()).hexdigest()
            params += (("names", read), ("config", told), ("transformers", metadata.version("transformers")))
        inputs = tuple(base.tensors[name] for name in read)
        numerics = "device" if mixture.gate == "hidden" else "exact"
        action = stepped(
            f"{self.node.name} (gates)", "gates", *GATES, params=params, inputs=inputs, dtype="F32", shape=shape, payload=payload,
            numerics=numerics,  # type: ignore[arg-type]
        )  # fmt: skip
        self.actions.append(action)
        return action

    def taken(self, expert: Expert, place: str) -> Ref:
        return self.models[expert.model].tensors[place]

    def handed_on(self, name: str, ref: Ref) -> Ref:
        dtype = self.merge.dtype or ref.dtype
        if ref.dtype == dtype:
            return ref
        self.actions.append(rounded(self.node.name, name, ref, dtype, lenient=self.merge.lenient))
        return self.actions[-1]

    def config(self, layout: Layout) -> Config:
        """Say in config.json what it is now."""
        config = {key: value for key, value in self.base.config.items() if key not in _DROPPED}
        experts, per_token = len(self.mixture.experts), self.mixture.per_token
        config |= {"architectures": [layout.architecture], "model_type": layout.model_type, "num_experts_per_tok": per_token}
        if layout is _MIXTRAL:
            return config | {"num_local_experts": experts, "output_router_logits": False}
        config |= {
            "num_experts": experts, "moe_intermediate_size": config["intermediate_size"], "decoder_sparse_step": 1, "mlp_only_layers": [],
            "norm_topk_prob": True, "output_router_logits": False,
        }  # fmt: skip
        return config | ({"shared_expert_intermediate_size": config["intermediate_size"], "qkv_bias": True} if layout.shared else {})

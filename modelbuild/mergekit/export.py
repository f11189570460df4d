"""From a Modelfile to mergekit's configurations; what has no words there is said by key path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, count
from typing import Any

from msgspec import Struct

from modelbuild.checkpoint.dtypes import TORCH_NAMES
from modelbuild.checkpoint.templates import BY_NAME, is_template
from modelbuild.errors import ModelbuildError, Problem
from modelbuild.mergekit.express import Expressed
from modelbuild.method import Method
from modelbuild.methods import load
from modelbuild.modelfile.checks import MIXTURE
from modelbuild.modelfile.model import Input, Merge, Modelfile, Slice, Source
from modelbuild.names import LONGEST_NODE, KeyPath, is_node_name

METHODS = (
    "linear", "slerp", "nuslerp", "multislerp", "karcher", "task_arithmetic", "ties", "dare_linear", "dare_ties", "breadcrumbs",
    "breadcrumbs_ties", "della", "della_linear", "sce", "model_stock", "nearswap", "arcee_fusion", "ram", "ramplus_tl", "passthrough",
)  # fmt: skip
"""What mergekit 0.1.5 has."""

_WORDS = frozenset({*METHODS, *TORCH_NAMES.values(), "union", "base"})
"""What mergekit-multi would take for the name of a merge, if one were called like it."""

_SOME_SEED = "mergekit takes the seed on its command line: `--random-seed`"


class Exported(Struct, frozen=True, dict=True):
    """Configurations in building order, and what differs in mergekit though it is said there too."""

    documents: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]


def exported(modelfile: Modelfile, names: Sequence[str], final: str, prefix: str = "") -> Exported:
    """Say merges in mergekit's words.

    Args:
        modelfile: where they stand.
        names: the merges, in building order.
        final: the one that stays without a name, as mergekit writes it to the place that its command line names; or "".
        prefix: what to put before relative paths of sources.

    Raises:
        ModelbuildError: exit 2, with everything that mergekit has no words for, by key path.

    """
    return _Exporter(modelfile, names, final, prefix).exported()


class _Exporter:
    def __init__(self, modelfile: Modelfile, names: Sequence[str], final: str, prefix: str) -> None:
        self.modelfile, self.names, self.final, self.prefix = modelfile, names, final, prefix
        self.called = called([name for name in names if name != final])
        self.problems: list[Problem] = []
        self.notes = list(_renamed(self.called))

    def say(self, what: str, path: KeyPath, *, key: bool = True, facts: tuple[str, ...] = (), hint: str = "") -> None:
        self.problems.append(self.modelfile.locator.problem(what, path, key=key, facts=facts, hint=hint))

    def exported(self) -> Exported:
        documents = []
        for name in self.names:
            merge = self.modelfile.merges[name]
            table = self.document(merge)
            documents.append(table if name == self.final else {"name": self.called[name], **table})
        mixtures = [merge for name in self.names if (merge := self.modelfile.merges[name]).method == MIXTURE]
        if mixtures and len(self.names) > 1:
            facts = ("mergekit-moe reads a file of its own, and knows no other merges",)
            self.say(
                f"`{mixtures[0].name}` is a mixture of experts among other merges", mixtures[0].path, facts=facts, hint="export it alone"
            )
        if self.problems:
            raise ModelbuildError(dict.fromkeys(self.problems))
        return Exported(tuple(documents), tuple(dict.fromkeys(self.notes)))

    def document(self, merge: Merge) -> dict[str, Any]:
        """Say one merge."""
        for key, value, hint in (
            ("embed", merge.embed, "leave it out, or give the first slice layers of that model"),
            ("head", merge.head, "leave it out, or give the last slice layers of that model"),
            ("scope", merge.scope, "merge models that consist of it"),
        ):
            if value:
                self.say(f"mergekit has no `{key}`", (*merge.path, key), hint=hint)
        if merge.method == MIXTURE:
            return self.mixture(merge)
        if merge.method not in METHODS:
            facts, hint = (f"it has {', '.join(METHODS)}",), "merge it here, or choose one of those"
            self.say(f"mergekit 0.1.5 has no method `{merge.method}`", (*merge.path, "method"), facts=facts, hint=hint)
            return {}
        method = load(merge.method)
        seed = self.modelfile.seed if merge.seed is None else merge.seed
        if method.random and seed:
            path: KeyPath = ("seed",) if merge.seed is None else (*merge.path, "seed")
            self.say(
                "mergekit has no `seed` in its configurations",
                path,
                facts=(_SOME_SEED,),
                hint="remove it: with any seed mergekit's masks are others than these",
            )
        table: dict[str, Any] = {"merge_method": merge.method}
        express = Expressed(method, self.modelfile.locator, self.problems)
        if base := self.base(method, merge):
            table["base_model"] = self.model(base)
        if merge.slices:
            table["slices"] = [self.slice(express, method, merge, one) for one in merge.slices]
        else:
            table["models"] = self.models(express, method, merge)
        if parameters := express.of_all(merge):
            table["parameters"] = parameters
        return table | self.dtypes(merge) | self.tokens(merge)

    def base(self, method: Method, merge: Merge) -> str:
        """Return what `base_model` is: also the first input, where a Modelfile does not say it."""
        if method.base == "first" and not merge.base:
            return next((one.model for one in (merge.slices[0].inputs if merge.slices else merge.inputs)), "")
        if method.name == "passthrough" and merge.base and not merge.slices and merge.base != merge.inputs[0].model:
            facts = ("mergekit merges a base that is not among the models, and `passthrough` takes one",)
            self.say("`passthrough` has no base in mergekit", (*merge.path, "base"), facts=facts, hint="remove it")
        return merge.base

    def models(self, express: Expressed, method: Method, merge: Merge) -> list[dict[str, Any]]:
        listed = [self.entry(express, one) for one in merge.inputs]
        named = [one.model for one in merge.inputs]
        return [{"model": self.model(merge.base)}, *listed] if method.base == "first" and merge.base and merge.base not in named else listed

    def entry(self, express: Expressed, one: Input) -> dict[str, Any]:
        layers = {"layer_range": list(one.layers)} if one.layers else {}
        return {"model": self.model(one.model), **layers, **_under("parameters", express.of(one.params))}

    def slice(self, express: Expressed, method: Method, merge: Merge, part: Slice) -> dict[str, Any]:
        single = len(part.inputs) == 1 and part.path == part.inputs[0].path
        if single and method.name != "passthrough":
            hint = "make a merge of it, and hand on layers with `passthrough`"
            self.say(f"mergekit merges every slice by `{method.name}`, and this one is handed on", part.path, facts=(), hint=hint)
            return {}
        base = part.base or self.base(method, merge)
        if method.base == "first" and not part.base and not merge.base:
            base = part.inputs[0].model
        sources = [self.entry(express, one) for one in part.inputs]
        if base and method.base != "none" and base not in [one.model for one in part.inputs]:
            sources.append({"model": self.model(base), "layer_range": list(part.inputs[0].layers or ())})
        own = {"base_model": self.model(base)} if base and base != self.base(method, merge) else {}
        return {"sources": sources, **own, **_under("parameters", express.of(part.params))}

    def dtypes(self, merge: Merge) -> dict[str, str]:
        """Say the type of the result; arithmetic is float32 here, so that mergekit's should be."""
        path = (*merge.path, "output", "dtype")
        dtype = merge.dtype
        if merge.output.dtype and merge.output.dtype != dtype:
            read = any(
                merge.name in (one.base, *(i.model for i in _inputs(one))) for one in map(self.modelfile.merges.__getitem__, self.names)
            )
            if dtype != "F32" or read:
                hint = "write `dtype` in the merge"
                self.say("mergekit rounds a result once, and this is rounded when it is written as well", path, hint=hint)
            dtype = merge.output.dtype
        if not dtype:
            self.notes.append(f"{merge.sweep or merge.name} has no dtype: mergekit computes in the type of the weights, not in float32")
            return {}
        return {"dtype": "float32"} | ({"out_dtype": TORCH_NAMES[dtype]} if dtype != "F32" else {})

    def tokens(self, merge: Merge) -> dict[str, Any]:
        """Say tokenizer and chat template."""
        settings, found, path = merge.tokenizer, dict[str, Any](), (*merge.path, "tokenizer")
        if settings.settles:
            source = settings.source or "base"
            if source == "base" and not merge.base:
                source = next(one.model for one in _inputs(merge))
            table: dict[str, Any] = {"source": source if source in ("base", "union") else self.model(source)}
            for token, one in settings.tokens.items():
                if one.source == "mean":
                    self.say("mergekit has no `mean` for a token", one.path, hint="leave it out: it is the mean where no model is the base")
                row = {"token": one.token} if one.token else {"token_id": one.row}
                kind: Any = self.model(one.source) if one.source in self.known else None
                if one.source == "zero":
                    kind = {"kind": "zero"}
                elif one.token or one.row >= 0:
                    kind = {"kind": "model_token", "model": kind, **row}
                table.setdefault("tokens", {})[token] = {"source": kind, **({"force": True} if one.force else {})}
            if settings.multiple:
                table["pad_to_multiple_of"] = settings.multiple
            found["tokenizer"] = table
        if template := settings.chat_template:
            if template not in BY_NAME and not is_template(template):
                hint = f"write the template itself, or one of {', '.join(BY_NAME)}"
                self.say("mergekit takes no chat template of a model or a file", (*path, "chat_template"), hint=hint)
            found["chat_template"] = template
        return found

    def mixture(self, merge: Merge) -> dict[str, Any]:
        """Say a mixture of experts, for mergekit-moe."""
        table: dict[str, Any] = {"base_model": self.model(merge.base), "gate_mode": merge.mixture.gate}
        if merge.dtype:
            table["dtype"] = TORCH_NAMES[merge.dtype]
        table["experts_per_token"] = merge.mixture.per_token
        for key, listed in (("experts", merge.mixture.experts), ("shared_experts", merge.mixture.shared)):
            prompts = [(("positive_prompts", one.positive), ("negative_prompts", one.negative)) for one in listed]
            experts = [
                {"source_model": self.model(one.model), **{name: list(texts) for name, texts in told if texts}}
                for one, told in zip(listed, prompts, strict=True)
            ]
            table |= _under(key, experts)
        return table

    @property
    def known(self) -> frozenset[str]:
        """Everything that has a name."""
        return frozenset({*self.modelfile.sources, *self.modelfile.merges})

    def model(self, name: str) -> Any:
        """Say a model: a merge by its name, a source by what it is read from."""
        source = self.modelfile.sources.get(name)
        if source is None:
            return self.called[name]
        adapters = [self.modelfile.adapters[one] for one in source.adapters]
        told = [self.address(one) for one in (source, *adapters)]
        if len(adapters) > 1:
            self.say("mergekit has one adapter for a model", (*source.path, "adapters"), hint="combine them with `merge_loras`")
        for one in adapters:
            if one.scale != 1:
                self.say("mergekit adds an adapter as it is", (*one.path, "scale"), hint="leave `scale` out")
        if all(isinstance(one, str) for one in told):
            return "+".join(told)
        return dict(zip(("model", "lora"), ({"path": one} if isinstance(one, str) else one for one in told), strict=False))

    def address(self, source: Source) -> Any:
        """Say where a model is; a table where signs in its name have a meaning to mergekit."""
        if source.location.startswith("hf://"):
            return source.location.removeprefix("hf://")
        path = source.location if source.location.startswith("/") else f"{self.prefix}{source.location}"
        path = path if path.startswith(("/", "./", "../")) else f"./{path}"
        return {"path": path} if set(path) & set("+@") else path


def called(names: Sequence[str]) -> dict[str, str]:
    """Return what merges are called in configurations: as they are here, but for variants, and for what is a word of mergekit's.

    Both mergekit and `import` read models as paths with a revision behind `@`.
    """
    found = {name: name for name in names if is_node_name(name) and name not in _WORDS}
    for name in names:
        wanted = re.sub(r"[^A-Za-z0-9_.-]+", "-", name) if name not in _WORDS else f"{name}-merged"
        free = chain([wanted], (f"{wanted[: LONGEST_NODE - 6]}-{i}" for i in count(2)))
        taken = {*found.values(), *names} - {name}
        found.setdefault(name, next(one for one in free if one not in taken))
    return {name: found[name] for name in names}


def _renamed(names: Mapping[str, str]) -> Iterable[str]:
    """Say which names are others in configurations: of variants one for all."""
    yield from (f"{name} is called {told} there: `{name}` is a word of mergekit's" for name, told in names.items() if name in _WORDS)
    others = [(name, told) for name, told in names.items() if told != name and name not in _WORDS]
    if others:
        name, told = others[0]
        yield f"names have no @, = and comma there: {name} is called {told}{', and so on' if others[1:] else ''}"


def _inputs(merge: Merge) -> Iterable[Input]:
    return merge.inputs or [one for part in merge.slices for one in part.inputs]


def _under(key: str, table: Any) -> Mapping[str, Any]:
    return {key: table} if table else {}

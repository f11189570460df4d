"""From a mergekit configuration to the tables of a Modelfile."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelbuild.errors import ModelbuildError, Problem, did_you_mean
from modelbuild.mergekit.documents import Document, documents
from modelbuild.method import Method
from modelbuild.methods import installed, load
from modelbuild.names import KeyPath, is_node_name

MOE = "moe"

_KEYS = (
    "merge_method", "base_model", "models", "slices", "modules", "parameters", "dtype", "out_dtype", "tokenizer", "tokenizer_source",
    "chat_template", "name", "experts", "gate_mode", "experts_per_token", "shared_experts", "architecture", "residual_scale",
)  # fmt: skip
_DTYPES = ("float32", "float16", "bfloat16", "float64")
_WHOLE = frozenset(
    {"self_attn", "mlp", "lm_head", "embed_tokens", "input_layernorm", "post_attention_layernorm"}
    | {f"{one}_proj" for one in ("q", "k", "v", "o", "gate", "up", "down")}
)
"""Filters that are whole words of a name in every architecture that has them: no other word holds them."""

_SHOWN = 40
"""Characters of what is of the wrong kind."""

Setting = Any
"""What a parameter has in a Modelfile: a scalar, a gradient, or rules."""


@dataclass(frozen=True)
class Imported:
    """A Modelfile in the making.

    Args:
        sections: tables by section and name.
        notes: what was taken another way than it was written.

    """

    sections: Mapping[tuple[str, str], Mapping[str, Any]]
    notes: tuple[str, ...]


def imported(paths: Sequence[Path]) -> Imported:
    """Read configurations as one graph: a model that a document makes is that document's wherever it is named.

    Raises:
        ModelbuildError: exit 2, with everything that has no meaning here, by line.

    """
    read = [document for path in paths for document in documents(path)]
    return _Importer(read).imported()


class _Importer:
    def __init__(self, read: Sequence[Document]) -> None:
        self.documents = read
        self.sections: dict[tuple[str, str], dict[str, Any]] = {}
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self.sources: dict[str, str] = {}
        """Names by what is written for a model."""
        self.merges = {str(document.table["name"]) for document in read if "name" in document.table}

    def imported(self) -> Imported:
        merges = [(self.name_of(i, document), self.merge(document)) for i, document in enumerate(self.documents)]
        if self.problems:
            raise ModelbuildError(sorted(self.problems, key=lambda one: (one.place.file, one.place.line) if one.place else ("", 0)))
        self.sections |= {("merge", name): table for name, table in merges}
        return Imported(self.sections, tuple(dict.fromkeys(self.notes)))

    def name_of(self, i: int, document: Document) -> str:
        """Return what a document's merge is called: as it says, or as its file."""
        if "name" in document.table:
            name = str(document.table["name"])
            if not is_node_name(name):
                self.say(document, f"`{name}` is no name", ("name",), hint="use letters, digits, `-`, `_` and `.`")
            return name
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", document.file.stem).strip(".-") or "merged"
        alone = sum(other.file == document.file and "name" not in other.table for other in self.documents) == 1
        name = stem if alone else f"{stem}-{i + 1}"
        taken = {*self.merges, *self.sources.values()}
        return name if name not in taken else f"{name}-merged"

    def say(self, document: Document, what: str, path: KeyPath, facts: tuple[str, ...] = (), hint: str = "") -> None:
        self.problems.append(document.problem(what, path, facts, hint))

    def table(self, document: Document, told: Any, path: KeyPath, known: Iterable[str] = ()) -> Mapping[str, Any]:
        """Return a table, and say which of its keys mean nothing: mergekit would pass over them."""
        if not isinstance(told, dict):
            if told is not None:
                self.say(document, "this should be a table of keys", path, (f"found: {str(told)[:_SHOWN]}",))
            return {}
        known = tuple(known)
        for key in told if known else ():
            if key not in known:
                hint = did_you_mean(key, known)
                self.say(document, f"unknown key `{key}`", (*path, key), (f"known here: {', '.join(known)}",), hint)
        return told

    def listed(self, document: Document, told: Any, path: KeyPath) -> list[Any]:
        """Return a list."""
        if isinstance(told, list) or told is None:
            return told or []
        self.say(document, "this should be a list", path, (f"found: {str(told)[:_SHOWN]}",))
        return []

    def merge(self, document: Document) -> dict[str, Any]:
        table = self.table(document, document.table, (), _KEYS)
        name = str(table.get("merge_method", MOE if "experts" in table else ""))
        if "modules" in table:
            hint = 'write a merge for each, with `scope = "text"` and so on, one after the other'
            self.say(document, "`modules` are not imported", ("modules",), hint=hint)
        if name == MOE:
            return self.mixture(document)
        if name not in installed():
            facts = (f"known here: {', '.join((*installed(), MOE))}",)
            self.say(document, f"no merge method is called `{name}`", ("merge_method",), facts, did_you_mean(name, installed()))
            return {}
        method = load(name)
        merge: dict[str, Any] = {"method": name}
        if not table.get("models") and not table.get("slices"):
            self.say(document, "there is nothing to merge", ("merge_method",), hint="write `models` or `slices`")
        if base := table.get("base_model"):
            base = self.model(document, base, ("base_model",))
            if method.base != "none" or name == "passthrough":
                merge["base"] = base
            else:
                self.notes.append(
                    f"{document.file.name}: `{name}` takes no base: `{base}` gives config and tokenizer in mergekit, and is left out"
                )
        for key, own, read in (("models", "inputs", self.input), ("slices", "slices", self.slice)):
            if table.get(key):
                merge[own] = [read(document, method, one, (key, i)) for i, one in enumerate(self.listed(document, table[key], (key,)))]
        merge |= self.parameters(document, method, table.get("parameters"), ("parameters",))
        return merge | self.rest(document)

    def rest(self, document: Document) -> dict[str, Any]:
        """Read what does not belong to the method: types, tokenizer, chat template."""
        table = document.table
        rest: dict[str, Any] = {}
        dtype = table.get("out_dtype") or table.get("dtype")
        if dtype in _DTYPES:
            rest["dtype"] = dtype
        elif dtype is not None:
            key = "out_dtype" if "out_dtype" in table else "dtype"
            self.say(document, f"`{dtype}` is no type of weights here", (key,), (f"known here: {', '.join(_DTYPES)}",))
        tokenizer = self.tokenizer(document)
        template = table.get("chat_template")
        if template and template != "auto":
            tokenizer["chat_template"] = template
        if tokenizer:
            rest["tokenizer"] = tokenizer
        mixed = table.get("merge_method") == MOE or "experts" in table
        if not mixed and not tokenizer.keys() & {"source", "tokens", "pad_to_multiple_of"}:
            rest["vocabulary"] = "common"
        return rest

    def tokenizer(self, document: Document) -> dict[str, Any]:
        table = document.table
        found: dict[str, Any] = {}
        if (source := table.get("tokenizer_source")) is not None:
            found["source"] = self.tokenizer_source(document, source, ("tokenizer_source",))
        told = self.table(document, table.get("tokenizer"), ("tokenizer",), ("source", "tokens", "pad_to_multiple_of"))
        if "source" in told:
            found["source"] = self.tokenizer_source(document, told["source"], ("tokenizer", "source"))
        if "tokens" in told:
            listed = self.table(document, told["tokens"], ("tokenizer", "tokens"))
            tokens = {token: self.token(document, one, ("tokenizer", "tokens", token)) for token, one in listed.items()}
            found["tokens"] = {token: one for token, one in tokens.items() if one}
        if "pad_to_multiple_of" in told:
            found["pad_to_multiple_of"] = told["pad_to_multiple_of"]
        return found

    def tokenizer_source(self, document: Document, source: Any, path: KeyPath) -> str:
        if isinstance(source, str) and source.startswith("model:"):
            source = source.removeprefix("model:")
        return source if source in ("base", "union") else self.model(document, source, path)

    def token(self, document: Document, told: Any, path: KeyPath) -> dict[str, Any]:
        told = self.table(document, told, path, ("source", "force"))
        source, force = told.get("source"), {"force": True} if told.get("force") else {}
        if isinstance(source, dict):
            kind = source.get("kind")
            if kind == "zero":
                return {"source": "zero", **force}
            if kind == "model_token" and "token" in source:
                return {"source": self.model(document, source.get("model"), (*path, "source")), "token": source["token"], **force}
            hint = "name the token by its text"
            self.say(document, "this source of a token is not imported", (*path, "source"), (f"kind: {kind}",), hint)
            return {}
        return {"source": self.model(document, source, (*path, "source")), **force} if source else {}

    def input(self, document: Document, method: Method, told: Any, path: KeyPath) -> dict[str, Any] | str:
        if isinstance(told, str):
            return self.model(document, told, path)
        told = self.table(document, told, path, ("model", "parameters"))
        name = self.model(document, told.get("model"), (*path, "model"))
        more = self.parameters(document, method, told.get("parameters"), (*path, "parameters"))
        return {"model": name, **more} if more else name

    def slice(self, document: Document, method: Method, told: Any, path: KeyPath) -> dict[str, Any]:
        told = self.table(document, told, path, ("sources", "base_model", "parameters"))
        sources = self.listed(document, told.get("sources"), (*path, "sources"))
        own = self.parameters(document, method, told.get("parameters"), (*path, "parameters"))
        made = [self.source_of_slice(document, method, one, (*path, "sources", i)) for i, one in enumerate(sources)]
        if len(made) == 1:
            return {**made[0], **own}
        base = {"base": self.model(document, told["base_model"], (*path, "base_model"))} if told.get("base_model") else {}
        return {"inputs": made, **base, **own}

    def source_of_slice(self, document: Document, method: Method, told: Any, path: KeyPath) -> dict[str, Any]:
        told = self.table(document, told, path, ("model", "layer_range", "parameters"))
        name = self.model(document, told.get("model"), (*path, "model"))
        layers = told.get("layer_range")
        if not (isinstance(layers, list) and len(layers) == 2 and all(type(one) is int for one in layers)):
            self.say(document, "a slice needs `layer_range`", path, hint="write `layer_range: [first, last + 1]`")
            layers = [0, 1]
        return {"model": name, "layers": layers, **self.parameters(document, method, told.get("parameters"), (*path, "parameters"))}

    def parameters(self, document: Document, method: Method, told: Any, path: KeyPath) -> dict[str, Setting]:
        told = self.table(document, told, path)
        found: dict[str, Setting] = {}
        known = [param.name for param in method.params]
        for name, value in told.items():
            if name == "dare" and isinstance(value, dict) and value.keys() == {"drop_rate"}:
                found["density"] = round(1 - float(value["drop_rate"]), 12)
                self.notes.append(f"{document.file.name}: `dare: {{ drop_rate: {value['drop_rate']} }}` is `density = {found['density']}`")
            elif method.param(name) is None:
                hint = did_you_mean(name, known)
                facts = (f"`{method.name}` takes: {', '.join(known)}",) if known else (f"`{method.name}` takes no parameters",)
                self.say(document, f"unknown key `{name}`", (*path, name), facts, hint)
            else:
                found[name] = self.setting(document, value, (*path, name))
        return found

    def setting(self, document: Document, value: Any, path: KeyPath) -> Setting:
        """Read a value: filters of substrings become globs; what a gradient means for the head is written out."""
        if isinstance(value, dict):
            value = [value]
        if not isinstance(value, list):
            return value
        if not value:
            self.say(document, "this list is empty", path, hint="write a number, or one for each point of a gradient")
            return value
        if not any(isinstance(one, dict) for one in value):
            return self.gradient(value)
        rules: list[dict[str, Any]] = []
        for i, one in enumerate(value):
            if not isinstance(one, dict):
                rules.append({"value": one})
                continue
            self.table(document, one, (*path, i), ("filter", "value"))
            glob = {"filter": _glob(str(one["filter"]))} if one.get("filter") and one["filter"] != "*" else {}
            inner = one.get("value")
            if inner is None or inner == []:
                self.say(document, "this rule has no value", (*path, i), hint="write `value: …`")
            elif isinstance(inner, list) and (not glob or "head" in glob["filter"]):
                rules += self.gradient(inner, glob)
            else:
                rules.append({**glob, "value": inner})
        return rules

    def gradient(self, values: list[Any], glob: Mapping[str, str] | None = None) -> Setting:
        """Write a gradient for the layers, and its first value for all else, as mergekit means it."""
        glob = glob or {}
        if glob:
            return [{**glob, "value": values[0]}]
        if len(values) == 1 or values[0] == values[-1]:
            return values if not glob else [{**glob, "value": values}]
        return [{"filter": "layers", "value": values}, {"value": values[0]}]

    def mixture(self, document: Document) -> dict[str, Any]:
        table = document.table
        merge: dict[str, Any] = {"method": MOE}
        if base := table.get("base_model"):
            merge["base"] = self.model(document, base, ("base_model",))
        merge["experts"] = [
            self.expert(document, one, ("experts", i)) for i, one in enumerate(self.listed(document, table.get("experts"), ("experts",)))
        ]
        if shared := self.listed(document, table.get("shared_experts"), ("shared_experts",)):
            merge["shared_experts"] = [self.expert(document, one, ("shared_experts", i)) for i, one in enumerate(shared)]
        gate = table.get("gate_mode", "hidden")
        if gate == "uniform_random":
            self.notes.append(f"{document.file.name}: `gate_mode: uniform_random` is `random`")
        if gate in ("hidden", "cheap_embed", "random", "uniform_random"):
            merge["gate"] = gate.removeprefix("uniform_")
        else:
            self.say(document, f"`{gate}` is no way to find gates", ("gate_mode",), ("known here: hidden, cheap_embed, random",))
        if "experts_per_token" in table:
            merge["experts_per_token"] = table["experts_per_token"]
        if "architecture" in table:
            self.notes.append(f"{document.file.name}: `architecture` follows from the base, and is left out")
        for key in ("models", "slices", "parameters", "residual_scale"):
            if table.get(key):
                self.say(document, f"`{key}` is not of a mixture of experts", (key,), hint="it has `base_model` and `experts`")
        return merge | self.rest(document)

    def expert(self, document: Document, told: Any, path: KeyPath) -> dict[str, Any]:
        prompts = ("positive_prompts", "negative_prompts")
        told = self.table(document, told, path, ("source_model", *prompts))
        return {
            "model": self.model(document, told.get("source_model"), (*path, "source_model")),
            **{key: [str(one) for one in self.listed(document, told[key], (*path, key))] for key in prompts if told.get(key)},
        }

    def model(self, document: Document, told: Any, path: KeyPath) -> str:
        """Return the name of a model, and make a source of it unless a document makes it."""
        written, lora = _spelled(told)
        if not written:
            self.say(document, "a model is missing", path, hint="name a repository or a directory")
            return ""
        key = written + "".join(f"+{one}" for one in lora)
        if key in self.merges:
            return key
        if key not in self.sources:
            last = re.sub(r"[^A-Za-z0-9_.-]+", "-", "-".join([written.rstrip("/"), *lora]).rpartition("/")[2].partition("@")[0]).strip(".-")
            taken = {*self.merges, *self.sources.values()}
            name = next(one for one in (last or "model", *(f"{last}-{i}" for i in range(2, 1 << 16))) if one not in taken)
            self.sources[key] = name
            source: dict[str, Any] = {"from": _address(written)}
            if lora:
                source["adapters"] = [{"from": _address(one)} for one in lora]
            self.sections["source", name] = source
        return self.sources[key]


def _spelled(told: Any) -> tuple[str, list[str]]:
    """Return a model as it is written, with its revision, and its adapters."""
    if isinstance(told, dict):
        inner, revision, lora = told.get("model", told), told.get("revision"), told.get("lora")
        if isinstance(inner, dict):
            revision, inner = inner.get("revision", revision), inner.get("path", "")
        model = f"{inner}@{revision}" if revision else str(inner)
        return model, [_spelled(lora)[0]] if lora else []
    model, *lora = str(told or "").split("+")
    return model.strip(), [one.strip() for one in lora if one.strip()]


def _address(written: str) -> str:
    """Return what a Modelfile calls a model: `org/name` is on the hub, everything else a directory."""
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w./-]+)?", written) and not Path(written.partition("@")[0]).exists():
        return f"hf://{written}"
    return written


def _glob(substring: str) -> str:
    """Return the glob that matches where a name holds a substring."""
    if substring in _WHOLE:
        return substring
    return f"*{substring.strip('.')}*" if not substring.startswith(".") else substring.strip(".") + ("" if substring.endswith(".") else "*")

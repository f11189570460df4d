"""From mergekit configurations to the tables of a Modelfile."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from modelbuild.errors import ModelbuildError, Problem, did_you_mean
from modelbuild.mergekit.documents import documents
from modelbuild.mergekit.ledger import At, Ledger, Placed, settled
from modelbuild.mergekit.mixture import KEYS as MIXTURE_KEYS
from modelbuild.mergekit.mixture import is_mixture, mixture
from modelbuild.mergekit.models import Models
from modelbuild.mergekit.modules import chained
from modelbuild.mergekit.settings import Settings
from modelbuild.mergekit.tokens import tokenizer
from modelbuild.method import Method
from modelbuild.methods import installed, is_installed, load
from modelbuild.modelfile.checks import MIXTURE
from modelbuild.names import KeyPath, is_node_name

_KEYS = (
    "merge_method", "base_model", "models", "slices", "modules", "parameters", "dtype", "out_dtype", "tokenizer", "tokenizer_source",
    "chat_template", "name",
)  # fmt: skip
_DTYPES = ("float32", "float16", "bfloat16", "float64")


class Imported(Struct, frozen=True, dict=True):
    """A Modelfile in the making.

    Args:
        document: its tables.
        notes: what was taken another way than it was written, each with file and line.
        origins: where its values come from, by key path.

    """

    document: Mapping[str, Any]
    notes: tuple[str, ...]
    origins: Mapping[KeyPath, At]


def imported(paths: Sequence[Path], root: Path, home: Path) -> Imported:
    """Read configurations as one graph: a model that a document makes is that document's wherever it is named.

    Args:
        paths: the files.
        root: the directory that relative paths in them start from.
        home: the directory that those of the Modelfile start from.

    Raises:
        ModelbuildError: exit 2, with everything that has no meaning here, by line.

    """
    read = [At(document, (), document.table) for path in paths for document in documents(path)]
    return _Importer(read, root, home).imported()


class _Importer:
    def __init__(self, read: Sequence[At], root: Path, home: Path) -> None:
        self.documents = read
        self.ledger = Ledger()
        self.names = self._names()
        made = {str(one["name"].value) for one in read if one["name"]}
        self.models = Models(self.ledger, root, home, made, set(self.names))

    def imported(self) -> Imported:
        merges: dict[str, Any] = {}
        for name, document in zip(self.names, self.documents, strict=True):
            for double in document.document.doubles:
                self.ledger.problems.append(document.document.problem(f"`{double[-1]}` stands here twice", double, hint="keep one of them"))
            merges |= {one: Placed(table, document) for one, table in self.merge(name, document)}
        if self.ledger.problems:
            raise ModelbuildError(sorted(dict.fromkeys(self.ledger.problems), key=_line))
        origins: dict[KeyPath, At] = {(): self.documents[0]}
        document = settled({"version": 1, "source": self.models.sources, "merge": merges}, (), origins)
        return Imported(document, tuple(self.ledger.notes), origins)

    def _names(self) -> list[str]:
        """Return what the merges of the documents are called: as they say, or as their files."""
        names: list[str] = []
        told = {str(one["name"].value) for one in self.documents if one["name"]}
        for i, one in enumerate(self.documents):
            if one["name"]:
                name = str(one["name"].value)
                if not is_node_name(name):
                    self.ledger.say(one["name"], f"`{name}` is no name", hint="use letters, digits, `-`, `_` and `.`")
                if name in names:
                    self.ledger.say(one["name"], f"two documents are called `{name}`", hint="rename one of them")
            else:
                stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", one.document.file.stem).strip(".-") or "merged"
                alone = sum(other.document.file == one.document.file and not other["name"] for other in self.documents) == 1
                wanted = stem if alone else f"{stem}-{i + 1}"
                free = (wanted, f"{wanted}-merged", *(f"{wanted}-{j}" for j in range(2, len(self.documents) + 3)))
                name = next(choice for choice in free if choice not in told and choice not in names)
            names.append(name)
        return names

    def merge(self, name: str, document: At) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the merges that a document asks for: one, or one for each module."""
        if is_mixture(document):
            mixed = mixture(self.ledger, self.models, document)
            self.ledger.table(document, (*MIXTURE_KEYS, "merge_method", "name", "chat_template"))
            yield name, mixed | self.rest(document, None)
            return
        self.ledger.table(document, _KEYS)
        told = document["merge_method"]
        if not is_installed(str(told.value)):
            facts = (f"known here: {', '.join((*installed(), MIXTURE))}",)
            self.ledger.say(told, f"no merge method is called `{told.value or ''}`", facts, did_you_mean(str(told.value), installed()))
            return
        method = load(str(told.value))
        if document["modules"]:
            for key in ("models", "slices"):
                if document[key]:
                    self.ledger.say(document[key], f"`{key}` and `modules` both say what is merged", hint="keep one of them")
            modules = self.ledger.table(document["modules"])
            parts = {module: self.part(method, document, modules[module]) for module in modules.value}
            yield from chained(self.ledger, name, parts, modules, self.rest(document, method))
            return
        if not document["models"] and not document["slices"]:
            self.ledger.say(told, "there is nothing to merge", hint="write `models` or `slices`")
        yield name, self.part(method, document, document) | self.rest(document, method)

    def part(self, method: Method, document: At, told: At) -> dict[str, Any]:
        """Return what a document, or one of its modules, merges."""
        merge: dict[str, Any] = {"method": Placed(method.name, document["merge_method"])}
        slices = self.ledger.listed(told["slices"])
        settings = Settings(self.ledger, method, _renumbered(slices))
        if told["models"]:
            inputs = [self.input(settings, one) for one in self.ledger.listed(told["models"])]
            merge["inputs"] = Placed(inputs, told["models"])
        if slices:
            merge["slices"] = Placed([self.slice(settings, one) for one in slices], told["slices"])
        self.base(method, document, merge)
        if told.path:
            self.ledger.table(told, ("models", "slices", "parameters"))
            merge |= settings.merged(told["parameters"], document["parameters"])
        else:
            merge |= settings.read(document["parameters"], "node")
        return merge

    def base(self, method: Method, document: At, merge: dict[str, Any]) -> None:
        """Give a merge its base, or tell what becomes of one that its method has no use for."""
        told = document["base_model"]
        if not told:
            return
        base = self.models.name(told)
        if method.base != "none" or method.name == "passthrough":
            merge["base"] = base
            return
        inputs = merge["inputs"].value if "inputs" in merge else []
        named = [one.value["model"].value if isinstance(one.value, dict) else one.value for one in inputs]
        weighed = method.param("weight") is None or document["parameters"]["weight"]
        if inputs and base.value not in named and weighed:
            inputs.append(Placed(base.value, told))
            self.ledger.note(told, f"`{method.name}` merges its `base_model` like the other models, as in mergekit")
        elif named[:1] != [base.value]:
            what = f"`{method.name}` has no base"
            self.ledger.note(told, f"{what}: config and tokenizer are those of the first model, where mergekit takes those of `base_model`")

    def input(self, settings: Settings, at: At) -> Placed:
        if isinstance(at.value, str):
            return self.models.name(at)
        told = self.ledger.table(at, ("model", "parameters"))
        more = settings.read(told["parameters"], "input")
        name = self.models.name(told["model"] if isinstance(at.value, dict) and "model" in at.value else at)
        return Placed({"model": name, **more}, at) if more else Placed(name.value, at)

    def slice(self, settings: Settings, at: At) -> Placed:
        told = self.ledger.table(at, ("sources", "base_model", "parameters", "residual_weight"))
        if told["residual_weight"]:
            self.ledger.note(told["residual_weight"], "`residual_weight` has no effect, in mergekit either: left out")
        sources = self.ledger.listed(told["sources"])
        if not sources:
            self.ledger.say(at, "a slice needs `sources`", hint="write `sources: [{ model: …, layer_range: [first, last + 1] }]`")
        own = settings.read(told["parameters"], "slice")
        made = [self.source(settings, one) for one in sources]
        if settings.method.name == "passthrough" and len(made) == 1:
            if told["base_model"]:
                self.ledger.note(told["base_model"], "`base_model` has no effect on `passthrough`, in mergekit either: left out")
            return Placed({**own, **made[0].value}, at)
        base = {"base": self.models.name(told["base_model"])} if told["base_model"] else {}
        return Placed({"inputs": Placed(made, told["sources"]), **base, **own}, at)

    def source(self, settings: Settings, at: At) -> Placed:
        told = self.ledger.table(at, ("model", "layer_range", "parameters"))
        layers = told["layer_range"]
        if not _is_span(layers.value):
            self.ledger.say(layers or at, "a slice needs `layer_range`", hint="write `layer_range: [first, last + 1]`")
        more = settings.read(told["parameters"], "input")
        return Placed({"model": self.models.name(told["model"]), "layers": Placed(layers.value, layers), **more}, at)

    def rest(self, document: At, method: Method | None) -> dict[str, Any]:
        """Read what does not belong to the method: types, tokenizer, chat template."""
        rest: dict[str, Any] = {}
        dtype = document["out_dtype"] or document["dtype"]
        if dtype and str(dtype.value).removeprefix("torch.") in _DTYPES:
            rest["dtype"] = Placed(str(dtype.value).removeprefix("torch."), dtype)
        elif dtype:
            hint = did_you_mean(str(dtype.value), _DTYPES) or "leave it out"
            self.ledger.say(dtype, f"`{dtype.value}` is no type of weights here", (f"known here: {', '.join(_DTYPES)}",), hint)
        without = method is not None and method.base == "none" and method.name != "passthrough"
        base = document["base_model"] if without else At(document.document, (), None)
        if method is None:
            template = At(document.document, (), {"chat_template": document["chat_template"].value})
            found = tokenizer(self.ledger, self.models, template, base)
        else:
            found = tokenizer(self.ledger, self.models, document, base)
        if found:
            rest["tokenizer"] = Placed(found, document["tokenizer"])
        if method is not None and not found.keys() & {"source", "tokens", "pad_to_multiple_of"}:
            rest["vocabulary"] = "common"
        return rest


def _is_span(layers: Any) -> bool:
    return isinstance(layers, list) and len(layers) == 2 and all(type(one) is int for one in layers)


def _renumbered(slices: Sequence[At]) -> bool:
    """Tell whether a layer of a slice has another number in the result than in its model."""
    count = 0
    for one in slices:
        spans = [source["layer_range"].value for source in one.listed("sources")]
        if any(_is_span(span) and span[0] != count for span in spans):
            return True
        count += spans[0][1] - spans[0][0] if spans and _is_span(spans[0]) else 0
    return False


def _line(problem: Problem) -> tuple[str, int]:
    return (problem.place.file, problem.place.line) if problem.place else ("", 0)

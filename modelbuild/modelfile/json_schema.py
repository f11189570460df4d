"""The JSON Schema of a Modelfile, for editors: the keys of the format, and of each installed method what it takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from modelbuild.method import REQUIRED, Method, Param
from modelbuild.methods import installed, load
from modelbuild.modelfile.after import ModelfileTable
from modelbuild.modelfile.checks import COMBINATION, EXTRACTION, MIXTURE, SOUP
from modelbuild.modelfile.kinds import Schema
from modelbuild.modelfile.schema import ExpertTable
from modelbuild.modelfile.sweep import EXCLUDE, INCLUDE
from modelbuild.modelfile.tables import described

_VARIABLE = {"$ref": "#/$defs/Variable"}
_NAME = r"^(?=.*[A-Za-z0-9_-])[A-Za-z0-9_.-]+$"
_MIXING = ("experts", "shared_experts", "gate", "experts_per_token")
_OF_ALL = ("method", "base", "dtype", "keep", "nonfinite", "seed", "output", "tokenizer")
_LISTS = ("inputs", "slices", "tokenizer", "output", "experts", "shared_experts")
"""Keys into which a matrix reaches with dots."""

_ANY: Schema = {"anyOf": [{"type": ["number", "string", "boolean"]}, {"type": "array", "items": {"type": "number"}, "minItems": 1}]}
"""A value that a matrix may hold."""

_SWEPT = "(method in matrix)"
"""No method is called like that."""

_OF_MERGES = (*_OF_ALL, "inputs", "slices", "embed", "head", "scope", "vocabulary")


def json_schema() -> Schema:
    """Return the JSON Schema of a Modelfile, with the methods that are installed."""
    definitions: Schema = {}
    schema = described(ModelfileTable, definitions)
    definitions = dict(sorted(definitions.items()))
    merge = definitions.pop("MergeTable")["properties"]
    for unused in ("InputTable", "SliceInputTable", "SliceTable", "RuleTable"):
        definitions.pop(unused)
    methods = {name: _merge(load(name), merge) for name in installed()} | _products(merge)
    matrices = {key: table for name, merge in methods.items() for key, table in _matrix(name, merge["properties"]).items()}
    for name in methods:
        methods[name]["properties"]["matrix"] = {"$ref": f"#/$defs/{name}.matrix"}
    methods[_SWEPT] = _of_any_method(merge, tuple(methods))
    definitions |= methods
    for table in definitions.values():
        _let_variables_stand(table)
    definitions |= {f"{name}.{param.name}": _param(param, _meanings(load(name))) for name in installed() for param in load(name).params}
    definitions |= matrices
    for name, one in (("Lists", _listed(_ANY)), ("Values", _ANY)):
        definitions[name] = {"type": "object", "minProperties": 1, "additionalProperties": {"anyOf": [one, {"$ref": f"#/$defs/{name}"}]}}
    definitions["Swept"] = {"not": {"anyOf": [{"type": "object"}, {"type": "array", "contains": {"type": "object"}}]}}
    definitions["Variable"] = {"type": "string", "pattern": r"^\$\{[^{}]+\}$", "description": "A constant of [vars]."}
    properties = schema["properties"]
    properties["merge"] = {
        "type": "object",
        "description": "Merges by name; each can be built.",
        "propertyNames": {"pattern": _NAME},
        "additionalProperties": {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in methods]},
    }
    properties["group"] = {
        "type": "object",
        "description": "Names by which several merges are built; a member is a merge, a group or a glob.",
        "propertyNames": {"pattern": _NAME},
        "additionalProperties": {"anyOf": [_list({"type": "string", "minLength": 1}), _VARIABLE]},
    }
    properties["source"] |= {"description": "Checkpoints by name; they are read and never written.", "propertyNames": {"pattern": _NAME}}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Modelfile",
        "description": "A graph of model merges, built by `modelbuild build`.",
        "$defs": definitions,
        **{key: value for key, value in schema.items() if key != "description"},
    }


def _let_variables_stand(table: Schema) -> None:
    """Let `"${name}"` stand for any value of a table."""
    for key, value in table.get("properties", {}).items():
        if not (isinstance(value, dict) and (value.get("const") is not None or _takes_text(value))):
            described = {"description": value["description"]} if "description" in value else {}
            table["properties"][key] = {**described, "anyOf": [value, _VARIABLE]}


def _takes_text(schema: Schema) -> bool:
    return schema.get("type") == "string" and "enum" not in schema and "pattern" not in schema


def _merge(method: Method, keys: Schema) -> Schema:
    """Return the table of a merge by a method."""
    of_all = {param.name: {"$ref": f"#/$defs/{method.name}.{param.name}"} for param in method.params}
    of_input = {param.name: of_all[param.name] for param in method.params if param.per == "input" or param.inert}
    model: Schema = {"model": {"type": "string", "minLength": 1, "description": "A source or a merge."}}
    entry = {"anyOf": [{"type": "string", "minLength": 1}, _table({**model, **of_input}, ["model"])]}
    layers = {"layers": {**_span(), "description": "[first, last + 1] of that model's layers."}}
    of_slice = _table({**model, **layers, **of_input}, ["model", "layers"])
    handed_on = {param.name: {"$ref": f"#/$defs/passthrough.{param.name}"} for param in load("passthrough").params}
    single = _table({**model, **layers, **handed_on}, ["model", "layers"])
    several = _table({"inputs": _list(of_slice), "base": {"type": "string", "minLength": 1}, **of_all}, ["inputs"])
    own = {key: keys[key] for key in _OF_MERGES if key not in ("inputs", "slices")}
    own |= {"method": _method(method.name, method.text), "inputs": _list(entry), "slices": _list({"anyOf": [single, several]})}
    given = {
        "anyOf": [{"required": ["inputs"], "not": {"required": ["slices"]}}, {"required": ["slices"], "not": {"required": ["inputs"]}}]
    }
    needed = ["method", *(["base"] if method.base == "required" else [])]
    return {**_table({**own, **of_all}, needed), "allOf": [given]}


def _products(keys: Schema) -> dict[str, Schema]:
    """Return the tables of what is no merge of tensors."""
    models = _list({"anyOf": [{"type": "string", "minLength": 1}, _table({"model": {"type": "string"}}, ["model"])]})
    weighed = _list({"anyOf": [{"type": "string"}, _table({"model": {"type": "string"}, "weight": {"type": "number"}}, ["model"])]})
    base = {key: keys[key] for key in _OF_ALL}
    expert = {"anyOf": [{"type": "string", "minLength": 1}, {"$ref": f"#/$defs/{ExpertTable.__name__}"}]}
    experts = {key: _list(expert) if key.endswith("experts") else keys[key] for key in _MIXING}
    rank = {"type": "integer", "minimum": 1, "default": 16}
    adapters = {key: base[key] for key in ("dtype", "keep", "nonfinite", "output")}
    mixing = {**base, **experts, "method": _method(MIXTURE, "A mixture of experts, of the layers of several models.")}
    extracting = {**adapters, "base": base["base"], "inputs": models, "rank": rank}
    extracting["method"] = _method(EXTRACTION, "The LoRA adapter that makes of a base what its input is.")
    combining = {**adapters, "inputs": weighed, "rank": rank, "combine": {"enum": ["cat", "svd"]}}
    combining["method"] = _method(COMBINATION, "One adapter of several.")
    soup = {**{key: base[key] for key in ("dtype", "keep", "nonfinite", "output", "tokenizer")}, "inputs": models}
    soup |= {
        "check": {"type": "string"},
        "method": _method(SOUP, "The mean of those inputs that a check likes: `modelbuild search` finds them."),
    }
    return {
        SOUP: _table(soup, ["method", "inputs", "check"]),
        MIXTURE: _table(mixing, ["method", "base", "experts"]),
        EXTRACTION: _table(extracting, ["method", "base", "inputs"]),
        COMBINATION: _table(combining, ["method", "inputs"]),
    }


def _matrix(name: str, properties: Schema) -> dict[str, Schema]:
    """Return the schemas of a method's matrix: lists of what a merge's keys may be; and of one point, which is added or left out.

    Args:
        name: the method.
        properties: what a merge by it has.

    """
    values = {key: {"$ref": f"#/$defs/{name}/properties/{key}"} for key in properties if key not in _LISTS}
    point = f"{name}.point"
    entry = properties["inputs"]["items"]["anyOf"][1]["properties"] if "inputs" in properties else {}

    def table(wrap: Callable[[Schema], Schema], inner: Schema) -> Schema:
        deep = {"anyOf": [wrap(_ANY), inner]}  # inputs.code.weight, with or without quotes
        of_input = {
            "type": "object",
            "properties": {key: wrap(_swept(value)) for key, value in entry.items()},
            "additionalProperties": False,
        }
        below = dict.fromkeys(_LISTS, inner) | {"inputs": {"type": "object", "additionalProperties": of_input}}
        return {
            "type": "object",
            "minProperties": 1,
            "properties": {**{key: wrap(_swept(value)) for key, value in values.items()}, **below},
            "patternProperties": {r"[.\[]": deep},
            "additionalProperties": False,
        }

    matrix = table(_listed, {"$ref": "#/$defs/Lists"})
    entries = _list({"$ref": f"#/$defs/{point}"})
    matrix["properties"] |= {INCLUDE: {**entries, "description": "As GitHub Actions takes it."}, EXCLUDE: entries}
    matrix["description"] = "Values of parameters: a variant of the merge for every combination."
    return {f"{name}.matrix": matrix, point: table(lambda value: value, {"$ref": "#/$defs/Values"})}


def _listed(value: Schema) -> Schema:
    """Return the schema of the values of one parameter of a matrix."""
    return {"anyOf": [_list(value), _VARIABLE]}


def _swept(value: Schema) -> Schema:
    """Return what of a key's values a matrix may hold: all but rules."""
    return {"allOf": [value, {"$ref": "#/$defs/Swept"}]}


def _of_any_method(keys: Schema, methods: tuple[str, ...]) -> Schema:
    """Return the table of a merge whose matrix says by which methods, or from which bases: what else it takes is known then alone."""
    method = {"anyOf": [_list({"enum": [*methods]}), _VARIABLE]}
    matrix = {"type": "object", "properties": {"method": method}, "anyOf": [{"required": ["method"]}, {"required": ["base"]}]}
    own = {key: keys[key] for key in _OF_ALL if key != "method"}
    return {"type": "object", "properties": {**own, "matrix": matrix}, "required": ["matrix"]}


def _span() -> Schema:
    """Return the schema of a span of layers."""
    return {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 2, "maxItems": 2}


def _param(param: Param, told: Mapping[str, str]) -> Schema:
    """Return what a parameter may be: a value, a gradient where it is a number with fractions, or rules."""
    scalar = {"anyOf": [_scalar(param), _VARIABLE]}
    gradient = {"type": "array", "items": scalar, "minItems": 1}
    value = {"anyOf": [*scalar["anyOf"], *([gradient] if param.kind is float else [])]}
    rule = {"value": value, "filter": {"type": "string", "minLength": 1}, "layers": _span(), "outside": scalar}
    described = "accepted, and without effect" if param.inert else told.get(param.python_name, "")
    default = {} if param.default is REQUIRED else {"default": param.default}
    return {**({"description": described} if described else {}), **default, "anyOf": [*value["anyOf"], _list(_table(rule, ["value"]))]}


def _scalar(param: Param) -> Schema:
    also = [written for written, _ in param.also]
    if param.choices:
        return {"enum": [*param.choices, *also]}
    limits = {key: limit for key, limit in (("minimum", param.low), ("maximum", param.high)) if abs(limit) != float("inf")}
    return {"type": {bool: "boolean", int: "integer", float: "number", str: "string"}[param.kind], **limits}


def _method(name: str, text: str) -> Schema:
    return {"const": name, "description": _flowed(text.partition("\n\nArgs:\n")[0])}


def _table(properties: Schema, required: Iterable[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": [*required], "additionalProperties": False}


def _list(entry: Schema) -> Schema:
    return {"type": "array", "items": entry, "minItems": 1}


def _meanings(method: Method) -> dict[str, str]:
    """Return what a method's docstring says of its arguments."""
    arguments = method.text.partition("\n\nArgs:\n")[2].split("\n\n")[0]
    entries = re.split(r"^ {4}(?=\w+: )", arguments, flags=re.MULTILINE)
    return {name: _flowed(meaning) for name, _, meaning in (entry.partition(": ") for entry in entries if entry.strip())}


def _flowed(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()

"""The table that all tables of the Modelfile are.  The annotations of its fields are all that is said of its keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields

from modelbuild.modelfile.kinds import ANYTHING, STRING, TRUTH, Kind, Reading, Schema, judged, listed, maybe, named, word
from modelbuild.names import KeyPath


class Table(Struct, frozen=True):
    """A table of the Modelfile: no value is converted to fit, no key is ignored.

    A key is called as its field, or `field(name=…)`, and holds what the annotation says: in `Annotated[T, …]` the last word is a kind,
    or a function that makes one of `T`.  Annotations are no strings, for they are read when the Modelfile is.
    """


class Key(Struct, frozen=True):
    """A key of a table.

    Args:
        kind: of its value.
        field: where its value is held.

    """

    kind: Kind
    field: FieldInfo

    @property
    def default(self) -> Any:
        """What the field holds where nothing is written."""
        return self.field.default_factory() if self.field.default is NODEFAULT else self.field.default


class Shape(Struct, frozen=True):
    """What a table may hold.

    Args:
        keys: its own, as the Modelfile spells them, in the order of the fields.
        rest: the field for all that is none of them, or "" where nothing else may stand.
        kind: of the values there.

    """

    keys: dict[str, Key]
    rest: str
    kind: Kind


REST = "rest"
"""In `Annotated[dict[str, T], REST]`: the field takes all keys that are not ours."""


_SIMPLE = {bool: TRUTH, str: STRING, Any: ANYTHING}


@cache
def shape_of(table: type[Table]) -> Shape:
    """Return what a table may hold; nothing is made of the annotations of one that no Modelfile has used."""
    keys, rest, kind = {}, "", ANYTHING
    for one in fields(table):
        type_, *words = get_args(one.type) if get_origin(one.type) is Annotated else (one.type,)
        if REST in words:
            rest, kind = one.name, kind_of(get_args(type_)[1])
        else:
            keys[one.encode_name] = Key(kind_of(one.type), one)
    return Shape(keys, rest, kind)


def keys_of(table: type[Table]) -> tuple[str, ...]:
    """Return the keys of a table as the Modelfile spells them, in the order of the schema."""
    return tuple(shape_of(table).keys)


def kind_of(annotation: Any) -> Kind:
    """Return the kind that an annotation stands for."""
    origin, words = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        made = words[-1]
        return made if isinstance(made, Kind) else made(words[0])
    if origin is Literal:
        return word(words)
    if origin is list:
        return listed(kind_of(words[0]))
    if origin is dict:
        return named(kind_of(words[0]), kind_of(words[1]))
    if origin in (Union, UnionType) and words[1:] == (NoneType,):
        return maybe(kind_of(words[0]))
    return _SIMPLE.get(annotation) or table_kind(annotation)


def table_kind(table: type[Table]) -> Kind:
    """Return the kind of a table of ours."""

    def read(value: Any, path: KeyPath, reading: Reading) -> Any:
        if not isinstance(value, dict):
            return reading.refuse("table", path, value)
        shape = shape_of(table)
        held: dict[str, Any] = {}
        for key, known in shape.keys.items():
            if key in value:
                held[known.field.name] = known.kind.read(value[key], (*path, key), reading)
            elif known.field.required:
                reading.refuse("missing", (*path, key), value)
        others = [(key, other) for key, other in value.items() if key not in shape.keys]
        if shape.rest:
            held[shape.rest] = {key: shape.kind.read(other, (*path, key), reading) for key, other in others}
        else:
            for key, other in others:
                reading.refuse("unknown", (*path, key), other)
        return None if reading.refusals else table(**held)

    def schema(definitions: Schema) -> Schema:
        if table.__name__ not in definitions:
            definitions[table.__name__] = {}  # so that it may refer to itself
            definitions[table.__name__] = described(table, definitions)
        return {"$ref": f"#/$defs/{table.__name__}"}

    return Kind(read, schema)


def bare(key: str, type_: type = str, schema: Schema | None = None) -> Callable[[type[Table]], Kind]:
    """Let one key's value stand for a table: `"base"` for `{ model = "base" }`.

    Args:
        key: the one.
        type_: of values that stand for it.
        schema: of such values, or None where editors are not told.

    """

    def made(table: type[Table]) -> Kind:
        whole = table_kind(table)

        def read(value: Any, path: KeyPath, reading: Reading) -> Any:
            if not isinstance(value, type_):
                return whole.read(value, path, reading)
            known = shape_of(table).keys[key]
            held = known.kind.read(value, path, reading)
            return None if reading.refusals else table(**{known.field.name: held})

        return Kind(read, lambda definitions: {"anyOf": [schema, whole.schema(definitions)]} if schema else whole.schema(definitions))

    return made


def at_least_one(annotation: Any) -> Kind:
    """Return the kind of lists, or of tables of names, that are not empty."""
    kind, least = kind_of(annotation), "minItems" if get_origin(annotation) is list else "minProperties"
    return judged(kind, lambda made: None if made else "empty list", lambda definitions: _sorted({**kind.schema(definitions), least: 1}))


def described(table: type[Table], definitions: Schema) -> Schema:
    """Return the JSON Schema of a table; what it refers to is added to the definitions."""
    shape = shape_of(table)
    properties = {key: _described(known, definitions) for key, known in shape.keys.items()}
    required = [key for key, known in shape.keys.items() if known.field.required]
    return {
        "additionalProperties": shape.kind.schema(definitions) if shape.rest else False,
        "description": table.__doc__,
        "properties": properties,
        **({"required": required} if required else {}),
        "type": "object",
    }


def _described(key: Key, definitions: Schema) -> Schema:
    default = None if key.field.required else key.default
    return _sorted({**({} if default is None else {"default": default}), **key.kind.schema(definitions)})


def _sorted(schema: Schema) -> Schema:
    return dict(sorted(schema.items()))

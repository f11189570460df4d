"""How the annotations of tables are read: what is held, what is refused and where, and what editors are told."""

from typing import Annotated, Any, Literal

import pytest
from msgspec import field

from modelbuild.modelfile.kinds import Reading, Schema
from modelbuild.modelfile.tables import REST, Table, at_least_one, bare, described, keys_of, kind_of, shape_of, table_kind
from modelbuild.modelfile.values import Bound, Count, Names, NodeName, Number, Row, Seed, Share, Size, Span, Text, Value

Read = tuple[Any, list[tuple[str, tuple[str | int, ...]]]]


class Leaf(Table, frozen=True):
    """A leaf."""

    name: Text
    place: Text = field(name="from", default="here")
    sizes: list[Number] = []


class Branch(Table, frozen=True, kw_only=True):
    """A branch."""

    params: Annotated[dict[str, Value], REST] = {}
    leaves: Annotated[list[Annotated[Leaf, bare("name", schema={"type": "string"})]], at_least_one]
    way: Literal["up", "down"] | None = None
    by_name: dict[NodeName, Leaf] = {}
    hidden: bool = False


def read(annotation: Any, value: object, made: tuple[str, ...] = (), most: int = 99) -> Read:
    """Return what a value is read as, and why and where it is refused."""
    reading = Reading(made, most)
    held = kind_of(annotation).read(value, (), reading)
    return held, [(one.reason, one.path) for one in reading.refusals]


def test_a_table_holds_what_is_written_and_its_fields_defaults():
    """Keys are called as fields or as they say, a bare name stands for a table, and what is no key of ours is handed on in order."""
    document = {"z": 1, "params": True, "leaves": ["a", {"name": "b", "from": "there", "sizes": [1, 0.5]}], "a": [1, 2.0], "place": "x"}

    held, refused = read(Branch, document)

    assert [] == refused
    assert Branch(leaves=[Leaf("a"), Leaf("b", "there", [1, 0.5])], params={"z": 1, "params": True, "a": [1, 2.0], "place": "x"}) == held
    assert ["z", "params", "a", "place"] == [*held.params]
    assert [int, float] == [type(one) for one in held.leaves[1].sizes]
    assert ("name", "from", "sizes") == keys_of(Leaf)
    assert ("leaves", "way", "by_name", "hidden") == keys_of(Branch)


def test_all_that_is_refused_is_told_at_once_in_the_order_of_the_fields_and_then_of_the_document():
    wrong = {
        "q": None,
        "by_name": {"ok": {"name": "a", "place": 1}, "a b": {}, "c/": 3},
        "hidden": 0,
        "leaves": ["", {}, {"name": 1, "sizes": [True, 2**64]}, 7],
    }

    held, refused = read(Branch, wrong)

    assert held is None
    assert [
        ("empty text", ("leaves", 0)),
        ("missing", ("leaves", 1, "name")),
        ("text", ("leaves", 2, "name")),
        ("number", ("leaves", 2, "sizes", 0)),
        ("integer size", ("leaves", 2, "sizes", 1)),
        ("table", ("leaves", 3)),
        ("unknown", ("by_name", "ok", "place")),
        ("name", ("by_name", "a b")),
        ("missing", ("by_name", "a b", "name")),
        ("name", ("by_name", "c/")),
        ("table", ("by_name", "c/")),
        ("truth", ("hidden",)),
        ("value", ("q",)),
    ] == refused
    assert refused[:3] == read(Branch, wrong, most=3)[1]
    assert 11 == len(read(Branch, wrong, ("a b", "c/"), most=99)[1])


def test_a_refusal_knows_the_value_the_words_it_could_have_been_and_of_a_missing_key_the_table():
    reading = Reading((), 9)

    table_kind(Branch).read({"way": "left", "x": 1}, ("at",), reading)

    missing, choice = reading.refusals
    assert ("missing", ("at", "leaves"), {"way": "left", "x": 1}) == (missing.reason, missing.path, missing.value)
    assert ("choice", ("at", "way"), "left", ("up", "down")) == (choice.reason, choice.path, choice.value, choice.choices)


@pytest.mark.parametrize(
    ("annotation", "right", "wrong"),
    [
        (Text, ["a", "\0"], [("", "empty text"), (1, "text"), (["a"], "text"), ("\ud800", "unicode")]),
        (Seed, [0, 2**64 - 1], [(-1, "natural"), (2**64, "natural"), (True, "integer"), (1.0, "integer"), ("1", "integer")]),
        (Row, [0, 2**31 - 1], [(2**31, "row"), (False, "integer")]),
        (Count, [1, 2**64 - 1], [(0, "positive"), (2**64, "integer size"), (-(2**70), "integer size"), (True, "integer")]),
        (Number, [0, -(2**63), 0.5, -0.0], [(True, "number"), ("1", "number"), (float("nan"), "finite"), (2**64, "integer size")]),
        (Share, [0, 1, 0.5], [(1.5, "share"), (-1, "share"), (float("inf"), "finite"), (True, "number")]),
        (Bound, [1, 0.5, "best(x)"], [("", "empty text"), (True, "bound"), ([], "bound")]),
        (
            Value,
            [True, 1, 0.5, "", [1, 0.5]],
            [([], "value"), (["a"], "value"), ([True], "value"), ({}, "value"), (10**30, "integer size")],
        ),
        (Span, [[0, 1]], [([1, 1], "no layer"), ([-1, 2], "layer"), ([1], "two layers"), ([], "two layers"), ("0-1", "list")]),
        (dict[str, Any], [{}, {"": None}], [([], "table")]),
        (Annotated[dict[Text, Any], at_least_one], [{"a": 1}], [({}, "empty list"), ([], "table")]),
        (Annotated[list[Text], at_least_one] | None, [["a"], None], [([], "empty list"), ({}, "list")]),
        (Literal["x"], ["x"], [("y", "choice"), (1, "choice"), ([], "choice")]),
    ],
    ids=["Text", "Seed", "Row", "Count", "Number", "Share", "Bound", "Value", "Span", "dict", "dict, not empty", "list or none", "word"],
)
def test_nothing_is_converted_to_fit(annotation: Any, right: list[Any], wrong: list[tuple[Any, str]]):
    for value in right:
        held, refused = read(annotation, value)
        assert ([], repr(value)) == (refused, repr(held))
    for value, reason in wrong:
        assert (None, [(reason, ())]) == read(annotation, value)


def test_what_is_refused_inside_a_list_stands_at_its_place():
    assert [("integer", (1,))] == read(Span, [0, "1"])[1]
    assert [("number", (2,)), ("finite", (3,))] == read(Value, [1, 2, "a", float("inf")])[1]
    assert [("text", (0,)), ("empty text", (1,))] == read(Names, [1, ""])[1]


def test_a_size_is_read_as_bytes_and_a_single_name_as_a_list():
    assert (5 * 10**9, []) == read(Size, "5GB")
    assert ("size", ()) == read(Size, 5)[1][0]
    assert (["a"], []) == read(Names, "a")
    assert ([None], [("empty text", ())]) == read(Names, "")
    assert [("empty list", ())] == read(Names, [])[1]


def test_editors_are_told_what_is_read():
    definitions: Schema = {}

    schema = described(Branch, definitions)

    assert ["leaves"] == schema["required"]
    assert {"type": "boolean"} == schema["additionalProperties"]["anyOf"][0]
    leaves = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Leaf"}]}
    assert {"items": leaves, "minItems": 1, "type": "array"} == schema["properties"]["leaves"]
    assert {"enum": ["up", "down"], "type": "string"} == schema["properties"]["way"]
    assert {"default": False, "type": "boolean"} == schema["properties"]["hidden"]
    assert ["Leaf"] == [*definitions]
    assert {"default": "here", "minLength": 1, "type": "string"} == definitions["Leaf"]["properties"]["from"]
    assert ("A leaf.", False) == (definitions["Leaf"]["description"], definitions["Leaf"]["additionalProperties"])


def test_a_table_that_is_never_read_is_never_looked_at():
    class Odd(Table, frozen=True):
        key: "no such kind"  # noqa: F722

    class Whole(Table, frozen=True):
        odd: Odd | None = None

    assert (Whole(), []) == read(Whole, {})
    with pytest.raises((SyntaxError, NameError)):
        shape_of(Odd)


def test_depth_and_length_cost_nothing():
    deep: Any = 0
    for _ in range(100_000):
        deep = [deep]

    held, refused = read(Branch, {"leaves": deep, "x": deep, **{f"k{i}": {} for i in range(100_000)}}, most=1_000)

    assert (None, 1_000) == (held, len(refused))

"""Where the locator says a value stands, there it stands: for documents by hand and for random ones."""

from __future__ import annotations

import string
from dataclasses import dataclass, field

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from modelbuild.errors import Place
from modelbuild.modelfile.locate import Edit, Locator
from modelbuild.modelfile.scan import value_end
from modelbuild.names import KeyPath

BY_HAND = '''\
# a comment with [brackets] and "quotes
version = 1
default = ["a",  # first ] of
  'b',
]
[merge.x]
"quoted key" = { a.b = 1, c = [
    { d = """two
lines""" }, 2,
] , }
when = 1979-05-27 07:32:00 # a date and a time
[[merge.y.rules]]
value = 1
[[ merge . y . "rules" ]]
value = 2
[merge.y.rules.deep]
k = ''
[merge]
z.w = -inf
'''


@pytest.mark.parametrize(
    ("path", "place", "key_place"),
    [
        (("version",), (2, 11), (2, 1)),
        (("default",), (3, 11), (3, 1)),
        (("default", 0), (3, 12), (3, 12)),
        (("default", 1), (4, 3), (4, 3)),
        (("merge",), (18, 2), (18, 2)),
        (("merge", "x"), (6, 8), (6, 8)),
        (("merge", "x", "quoted key"), (7, 16), (7, 1)),
        (("merge", "x", "quoted key", "a"), (7, 18), (7, 18)),
        (("merge", "x", "quoted key", "a", "b"), (7, 24), (7, 20)),
        (("merge", "x", "quoted key", "c", 0, "d"), (8, 11), (8, 7)),
        (("merge", "x", "quoted key", "c", 1), (9, 13), (9, 13)),
        (("merge", "x", "when"), (11, 8), (11, 1)),
        (("merge", "y", "rules"), (12, 11), (12, 11)),
        (("merge", "y", "rules", 0), (12, 11), (12, 11)),
        (("merge", "y", "rules", 0, "value"), (13, 9), (13, 1)),
        (("merge", "y", "rules", 1), (14, 16), (14, 16)),
        (("merge", "y", "rules", 1, "value"), (15, 9), (15, 1)),
        (("merge", "y", "rules", 1, "deep"), (16, 16), (16, 16)),
        (("merge", "y", "rules", 1, "deep", "k"), (17, 5), (17, 1)),
        (("merge", "z", "w"), (19, 7), (19, 3)),
    ],
)
def test_every_key_and_value_has_its_place(path: KeyPath, place: tuple[int, int], key_place: tuple[int, int]):
    """By hand: lines and columns as an editor counts them."""
    locator = Locator("dir/Modelfile.toml", BY_HAND)

    assert Place("dir/Modelfile.toml", *place) == locator.place(path)
    assert Place("dir/Modelfile.toml", *key_place) == locator.key_place(path)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ((), (1, 1)),
        (("nowhere",), (1, 1)),
        (("merge", "x", "method"), (6, 8)),
        (("merge", "x", "quoted key", "c", 1, "weight"), (9, 13)),
        (("default", 7), (3, 11)),
    ],
)
def test_what_is_missing_is_placed_at_its_nearest_ancestor(path: KeyPath, place: tuple[int, int]):
    """A missing key of a table is shown at the table's header, of the file at its start."""
    locator = Locator("m", BY_HAND)

    assert Place("m", *place) == locator.place(path) == locator.key_place(path)


def test_columns_count_characters_and_lines_may_end_as_on_windows():
    """One umlaut is one column, and a carriage return is none."""
    locator = Locator("m", 'a = "ä", \r\n'.replace(", ", " ") + 'b = ["üü", 1]\r\n')

    assert Place("m", 2, 12) == locator.place(("b", 1))


def test_a_problem_names_its_place_and_its_path():
    """`key=True` points at the key; facts and hint are passed on."""
    problem = Locator("m", "[merge.x]\nttt = 1\n").problem("no", ("merge", "x", "ttt"), key=True, facts=("so",), hint="yes")

    assert "error: no\n  --> m:2:1, at `merge.x.ttt`\n  so\nhint: yes" == str(problem)


def test_a_problem_at_a_variable_says_so():
    """The place shows the variable; the words are about its value, so the line between is spelt out."""
    problem = Locator("m", 't = "${blend}"\n').problem("no", ("t", 0))

    assert 'error: no\n  --> m:1:5, at `t[0]`\n  written: "${blend}"' == str(problem)


def test_a_problem_of_an_edit_names_the_option_instead_of_a_place():
    """What `--set` changed stands in no file, even where the file has the key as well."""
    locator = Locator("m", "a = 1\nb = 1\n", (Edit(("a",), "a=2"), Edit(("new", "k"), "new.k=1")))

    assert "error: no\n  --> `a[0]`\n  from: `--set a=2`" == str(locator.problem("no", ("a", 0)))
    assert "error: no\n  --> `new.other`\n  from: `--set new.k=1`" == str(locator.problem("no", ("new", "other")))
    assert "error: no\n  --> m:2:5, at `b`" == str(locator.problem("no", ("b",)))


def test_text_that_is_no_toml_gives_the_places_before_it():
    """The scanner stops where it is lost instead of failing."""
    locator = Locator("m", 'a = 1\nb = [ "\nc = 2\n')

    assert Place("m", 1, 5) == locator.place(("a",))
    assert Place("m", 1, 1) == locator.place(("c",))


# Random documents: an emitter that writes TOML and notes where it wrote what.


@dataclass
class Emitter:
    """The text so far, and the offset of each value and key."""

    text: str = ""
    values: dict[KeyPath, int] = field(default_factory=dict)
    keys: dict[KeyPath, int] = field(default_factory=dict)


TRICKY = st.text(st.sampled_from("ab0 .=,#[]{}\"'\\\té\U0001f600"), max_size=8)
LINES = st.text(st.sampled_from("ab #[]{}=,\"'\n\\é"), max_size=10)
BLANKS = st.sampled_from(["", " ", "\t", "\n", "  # ] } \" ' comment\n", "\r\n\n"])
SPACES = st.sampled_from(["", " ", "\t "])
OTHERS = ["1", "-0", "+1_000", "0xff", "1.5", "-1e6", "inf", "nan", "true", "false", "1979-05-27", "1979-05-27 07:32:00", "07:32:00.5"]


def escaped(text: str) -> str:
    """Write `text` as the inside of a basic string."""
    return "".join(f"\\u{ord(char):04X}" if char < " " else f"\\{char}" if char in '"\\' else char for char in text)


SCALARS = st.one_of(
    st.sampled_from(OTHERS),
    TRICKY.map(lambda text: f'"{escaped(text)}"'),
    TRICKY.map(lambda text: "'" + text.replace("'", "") + "'"),
    LINES.map(lambda text: '"""' + text.replace("\\", "\\\\").replace('"""', '""\\"') + '"""'),
    LINES.map(lambda text: "'''" + text.replace("'''", "''") + "'''"),
).filter(lambda token: not token.startswith(('"""', "'''")) or _is_toml(token))


def _is_toml(token: str) -> bool:
    try:
        tomli.loads(f"v = {token}")
    except tomli.TOMLDecodeError:
        return False
    return True


KEYS = st.one_of(
    st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=4).map(lambda key: (key, key)),
    TRICKY.map(lambda key: (key, f'"{escaped(key)}"')),
    TRICKY.map(lambda key: (key.replace("'", ""), "'" + key.replace("'", "") + "'")),
)


def keys(max_size: int) -> st.SearchStrategy[list[tuple[str, str]]]:
    """Draw different keys, each as it reads and as it is written."""
    return st.lists(KEYS, max_size=max_size, unique_by=lambda key: key[0])


def emit_key(draw: st.DrawFn, out: Emitter, path: KeyPath, token: str, depth: int) -> KeyPath:
    """Write a key, dotted at times; return the path that its value has."""
    name, written = token
    path = (*path, name)
    out.values[path] = out.keys[path] = len(out.text)
    out.text += written + draw(SPACES)
    if depth and draw(st.integers(0, 3)) == 0:
        out.text += "." + draw(SPACES)
        return emit_key(draw, out, path, draw(KEYS), depth - 1)
    return path


def emit_pair(draw: st.DrawFn, out: Emitter, path: KeyPath, key: str, depth: int) -> None:
    """Write `key = value`."""
    path = emit_key(draw, out, path, key, 2)
    out.text += "=" + draw(SPACES)
    emit_value(draw, out, path, depth)


def emit_value(draw: st.DrawFn, out: Emitter, path: KeyPath, depth: int) -> None:
    """Write a scalar, an array or an inline table."""
    out.values[path] = len(out.text)
    kind = draw(st.sampled_from(["scalar", "array", "table"])) if depth else "scalar"
    if kind == "scalar":
        out.text += draw(SCALARS)
        return
    out.text += "[" if kind == "array" else "{"
    entries = range(draw(st.integers(0, 3))) if kind == "array" else draw(keys(3))
    for index, entry in enumerate(entries):
        out.text += ("," if index else "") + draw(BLANKS)
        if kind == "array":
            out.keys[(*path, index)] = len(out.text)
            emit_value(draw, out, (*path, index), depth - 1)
        else:
            emit_pair(draw, out, path, entry, depth - 1)
        out.text += draw(BLANKS)
    out.text += ("," + draw(BLANKS) if entries and draw(st.booleans()) else "") + ("]" if kind == "array" else "}")


@st.composite
def documents(draw: st.DrawFn) -> Emitter:
    """Draw a document of pairs, tables and arrays of tables."""
    out = Emitter()
    top = draw(keys(6))
    sections = draw(st.integers(0, len(top)))
    emit_pairs(draw, out, (), top[sections:])
    for name, written in top[:sections]:
        many = draw(st.integers(0, 3))
        for index in range(max(many, 1)):
            out.text += draw(BLANKS).replace("\t", "") + ("[[" if many else "[") + draw(SPACES)
            path: KeyPath = (name, index) if many else (name,)
            for header in {path, path[:1]}:
                out.values.setdefault(header, len(out.text))
                out.keys.setdefault(header, len(out.text))
            out.text += written + draw(SPACES) + ("]]" if many else "]") + "\n"
            emit_pairs(draw, out, path, draw(keys(3)))
    return out


def emit_pairs(draw: st.DrawFn, out: Emitter, path: KeyPath, names: list[tuple[str, str]]) -> None:
    """Write the lines of a table."""
    for key in names:
        out.text += draw(BLANKS) + draw(SPACES)
        emit_pair(draw, out, path, key, 3)
        out.text += draw(SPACES) + draw(st.sampled_from(["\n", "\r\n", " # comment\n"]))


def value_at(document: object, path: KeyPath) -> object:
    """Follow a path."""
    for part in path:
        document = document[part]
    return document


@settings(deadline=None, max_examples=100)
@given(documents())
def test_in_any_document_every_place_points_at_its_value(written: Emitter):
    """What stands at the place is the very token that was written there, and it reads as the value at the path."""
    document = tomli.loads(written.text)
    locator = Locator("m", written.text)
    starts = [0, *(at + 1 for at, char in enumerate(written.text) if char == "\n")]

    for path, offset in written.values.items():
        place = locator.place(path)

        assert offset == starts[place.line - 1] + place.column - 1, path
        if path in written.keys and written.keys[path] != offset:
            token = written.text[offset : value_end(written.text, offset)]
            assert repr(value_at(document, path)) == repr(tomli.loads(f"v = {token}")["v"])
    for path, offset in written.keys.items():
        place = locator.key_place(path)

        assert offset == starts[place.line - 1] + place.column - 1, path

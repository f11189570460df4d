"""The words for text that is not TOML."""

from __future__ import annotations

import re
from ast import literal_eval

import tomli

from modelbuild.errors import Place, Problem
from modelbuild.modelfile.scan import huge_number, too_deep
from modelbuild.modelfile.shown import plain
from modelbuild.names import dotted

_DEPTH = 100
_DIGITS = 4000
_LINE_LIMIT = 100

_DECLARED = re.compile(r"Cannot declare (\(.*\)) twice", re.DOTALL)
_TWICE = ("Cannot declare", "Cannot overwrite", "Duplicate inline table key", "Cannot redefine", "Cannot mutate")

_HINTS = {
    "Invalid value": "text stands in quotes; numbers, `true` and `false` do not",
    "Expected '='": "write `key = value`",
    "Expected newline": "one `key = value` on each line; text stands in quotes",
    "Expected ']": "close the table's name with the brackets that open it",
    "Unclosed array": "put a comma between the entries and `]` after the last",
    "Unclosed inline table": "put a comma between the entries and `}` after the last",
    "Unterminated string": "close the string with the quotes that open it",
    'Expected "\'"': "close the string with the quotes that open it",
    "Illegal character '\\n'": "close the string on its line, or open it with three quotes",
    "Unescaped '\\'": "write `\\\\`, or put the text in single quotes",
    "Invalid hex value": "write `\\\\`, or put the text in single quotes",
    "Invalid initial character": "a key is letters, digits, `-` and `_`; any other stands in quotes",
    "Invalid statement": "a line is `key = value`, `[table]` or `# comment`",
}
"""One way out, by how the parser's message starts."""


def syntax_problem(file: str, text: str, error: ValueError | RecursionError) -> Problem:
    """Word what the TOML parser raised for `text`."""
    if isinstance(error, tomli.TOMLDecodeError):
        return _refused(file, text.replace("\r\n", "\n"), error)  # as the parser counts
    facts: tuple[str, ...]
    what, facts, hint = "a number is too long", (f"more than {_DIGITS} digits",), "integers have at most 64 bits"
    at = huge_number(text, _DIGITS) or 0
    if isinstance(error, RecursionError):
        if (deep := too_deep(text, _DEPTH)) is not None:
            at, what, facts, hint = deep, "brackets are nested too deep", (f"more than {_DEPTH} are open here",), "close some"
        else:
            at, what, facts, hint = _most_dotted(text), "a dotted key has too many parts", (), "no key of a Modelfile has more than 4"
    return Problem(what, "", Place(file, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)), facts, hint)


def _refused(file: str, text: str, error: tomli.TOMLDecodeError) -> Problem:
    what, hint = "this is not valid TOML", ""
    facts = [f"the parser says: {plain(error.msg, _LINE_LIMIT)}"]
    if error.msg.startswith(_TWICE):
        what, hint = "a key or table is given twice", "keep one of them"
    if twice := _DECLARED.fullmatch(error.msg):
        what, facts = f"`[{plain(dotted(literal_eval(twice[1])))}]` is declared twice", []
    if line := text.split("\n")[error.lineno - 1].strip():
        facts.append(f"the line is: {plain(line, _LINE_LIMIT)}")
    hint = next((words for start, words in _HINTS.items() if error.msg.startswith(start)), hint)
    return Problem(what, "", Place(file, error.lineno, error.colno), tuple(facts), hint)


def _most_dotted(text: str) -> int:
    """Return where the line with the most dots starts."""
    start, most, at = 0, -1, 0
    for line in text.split("\n"):
        if line.count(".") > most:
            most, start = line.count("."), at
        at += len(line) + 1
    return start

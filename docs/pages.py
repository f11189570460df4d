"""Write a page for every built-in merge method, from its docstrings and its parameters, list the decisions, and draw the example's graph.

    python docs/pages.py

A test fails where a page is not what this would write.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from modelbuild import usecases
from modelbuild.method import REQUIRED, Method, Param
from modelbuild.methods import installed, load
from modelbuild.report.svg import svg

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent / "methods"
DECISIONS = HERE.parent / "decisions" / "README.md"
PICTURE = HERE.parent / "example.svg"
EXAMPLE = HERE.parents[1] / "Modelfile.example.toml"
HEAD = ("| parameter | of | value | default | |", "|---|---|---|---|---|")
ANY = 1 << 30
"""The largest number of inputs of a method that takes any number."""


def main() -> None:
    """Write them all, and remove those of methods that are gone."""
    found = pages()
    for path in HERE.glob("*.md"):
        if path.name not in found and path.name != "README.md":
            path.unlink()
    HERE.mkdir(exist_ok=True)
    for name, text in found.items():
        (HERE / name).write_text(text)
    DECISIONS.write_text(decisions())
    PICTURE.write_text(picture())


def decisions() -> str:
    """Return the list of decisions, by their titles."""
    listed = sorted(DECISIONS.parent.glob("0*.md"))
    titles = (path.read_text().partition("\n")[0].removeprefix("# ") for path in listed)
    return "# Decisions\n\n" + "".join(f"- [{title}]({path.name})\n" for path, title in zip(listed, titles, strict=True))


def picture() -> str:
    """Return the graph of the example, as `modelbuild graph --format svg` draws it."""
    return svg(usecases.view_graph(EXAMPLE)) + "\n"


def pages() -> dict[str, str]:
    """Return the pages by file name."""
    built_in = [name for name, point in installed().items() if point.module.startswith("modelbuild.")]
    return {f"{name}.md": "\n\n".join(blocks(load(name))) + "\n" for name in sorted(built_in)}


def blocks(method: Method) -> Iterator[str]:
    """Yield a page's paragraphs: what it is, how it is written, what it computes, what it takes, where it comes from."""
    title, *source = method.source.split("\n\n")
    computes, meanings = sections(method.text)
    yield f"# {method.name}"
    yield f"{flowed(title)} {takes(method)}"
    yield f"```toml\n{example(method)}\n```"
    yield "\n\n".join(map(flowed, computes))
    if method.params:
        yield "\n".join([*HEAD, *(row(param, meanings) for param in method.params)])
    yield from map(flowed, source)
    yield f"Numerics: {method.numerics}. Revision: {method.revision}."


def takes(method: Method) -> str:
    """Say how many inputs a method takes, and what becomes of a base."""
    low, high = method.inputs
    one = f"{low} input" if low == 1 else f"{low} inputs"
    count = one if low == high else f"{low} or more inputs" if high >= ANY else f"{low} to {high} inputs"
    base = {
        "required": " and a base; it merges the differences to the base",
        "optional": " and, if there is one, a base",
        "first": ", one of which may be named as `base`, else the first",
        "none": "",
    }
    return f"It takes {count}{base[method.base]}."


def example(method: Method) -> str:
    """Return a merge with the first parameter an input has, and those that must be given."""
    models = "abcdefgh"[: max(method.inputs[0], min(method.inputs[1], 3 if method.space == "delta" else 2))]
    beside = next((param for param in method.params if param.per == "input" and not param.inert), None)
    listed = (f'{{ model = "{model}", {beside.name} = {shown(beside)} }}' if beside else f'"{model}"' for model in models)
    base = ["base"] if method.base == "required" else []
    lines = ["[source]", *(f'{model}.from = "{model}"' for model in [*base, *models]), ""]
    lines += ["[merge.out]", f'method = "{method.name}"', *(f'base = "{model}"' for model in base)]
    lines += [f"inputs = [{', '.join(listed)}]"]
    lines += [f"{param.name} = {shown(param)}" for param in method.params if param.default is REQUIRED and param is not beside]
    return "\n".join(lines)


def shown(param: Param) -> str:
    """Return a value that a parameter may have, as TOML: half of what is allowed, or its default."""
    if param.kind is float:
        return "0.5"
    return json.dumps(param.low if param.default is REQUIRED else param.default)


def row(param: Param, meanings: dict[str, str]) -> str:
    """Return a parameter's line of the table."""
    default = "required" if param.default is REQUIRED else f"`{json.dumps(param.default)}`"
    value = f"{param.kind_in_words} {param.range}".strip() if not param.choices else ", ".join(f"`{choice}`" for choice in param.choices)
    meaning = "accepted, and without effect" if param.inert else meanings.get(param.python_name, "")
    return f"| `{param.name}` | {param.per} | {value} | {default} | {meaning} |".replace("|  |", "| |")


def sections(text: str) -> tuple[list[str], dict[str, str]]:
    """Split a docstring into the paragraphs before its sections, and what it says of each argument."""
    before, _, after = text.partition("\n\nArgs:\n")
    arguments = after.split("\n\n")[0]
    entries = re.split(r"^ {4}(?=\w+: )", arguments, flags=re.MULTILINE)
    told = (entry.partition(": ") for entry in entries if entry.strip())
    return before.split("\n\n"), {name: flowed(meaning) for name, _, meaning in told}


def flowed(text: str) -> str:
    """Write a paragraph on one line; two blanks between sentences become one."""
    return re.sub(r"\s+", " ", text).strip()


if __name__ == "__main__":
    main()

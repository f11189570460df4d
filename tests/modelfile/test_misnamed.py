"""What is said to words that name nothing, where there are variants near them."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelbuild.graph.targets import unknown
from modelbuild.modelfile.misnamed import misnamed
from modelbuild.modelfile.parse import parse

DECLARED = parse(
    Path("Modelfile.toml"),
    """\
source.base.from = "b"
source.code.from = "c"
merge.soup = { method = "slerp", inputs = ["base", "code"], t = [{ filter = "mlp", value = 0.5 }, { value = 0.3 }], matrix = { "t[0].value" = [0.2, 0.8] } }
merge.x = { method = "ties", base = "base", inputs = [{ model = "code", weight = 1 }], matrix = { density = [0.3, 0.5], "inputs.code.weight" = [1, [0, 0.5]] } }
merge.many = { method = "ties", base = "base", inputs = ["code"], matrix = { density = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] } }
""",
)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("soup@t[0].value=0.2", "did you mean `soup@t.0.value=0.2`?"),
        ("soup@t.0.value=0.20", "did you mean `soup@t.0.value=0.2`?"),
        ("soup@t.0.value=0.9", "did you mean `soup@t.0.value=0.8`?"),
        ("soup@value=0.8", "did you mean `soup@t.0.value=0.8`?"),
        ("many@density[0]=0.4", "did you mean `many@density=0.4`?"),
        ("soup@t[0].value=*", "did you mean `'soup@t.0.value=*'`?"),
        ("soup@t.1.value=*", "`'soup@*'` means all of them"),
        ("soup@", "`'soup@*'` means all of them"),
        ("sop@t.0.value=0.2", "did you mean `soup@t.0.value=0.2`?"),
        ("x@inputs.code.weight=1,density=0.5", "did you mean `x@density=0.5,inputs.code.weight=1`?"),
        ("x@density=0.3,inputs.code.weight=[0, 0.5]", "did you mean `x@density=0.3,inputs.code.weight=0_0.5`?"),
        ("x@densty=0.5", "did you mean one of `x@density=0.5,inputs.code.weight=1`, `x@density=0.5,inputs.code.weight=0_0.5`?"),
    ],
)
def test_a_target_that_is_no_variant_is_told_which_is_near(word: str, hint: str):
    """Keys as the Modelfile has them, numbers by what they are, parameters in any order, and long names as well as short ones."""
    what, *_, told = unknown(DECLARED, word)

    assert (hint, f"no merge {'matches' if '*' in word else 'is called'} `{word}`") == (told, what)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        (
            "soup",
            (
                "`soup` is made several times, by its matrix",
                ("variants: soup@t.0.value=0.2, soup@t.0.value=0.8",),
                "name one of them: `soup@t.0.value=0.2`",
            ),
        ),
        (
            "many@density=0.55",
            (
                "no such",
                (f"variants: {', '.join(f'many@density=0.{i}' for i in range(1, 9))} and 1 more; `modelbuild status many` lists them",),
                "did you mean `many@density=0.6`?",
            ),
        ),
        (
            "bas",
            (
                "no such",
                ("declared: base, code, soup@t.0.value=0.2, soup@t.0.value=0.8, x@* (4 variants), many@* (9 variants)",),
                "did you mean `base`?",
            ),
        ),
    ],
)
def test_where_one_thing_is_to_be_named_sweeps_are_told_apart(word: str, told: tuple[str, tuple[str, ...], str]):
    assert told == misnamed(word, "no such", [*DECLARED.sources, *DECLARED.merges])

"""Twelve kinds of broken Modelfile: each a clear error with its place and one way out, and the old output still stands."""

from __future__ import annotations

import pytest

from modelbuild.errors import Exit, ModelbuildError
from modelbuild.methods import installed
from tests.support.checkpoints import random_tensors
from tests.support.projects import Project

SOUND = """\
[source.base]
from = "base"
[source.code]
from = "code"
[source.math]
from = "math"
[merge.skills]
method = "ties"
base = "base"
inputs = ["code", "math"]
density = 0.5
[merge.release]
method = "slerp"
inputs = ["base", "skills"]
t = [{ filter = "mlp", value = 0.3 }, { value = 0.6 }]
"""

SLICED = 'slices = [{ model = "base", layers = [0, 1] }, { model = "skills", layers = [1, 3] }]'

BROKEN = {
    "syntax": (
        ("density = 0.5", "density = = 0.5"),
        Exit.USAGE,
        """\
error: this is not valid TOML
  --> Modelfile.toml:11:11
  the parser says: Invalid value
  the line is: density = = 0.5
hint: text stands in quotes; numbers, `true` and `false` do not
""",
    ),
    "unknown key": (
        ("density = 0.5", "densitee = 0.5"),
        Exit.USAGE,
        """\
error: unknown key `densitee`
  --> Modelfile.toml:11:1, at `merge.skills.densitee`
  `ties` takes: density, weight, trim, elect, rescale, normalize, lambda, int8_mask
hint: did you mean `density`?
""",
    ),
    "unknown method": (
        ('method = "ties"', 'method = "tie"'),
        Exit.USAGE,
        f"""\
error: no merge method is called `tie`
  --> Modelfile.toml:8:10, at `merge.skills.method`
  installed: {", ".join(sorted(installed()))}, moe, extract_lora, merge_loras, greedy_soup
hint: did you mean `ties`?
""",
    ),
    "misspelt model": (
        ('"code", "math"]', '"cod", "math"]'),
        Exit.USAGE,
        """\
error: no source or merge is called `cod`
  --> Modelfile.toml:10:11, at `merge.skills.inputs[0].model`
  declared: base, code, math, skills, release
hint: did you mean `code`?
""",
    ),
    "cycle": (
        ('"code", "math"]', '"code", "release"]'),
        Exit.USAGE,
        """\
error: these merges need each other
  --> Modelfile.toml:7:8, at `merge.skills`
  `skills` -> `release` -> `skills`
hint: let one of them read something else
""",
    ),
    "missing parameter": (
        ("t = [{", "# t = [{"),
        Exit.USAGE,
        """\
error: `slerp` needs `t`
  --> Modelfile.toml:12:8, at `merge.release`
  `t` is a number from 0 to 1, and has no default
hint: add `t = …`
""",
    ),
    "parameter out of range": (
        ("density = 0.5", "density = 1.5"),
        Exit.USAGE,
        """\
error: `density` cannot have this value
  --> Modelfile.toml:11:11, at `merge.skills.density`
  expected a number from 0 to 1, found 1.5
hint: `modelbuild methods ties` shows what it takes
""",
    ),
    "filter that matches nothing": (
        ('filter = "mlp"', 'filter = "mpl"'),
        Exit.USAGE,
        """\
error: the filter `mpl` matches no tensor
  --> Modelfile.toml:15:17, at `merge.release.t[0].filter`
  names have these parts: down_proj, embed_tokens, gate_proj, input_layernorm, k_proj, layers, lm_head, mlp, model, norm, o_proj, post_attention_layernorm, q_proj, self_attn, up_proj, v_proj, weight
hint: did you mean `mlp`?
""",
    ),
    "empty slice": (
        (
            'method = "slerp"\ninputs = ["base", "skills"]\nt =',
            'method = "passthrough"\nslices = [{ model = "base", layers = [0, 1] }, { model = "skills", layers = [2, 2] }]\n# t =',
        ),
        Exit.USAGE,
        """\
error: empty slice: `layers = [2, 2]` holds no layer
  --> Modelfile.toml:14:77, at `merge.release.slices[1].layers`
  layers are written [first, last + 1]
hint: `[2, 3]` is layer 2 alone
""",
    ),
    "slice out of range": (
        (
            'method = "slerp"\ninputs = ["base", "skills"]\nt =',
            'method = "passthrough"\nslices = [{ model = "base", layers = [0, 1] }, { model = "skills", layers = [1, 4] }]\n# t =',
        ),
        Exit.USAGE,
        """\
error: the slice `layers = [1, 4]` is out of range
  --> Modelfile.toml:14:77, at `merge.release.slices[1].layers`
  `skills` has 3 layers
hint: end it at 3
""",
    ),
    "missing source": (
        ('from = "math"', 'from = "maths"'),
        Exit.SOURCE,
        """\
error: source `math` is missing
  --> Modelfile.toml:6:8, at `source.math.from`
  nothing is at maths
hint: correct `from`, or put the model there
""",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_each_kind_is_told_with_place_and_way_out(project: Project, monkeypatch, kind: str):
    (old, new), exit_code, expected = BROKEN[kind]
    monkeypatch.chdir(project.root)
    project.family()
    project.write(SOUND)
    project.build()
    before = project.hashes()
    project.edit(old, new)

    with pytest.raises(ModelbuildError) as caught:
        Project(type(project.root)()).build()

    assert expected == f"{caught.value}\n"
    assert exit_code == caught.value.exit_code
    assert before == project.hashes()


def test_shapes_that_differ_are_told_before_work(project: Project, monkeypatch):
    monkeypatch.chdir(project.root)
    project.family()
    project.write(SOUND)
    project.build()
    before = project.hashes()
    wide = {name: values[:, :-1] if name == "lm_head.weight" else values for name, values in random_tensors(1).items()}
    project.model("code", wide)

    with pytest.raises(ModelbuildError) as caught:
        Project(type(project.root)()).build()

    assert (
        """\
error: `base` and `code` do not fit together
  --> Modelfile.toml:10:10, at `merge.skills.inputs`
  `lm_head.weight` has different shapes
  `lm_head.weight` is [40, 16] in `base` and [40, 15] in `code`
hint: merge models of one shape
"""
        == f"{caught.value}\n"
    )
    assert Exit.USAGE == caught.value.exit_code
    assert before == project.hashes()

"""What is wrong with the text of a Modelfile, or with how it is named."""

from __future__ import annotations

from tests.build.test_broken_modelfiles import BROKEN
from tests.cli.errors.models import TOKENIZER
from tests.cli.errors.scene import Case, Scene, edit, files, gone, more, sound

MATRICES = """\
[merge.a]
method = "slerp"
inputs = ["base", "code"]
matrix = 3
[merge.b]
method = "slerp"
inputs = ["base", "code"]
matrix = { t = [], "output.dtype" = ["float16"], output = { dtype = ["float32"] }, include = 3 }
[merge.c]
method = "slerp"
inputs = ["base", "code"]
matrix = { t = [0.3], include = [{ t = 0.9 }, { t = 0.9 }] }
[merge.d]
method = "slerp"
inputs = ["base", "code"]
matrix = { t = [0.3], exclude = [{ t = 0.4 }] }
"""

CHECKS = """\
[check.a]
kind = "perplexity"
text = "a.safetensors"
tensors = ["held"]
metric = "bits_per_byte"
[check.b]
kind = "perplexity"
text = "b.txt"
tensors = ["held"]
[search.s]
of = "release"
objective = "b"
trials = 6_000
space = { "merge.release.t" = { low = 0, high = 1, step = 1e-9 } }
[search.u]
of = "release"
objective = "b"
sampler = "grid"
"""

AFTER = """\
[source.far]
from = "hf://someone/far"
pickles = "weights_only"
[export.made]
of = "release"
format = "command"
"""


def large(project: Scene) -> None:
    """Sweep a merge of many words, and search a grid of many points."""
    inputs = ", ".join(['"base"'] * 100)
    sweep = f"matrix = {{ a = {list(range(40))}, b = {list(range(40))} }}"
    axes = ", ".join(f"x{i} = {list(range(50))}" for i in range(4))
    more(f'[merge.a]\nmethod = "linear"\ninputs = [{inputs}]\n{sweep}\n{CHECKS}space = {{ {axes} }}\n')(project)


CASES: dict[str, Case] = {
    **{kind: (edit(change), "status") for kind, (change, _, _) in BROKEN.items()},
    "several at once": (edit(("density = 0.5", "densitee = 0.5"), ('"code", "math"]', '"cod", "math"]')), "status"),
    "no base": (edit(('base = "base"\n', "")), "status"),
    "a value of another type": (edit(("density = 0.5", 'density = "half"')), "status"),
    "a parameter of one input": (edit(('"code", "math"]', '{ model = "code", normalize = true }, "math"]')), "status"),
    "a name that is taken": (more('[source.skills]\nfrom = "code"\n'), "status"),
    "a version of the future": (edit(("[source.base]", "version = 2\n[source.base]")), "status"),
    "a variable that is not there": (edit(("density = 0.5", 'density = "${half}"')), "status"),
    "a default that is no merge": (edit(("[source.base]", 'default = ["nope"]\n[source.base]')), "status"),
    "both tokenizer and vocabulary": (more(f'vocabulary = "common"\n{TOKENIZER}'), "status"),
    "a base that is not among the inputs": (
        edit(('inputs = ["base", "skills"]', 'inputs = ["base", "skills"]\nbase = "code"')),
        "status",
    ),
    "matrices that sweep nothing": (more(MATRICES), "status"),
    "checks and searches that make no sense": (more(f'{CHECKS}space = {{ "merge.release.t" = [0.3, 0.6] }}\n'), "status"),
    "a sweep and a grid that are too large": (large, "status"),
    "what goes with other sources and exports": (more(AFTER), "status"),
    "a Modelfile that is too large": (files({"Modelfile.toml": "#" * (1 << 25)}), "status"),
    "a Modelfile that is no text": (files({"Modelfile.toml": b"\xff\xfe"}), "status"),
    "no Modelfile": (gone("Modelfile.toml"), "status"),
    "another Modelfile": (sound, "status -f nope.toml"),
    "a directory for a Modelfile": (sound, "status -f base"),
    "--set of nothing": (sound, "status --set merge.nope"),
    "--set of what is not there": (sound, "status --set merge.skills.densitee=0.5"),
}

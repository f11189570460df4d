"""Models that do not fit together, or whose merge is no numbers."""

from __future__ import annotations

from tests.cli.errors.scene import Case, Scene, both, config, edit, files, more, tensors
from tests.support.checkpoints import VOCAB, random_tensors

TOKENIZER = 'tokenizer = { source = "union" }\n'
WORDS = '{"model": {"vocab": {' + ", ".join(f'"t{i}": {i}' for i in range(VOCAB)) + "}}}"
"""A tokenizer.json as far as rows are concerned."""

SLICED = 'method = "slerp"\ninputs = ["base", "skills"]\nt = [{ filter = "mlp", value = 0.3 }, { value = 0.6 }]'
"""What slices are written in place of."""


def other_names(project: Scene) -> None:
    changed = dict(random_tensors(1, 3))
    changed["model.layers.0.mlp.extra.weight"] = changed.pop("model.layers.0.mlp.up_proj.weight")
    project.model("code", changed)


CASES: dict[str, Case] = {
    "shapes that differ": (tensors("code", lambda held: {**held, "lm_head.weight": held["lm_head.weight"][:, :-1]}), "status"),
    "names that differ": (other_names, "status"),
    "numbers of layers that differ": (lambda project: project.model("code", random_tensors(1, 4)), "status"),
    "slices of unlike length": (
        edit(
            (
                SLICED,
                'method = "slerp"\nt = 0.5\nslices = [{ inputs = [{ model = "base", layers = [0, 3] }, { model = "skills", layers = [0, 2] }] }]',
            )
        ),
        "status",
    ),
    "layers that no config can say": (
        both(
            config("base", first_k_dense_replace=1),
            edit((SLICED, 'method = "passthrough"\nslices = [{ model = "base", layers = [1, 3] }, { model = "base", layers = [0, 1] }]')),
        ),
        "status",
    ),
    "a union of tokens without a tokenizer": (more(TOKENIZER), "status"),
    "a tokenizer.json that is none": (
        both(files({"base/tokenizer.json": WORDS, "code/tokenizer.json": WORDS.replace(": 7", ': "7"')}), more(TOKENIZER)),
        "status",
    ),
    "rows without end": (
        both(
            files({"base/tokenizer.json": WORDS, "math/tokenizer.json": WORDS, "code/tokenizer.json": WORDS}),
            more("tokenizer = { pad_to_multiple_of = 5_000_000 }\n"),
        ),
        "status",
    ),
    "NaN in a source": (tensors("code", lambda held: {name: values * float("nan") for name, values in held.items()}), "build -j 1"),
    "an overflow": (edit(("density = 0.5", 'density = 0.5\nlambda = 1e30\ndtype = "float16"')), "build -j 1"),
}

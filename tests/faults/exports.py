"""A build of exports to do things to: directories and files, of our own making and a converter's, and two that change from one to the other."""

from __future__ import annotations

import json
from pathlib import Path

from modelbuild.exports import linear
from tests.exports.models import byte_level, config, shapes, tensors
from tests.faults.scenes import Kind
from tests.support.checkpoints import write_model

ROWS = 40

_TEXT = """\
default = ["release", "rounded", "small", "made", "turned", "flipped"]
[source.base]
from = "../sources/base"
[source.code]
from = "../sources/code"
[merge.release]
method = "linear"
inputs = [{ model = "base", weight = 0.5 }, { model = "code", weight = WEIGHT }]
[export.rounded]
of = "release"
format = "fp8"
[export.small]
of = "release"
format = "gguf"
type = "q8_0"
[export.made]
of = "release"
CONVERTED
[export.turned]
of = "release"
TURNED
[export.flipped]
of = "release"
path = "out/flipped"
FLIPPED
"""
CONVERTED = 'format = "command"\nconverter = ["sh", "-c", "cat $0/model.safetensors > $1", "{model}", "{out}"]'
_FP8, _GGUF = 'format = "fp8"', 'format = "gguf"'


def _text(weight: str, turned: str, flipped: str) -> str:
    words = {"WEIGHT": weight, "TURNED": turned, "FLIPPED": flipped, "CONVERTED": CONVERTED}
    text = _TEXT
    for word, what in words.items():
        text = text.replace(f"\n{word}\n", f"\n{what}\n") if word != "WEIGHT" else text.replace(word, what)
    return text


def make_sources(place: Path, layers: int) -> None:
    """Write two models with tokenizers."""
    for seed, name in enumerate(("base", "code")):
        directory = place / "sources" / name
        write_model(directory, tensors(seed, shapes(ROWS, layers=layers)), dtype="F32", config=config(ROWS, layers=layers))
        (directory / "tokenizer.json").write_text(json.dumps(byte_level()))


def know_linear_layers() -> None:
    """Tell which layers are linear without asking transformers, whose import takes seconds."""

    def modules(told: dict[str, int]) -> frozenset[str]:
        return frozenset(linear.module_of(name) for name in shapes(ROWS, layers=told["num_hidden_layers"]) if "_proj" in name)

    linear._modules = modules  # type: ignore[assignment]


EXPORTS = Kind(
    ("release", "rounded", "small.gguf", "made", "turned", "flipped"),
    _text("0.5", CONVERTED, _FP8),
    _text("0.25", _FP8, _GGUF),
    make_sources,
    ("small.gguf", "made"),
    (0, 1, 6),
)
"""A converter that finds no room fails for itself, with 1.  The directory `rounded` and the files `small.gguf` and `made` stay what they are; `turned` becomes a directory, `flipped` a file."""

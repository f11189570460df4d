"""A first Modelfile, to be changed."""

from __future__ import annotations

from pathlib import Path

from modelbuild import files
from modelbuild.errors import ModelbuildError, Problem

STARTER = """\
# A graph of merges, built by `modelbuild build`.  Paths are relative to this file.
version = 1

[source.base]                       # a checkpoint that is read and never written
from = "models/base"                # a directory or a .safetensors file
[source.code]
from = "models/code"
[source.math]
from = "models/math"
[source.chat]
from = "models/chat"

[merge.skills]                      # every merge is a target: `modelbuild build skills`
method = "ties"                     # `modelbuild methods` lists the methods, `modelbuild methods ties` explains this one
base = "base"
inputs = [
  { model = "code", weight = 1.0, density = 0.5 },
  { model = "math", weight = [0.4, 0.8], density = 0.5 },   # a list is a gradient over the layers
]

[merge.release]                     # a merge may read merges
method = "slerp"
inputs = ["skills", "chat"]
t = [                               # the first rule whose filter matches a tensor gives its value
  { filter = "self_attn", value = 0.3 },
  { value = 0.5 },
]
output = { path = "out/release" }   # what `modelbuild build` writes
"""


def init(file: Path) -> Path:
    """See `modelbuild.build.init`."""
    files.make_directory(file.parent, durable=True)
    try:
        files.write_new(file, STARTER.encode())
    except FileExistsError:
        problem = Problem(f"there is a Modelfile already at `{file}`", hint="choose another directory, or another name with --file")
        raise ModelbuildError(problem) from None
    files.sync_directory(file.parent)
    return file

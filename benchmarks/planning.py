"""Plan something large, from headers alone, and write down the seconds: of opening the Modelfile and its sources, and of the plan.

    python benchmarks/planning.py graph|experts DIRECTORY

The models have headers and holes: nothing reads their tensors.  `DIRECTORY` takes them and `seconds.txt`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from modelbuild.checkpoint.header import lay_out
from modelbuild.usecases.project import Project
from modelbuild.usecases.where import Where

NODES, LAYERS = 100, 33
"""Of the graph; a layer has 9 tensors, and 3 are outside."""
EXPERT_LAYERS, EXPERTS = 60, 250
"""Of the sparse model; an expert has 3 tensors."""

PROJECTIONS = (*(f"self_attn.{letter}_proj" for letter in "qkvo"), *(f"mlp.{name}_proj" for name in ("gate", "up", "down")))
NORMS = ("input_layernorm", "post_attention_layernorm")
Shapes = dict[str, tuple[int, ...]]


def write_holes(directory: Path, shapes: Shapes, layers: int) -> None:
    """Write a checkpoint without its bytes."""
    directory.mkdir(parents=True)
    laid_out = lay_out([(name, "BF16", shape) for name, shape in shapes.items()])
    with (directory / "model.safetensors").open("wb") as file:
        file.write(laid_out.header)
        file.truncate(laid_out.size)
    (directory / "config.json").write_text(json.dumps({"num_hidden_layers": layers}))


def graph(root: Path) -> str:
    """Chain slerps: 100 nodes of 300 tensors."""
    shapes: Shapes = {"model.embed_tokens.weight": (64, 16)}
    shapes |= {f"model.layers.{i}.{part}.weight": (16, 16) for i in range(LAYERS) for part in (*PROJECTIONS, *NORMS)}
    shapes |= {"model.norm.weight": (16,), "lm_head.weight": (64, 16)}
    for name in "ab":
        write_holes(root / name, shapes, LAYERS)
    t = '[{ filter = "mlp", value = 0.3 }, { value = [0.2, 0.6] }]'
    nodes = (
        f'[merge.n{i}]\nmethod = "slerp"\ninputs = ["a", "{f"n{i - 1}" if i else "b"}"]\nt = {t}\nkeep = {"true" if i % 2 else "false"}\n'
        for i in range(NODES)
    )
    return "".join(nodes)


def experts(root: Path) -> str:
    """Merge two sparse-expert models of 45,000 tensors."""
    names = [f"model.layers.{i}.mlp.experts.{j}.w{k}.weight" for i in range(EXPERT_LAYERS) for j in range(EXPERTS) for k in (1, 2, 3)]
    for name in "ab":
        write_holes(root / name, dict.fromkeys(names, (4, 4)), EXPERT_LAYERS)
    density = '[{ filter = "experts.*.w1", value = 0.5 }, { value = [0.2, 0.6] }]'
    return f'[merge.n0]\nmethod = "ties"\nbase = "a"\ninputs = ["b"]\ndensity = {density}\n'


def main() -> None:
    """Plan."""
    root = Path(sys.argv[2])
    merges = {"graph": graph, "experts": experts}[sys.argv[1]](root)
    (root / "Modelfile.toml").write_text(f'[source]\na.from = "a"\nb.from = "b"\n{merges}')
    started = time.perf_counter()
    project = Project.open(Where(root / "Modelfile.toml"))
    project.plan(project.targets(()))
    (root / "seconds.txt").write_text(str(time.perf_counter() - started))


if __name__ == "__main__":
    main()

"""Templates of Modelfiles, each filled with models by name: the first of them is the base."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Models = Mapping[str, str]
"""Where models are, by name."""

MERGES = ("release", "skills")
"""What templates call their merges."""

_HEAD = "# A graph of merges, built by `modelbuild build`.  Paths are relative to this file.\nversion = 1\n\n"


def _sources(models: Models) -> str:
    comment = "  # a checkpoint that is read and never written: a directory, a .safetensors file, or hf://namespace/name"
    lines = [f"[source.{name}]{comment if not i else ''}\nfrom = {_text(where)}\n" for i, (name, where) in enumerate(models.items())]
    return _HEAD + "".join(lines) + "\n"


def _text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def slerp(models: Models, depth: int) -> str:  # noqa: ARG001 - all templates have one shape
    """Write a slerp of two models."""
    base, other = models
    return f"""\
{_sources(models)}[merge.release]                     # every merge is a target: `modelbuild build release`
method = "slerp"                    # `modelbuild methods slerp` explains it
inputs = ["{base}", "{other}"]
t = [                               # 0 is the first model, 1 the second; the first rule whose filter matches a tensor gives its value
  {{ filter = "self_attn", value = [0.0, 0.5, 0.3, 0.7, 1.0] }},   # a list is a gradient over the layers
  {{ filter = "mlp", value = [1.0, 0.5, 0.7, 0.3, 0.0] }},
  {{ value = 0.5 }},
]
dtype = "bfloat16"
"""


def ties(models: Models, depth: int) -> str:  # noqa: ARG001 - all templates have one shape
    """Write a merge of task vectors."""
    base, *others = models
    inputs = "".join(f'  {{ model = "{name}", weight = 1.0, density = 0.5 }},\n' for name in others)
    return f"""\
{_sources(models)}[merge.release]                     # every merge is a target: `modelbuild build release`
method = "ties"                     # `modelbuild methods ties` explains it
base = "{base}"                     # what all others were fine-tuned from
inputs = [                          # weight: how much each counts; density: which share of its changes is kept
{inputs}]
dtype = "bfloat16"
"""


def frankenmerge(models: Models, depth: int) -> str:
    """Write a stack of layers of two models."""
    base, other = models
    first, last = max(1, depth * 3 // 4), depth // 4
    return f"""\
{_sources(models)}[merge.release]                     # every merge is a target: `modelbuild build release`
method = "passthrough"
slices = [                          # [first, last + 1] of each model's layers, of which there are {depth}
  {{ model = "{base}", layers = [0, {first}] }},
  {{ model = "{other}", layers = [{last}, {depth}] }},
]
dtype = "bfloat16"
"""


def moe(models: Models, depth: int) -> str:  # noqa: ARG001 - all templates have one shape
    """Write a mixture of experts."""
    base, *others = models
    experts = "".join(f'  {{ model = "{name}", positive_prompts = ["a question for {name}"] }},\n' for name in others)
    return f"""\
{_sources(models)}[merge.release]                     # every merge is a target: `modelbuild build release`
method = "moe"
base = "{base}"                     # attention, norms, embeddings and tokenizer are its
gate = "hidden"                     # gates from what the base makes of the prompts; "cheap_embed" from their embeddings, "random" from none
experts_per_token = {min(2, len(others))}
experts = [                         # write prompts that each of them should answer
{experts}]
dtype = "bfloat16"
"""


def multi_stage(models: Models, depth: int) -> str:  # noqa: ARG001 - all templates have one shape
    """Write a merge of task vectors, and a slerp of that with another model."""
    base, *others, last = models
    inputs = "".join(f'  {{ model = "{name}", weight = [0.4, 0.8], density = 0.5 }},\n' for name in others)
    return f"""\
{_sources(models)}[merge.skills]                      # every merge is a target: `modelbuild build skills`
method = "ties"                     # `modelbuild methods` lists the methods, `modelbuild methods ties` explains this one
base = "{base}"
inputs = [                          # a list of numbers is a gradient over the layers
{inputs}]

[merge.release]                     # a merge may read merges
method = "slerp"
inputs = ["skills", "{last}"]
t = [                               # the first rule whose filter matches a tensor gives its value
  {{ filter = "self_attn", value = 0.3 }},
  {{ value = 0.5 }},
]
output = {{ path = "out/release" }}   # what `modelbuild build` writes
"""


def soup(models: Models, depth: int) -> str:  # noqa: ARG001 - all templates have one shape
    """Write an average."""
    inputs = "".join(f'  {{ model = "{name}", weight = 1.0 }},\n' for name in models)
    return f"""\
{_sources(models)}[merge.release]                     # every merge is a target: `modelbuild build release`
method = "linear"                   # an average by weights; `modelbuild methods` lists others
inputs = [
{inputs}]
dtype = "bfloat16"
"""


TEMPLATES: Mapping[str, tuple[str, Callable[[Mapping[str, str], int], str], tuple[int, int]]] = {
    "slerp": ("one model half way to another, attention and MLP by their own shares", slerp, (2, 2)),
    "ties": ("several fine-tunes of one base, without letting them cancel out", ties, (2, 9)),
    "frankenmerge": ("a deeper model of layers of two", frankenmerge, (2, 2)),
    "moe": ("a mixture of experts, to which a gate sends each token", moe, (2, 9)),
    "multi-stage": ("merges of merges: task vectors first, then a slerp", multi_stage, (4, 9)),
    "soup": ("the average of several models", soup, (2, 9)),
}
"""By name: what comes of it, what writes it, and how many models it takes, the base among them."""

"""Mergekit's configurations that have no meaning here, and merges that have no words there."""

from __future__ import annotations

from tests.cli.errors.models import SLICED
from tests.cli.errors.products import PROMPTED
from tests.cli.errors.scene import Case, both, edit, files, more, sound

LINEAR = "merge_method: linear\nmodels: [{model: base}, {model: code}]\n"
LAUGHTER = "a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 6)
)
"""Six lines that are a million words."""

MIXTURE = """\
base_model: a/b
gate_mode: hiden
experts: [{source_model: a/b, noise_scale: 1}]
shared_experts: 3
models: [a/b]
"""
MODELS = """\
name: mine
merge_method: linear
models: [{model: ""}, a/b@v1@v2]
dtype: floot16
---
merge_method: linear
models: [mine+a/b, base]
"""
MODULES = """\
merge_method: linear
modules:
  default: {models: [base, code]}
  vision_tower: {models: [code, base]}
---
merge_method: linear
modules:
  vision_tower: {models: [code, base]}
tokenizer: {source: union}
"""
PARAMETERS = """\
merge_method: dare_linear
base_model: base
models: [{model: code, parameters: {dare: {drop_rate: half}}}]
parameters: {weight: [{filter: "*mlp*", value: 1}, {filter: x}]}
"""
SLICES = """\
merge_method: linear
slices:
- sources:
  - {model: base, layer_range: [1, 3], parameters: {weight: [{filter: layers.1., value: 0.5}, {value: 1}]}}
  - {model: code}
- parameters: {normalize: true}
"""
TOKENS = """\
merge_method: linear
models: [base, code]
tokenizer_source: union
tokenizer: {source: base}
---
merge_method: linear
models: [base, code]
tokenizer: {tokens: {a: {source: {kind: model_token, model: base, token: a, token_id: 3}}, b: {force: true}, c: {source: {kind: zeros}}}}
chat_template: lama
"""

PASSTHROUGH = 'method = "passthrough"\n'


HANDED_ON = """\
method = "slerp"
t = 0.5
slices = [
  { model = "base", layers = [0, 2] },
  { inputs = [{ model = "base", layers = [2, 3] }, { model = "skills", layers = [2, 3] }] },
]"""


def slerp(t: str) -> tuple[str, str]:
    """Give the merge another `t`."""
    return 't = [{ filter = "mlp", value = 0.3 }, { value = 0.6 }]', f"t = {t}"


def yaml(text: str) -> Case:
    """Read a configuration."""
    return files({"merge.yml": text}), "import merge.yml"


CASES: dict[str, Case] = {
    "a configuration with what nobody knows": (
        files({"merge.yml": "merge_method: slurp\nmodels: [{model: base, wieght: 1}]\ndtipe: bfloat16\n"}),
        "build merge.yml",
    ),
    "a file that is there already": (files({"merge.yml": LINEAR, "there.toml": ""}), "import merge.yml -o there.toml"),
    "two merges of one name": yaml(f"name: a\n{LINEAR}---\nname: a\n{LINEAR}"),
    "a key that stands there twice": yaml(f"{LINEAR}merge_method: slerp\n"),
    "YAML that merges what is no table": yaml("<<: 3\nmerge_method: linear\n"),
    "YAML that grows": yaml(LAUGHTER),
    "no YAML": yaml("a: [\n"),
    "YAML that makes objects": yaml("a: !!python/object:os.system {}\n"),
    "YAML of no table": yaml("- a\n"),
    "a mixture that is none": yaml(MIXTURE),
    "models that are none": yaml(MODELS),
    "modules of no model": yaml(MODULES),
    "parameters that say nothing": yaml(PARAMETERS),
    "slices that say too little": yaml(SLICES),
    "tokens that say too much": yaml(TOKENS),
    "rules by layers": (edit(slerp('[{ filter = "mlp", layers = [0, 2], value = 0.3 }, { value = 0.6 }]')), "export release"),
    "a filter that is no part of names": (
        edit(slerp('[{ filter = "mlp.*_proj", value = 0.3 }, { value = 0.6 }]')),
        "export release",
    ),
    "a gradient that norm and head go by": (edit(slerp("[0.2, 0.4]")), "export release"),
    "a second rounding": (edit(('method = "slerp"', 'method = "slerp"\noutput.dtype = "float16"')), "export release"),
    "a mixture among merges": (
        both(more(PROMPTED.replace('"code"', '"skills"')), edit(("[source.base]", 'default = ["mixed"]\n[source.base]'))),
        "export",
    ),
    "a seed": (edit(('method = "ties"', 'method = "dare_ties"\nseed = 3')), "export skills"),
    "a base that nothing is merged with": (
        edit((f'method = "slerp"\ninputs = ["base", "skills"]\n{slerp("")[0]}', f'{PASSTHROUGH}base = "base"\ninputs = ["skills"]')),
        "export release",
    ),
    "a slice that is handed on": (
        edit(
            (
                SLICED,
                HANDED_ON,
            )
        ),
        "export release",
    ),
    "the mean of a token": (more('tokenizer = { tokens = { x = { source = "mean" } } }\n'), "export release"),
    "the chat template of a model": (more('tokenizer = { chat_template = "code" }\n'), "export release"),
    "a file that stands": (files({"there.yml": ""}), "export release -o there.yml"),
    "a target that is none": (sound, "export nope"),
}

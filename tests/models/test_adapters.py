"""LoRA adapters applied as they are read, held against PEFT's own merging."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelbuild.errors import Exit, ModelbuildError
from modelbuild.usecases import Where, build
from tests.support.checkpoints import read_model, write_file
from tests.support.projects import Project
from tests.support.zoo import GROUPED

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # of PEFT

LLAMA = ("LlamaConfig", {**GROUPED, "tie_word_embeddings": False})
GPT2 = ("GPT2Config", {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 64, "n_positions": 32})
KINDS: dict[str, tuple[tuple[str, dict[str, Any]], dict[str, Any]]] = {
    "plain": (LLAMA, {"r": 4, "lora_alpha": 16, "target_modules": ["q_proj", "down_proj"]}),
    "all linear": (LLAMA, {"r": 2, "target_modules": "all-linear"}),
    "rank-stabilised": (LLAMA, {"r": 4, "lora_alpha": 3, "use_rslora": True, "target_modules": ["v_proj"]}),
    "by pattern": (
        LLAMA,
        {
            "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "up_proj"], "rank_pattern": {"up_proj": 7, "layers.1.self_attn.q_proj": 2},
            "alpha_pattern": {"layers.0.self_attn.q_proj": 5},
        },
    ),
    "embedding and saved modules": (LLAMA, {"r": 4, "target_modules": ["embed_tokens", "o_proj"], "modules_to_save": ["lm_head", "norm"]}),
    "transposed, with bias": (GPT2, {"r": 4, "target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True, "lora_bias": True}),
}  # fmt: skip


def adapter(directory: Path, base: Path, seed: int, **settings: Any) -> None:
    """Write a PEFT adapter of random factors."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                parameter.normal_(0, 0.1)
    model.save_pretrained(directory)


def base_model(directory: Path, kind: tuple[str, dict[str, Any]]) -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, kind[0])(**kind[1])
    transformers.AutoModelForCausalLM.from_config(config).to(torch.float32).save_pretrained(directory)


def merged_by_peft(base: Path, *adapters: Path) -> dict[str, np.ndarray]:
    """Merge adapters into a base with PEFT, one after the other, and return the parameters as the file calls them."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    for one in adapters:
        model = PeftModel.from_pretrained(model, one).merge_and_unload()
    model.save_pretrained(base.parent / "peft")
    return read_model(base.parent / "peft")


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_an_adapter_is_applied_as_peft_does(tmp_path: Path, name: str):
    kind, settings = KINDS[name]
    base_model(tmp_path / "base", kind)
    adapter(tmp_path / "adapter", tmp_path / "base", 1, **settings)
    (tmp_path / "Modelfile.toml").write_text("""\
[source.a]
from = "base"
adapters = [{ from = "adapter" }]
[merge.out]
method = "passthrough"
inputs = ["a"]
""")
    build(Where(tmp_path / "Modelfile.toml"))

    ours, theirs = read_model(tmp_path / "out" / "out"), merged_by_peft(tmp_path / "base", tmp_path / "adapter")
    before = read_model(tmp_path / "base")
    assert theirs.keys() == ours.keys()
    for tensor, values in theirs.items():
        np.testing.assert_allclose(values, ours[tensor], rtol=1e-5, atol=1e-6, err_msg=tensor)
    assert any(not np.array_equal(before[tensor], ours[tensor]) for tensor in before)


@pytest.mark.slow
def test_adapters_are_merged_and_stacked(tmp_path: Path):
    """Two on one source, the second at half its strength, merged with a third source: what changes is computed, and that alone."""
    base_model(tmp_path / "base", LLAMA)
    for seed, (name, modules) in enumerate({"one": ["q_proj", "v_proj"], "two": ["v_proj", "up_proj"]}.items()):
        adapter(tmp_path / name, tmp_path / "base", seed, r=4, target_modules=modules)
    text = """\
[source.base]
from = "base"
[source.chat]
from = "base"
adapters = [{ from = "one" }, { from = "two", scale = 0.5 }]
[merge.out]
method = "task_arithmetic"
base = "base"
inputs = [{ model = "chat", weight = 0.5 }]
"""
    (tmp_path / "Modelfile.toml").write_text(text)
    build(Where(tmp_path / "Modelfile.toml"))

    base, ours = read_model(tmp_path / "base"), read_model(tmp_path / "out" / "out")
    one, both = merged_by_peft(tmp_path / "base", tmp_path / "one"), merged_by_peft(tmp_path / "base", tmp_path / "one", tmp_path / "two")
    for tensor, values in base.items():
        chat = one[tensor] + 0.5 * (both[tensor] - one[tensor])
        np.testing.assert_allclose(values + 0.5 * (chat - values), ours[tensor], rtol=1e-5, atol=1e-6, err_msg=tensor)

    (tmp_path / "Modelfile.toml").write_text(text.replace("scale = 0.5", "scale = 0.25"))
    again = build(Where(tmp_path / "Modelfile.toml"))
    changed = 3 * 2  # v_proj and up_proj of three layers: adapted, and merged
    assert 2 * changed == again.actions.run


def loras(project: Project, *, config: dict[str, object] | None = None, name: str = "model.layers.0.mlp.up_proj") -> None:
    """Write a base, and an adapter by hand for one of its tensors."""
    project.family()
    rng = np.random.default_rng(0)
    factors = {
        f"base_model.model.{name}.lora_A.weight": rng.normal(0, 1, (2, 16)).astype(np.float32),
        f"base_model.model.{name}.lora_B.weight": rng.normal(0, 1, (24, 2)).astype(np.float32),
    }
    write_file(project.root / "adapter" / "adapter_model.safetensors", factors, "F32")
    (project.root / "adapter" / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4} | (config or {}))
    )
    project.write("""\
[source.a]
from = "base"
adapters = [{ from = "adapter" }]
[merge.out]
method = "passthrough"
inputs = ["a"]
dtype = "float32"
""")


def test_the_bytes_do_not_depend_on_chunks_and_threads(project: Project):
    """And the sum over the rank goes from the first term to the last, in float32, times alpha / r."""
    loras(project)
    project.build()
    before = project.hashes("out")

    project.build(force=True, jobs=1, memory=1 << 22)

    assert before == project.hashes("out")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights = pissa"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"lora_alpha": "four"}, "is not as PEFT writes it"),
        ({"alpha_pattern": [1]}, "is not as PEFT writes it"),
    ],
)
def test_what_is_no_sum_is_refused_by_name(project: Project, config: dict[str, object], said: str):
    loras(project, config=config)

    with pytest.raises(ModelbuildError, match=said) as caught:
        project.build()

    assert Exit.USAGE == caught.value.exit_code
    assert "Modelfile.toml:3:22" in str(caught.value)


def test_a_model_is_no_adapter(project: Project):
    loras(project)
    project.edit('{ from = "adapter" }', '{ from = "code" }')

    with pytest.raises(ModelbuildError, match=r"it has no adapter_config\.json") as caught:
        project.build()

    assert Exit.USAGE == caught.value.exit_code


def test_an_adapter_of_another_model_is_refused(project: Project):
    loras(project, name="model.layers.0.mlp.fc1")

    with pytest.raises(ModelbuildError, match=r"`a` has no tensor `model\.layers\.0\.mlp\.fc1\.weight`"):
        project.build()


def test_an_adapter_that_is_edited_rebuilds_what_it_changes(project: Project):
    loras(project)
    project.build()
    (project.root / "adapter" / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 8}))

    again = project.build()

    assert 2 == again.actions.run


def test_a_missing_adapter_is_told_where_it_is_named(project: Project):
    loras(project)
    project.edit('{ from = "adapter" }', '{ from = "elsewhere" }')

    with pytest.raises(ModelbuildError, match=r"elsewhere") as caught:
        project.build()

    assert Exit.SOURCE == caught.value.exit_code
    assert "source.a.adapters[0].from" in str(caught.value)


def test_a_lock_holds_adapters_too(project: Project):
    from modelbuild.usecases import Options, lock

    loras(project)
    lock(project.where)
    before = (project.root / "Modelfile.lock").read_text()
    assert "adapter_model.safetensors" in before
    project.build()

    write_file(
        project.root / "adapter" / "adapter_model.safetensors",
        {
            "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight": np.ones((2, 16), np.float32),
            "base_model.model.model.layers.0.mlp.up_proj.lora_B.weight": np.ones((24, 2), np.float32),
        },
        "F32",
    )
    with pytest.raises(ModelbuildError) as caught:
        build(project.where, (), Options(locked=True))
    assert Exit.LOCK == caught.value.exit_code


def extracted(tmp_path: Path, kind: tuple[str, dict[str, Any]], rank: int) -> dict[str, np.ndarray]:
    """Extract an adapter of a tuned model, and return the base with it, merged by PEFT."""
    import torch
    from transformers import AutoModelForCausalLM

    base_model(tmp_path / "base", kind)
    tuned = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if parameter.ndim == 2 and "emb" not in name and "wte" not in name and "wpe" not in name and "lm_head" not in name:
                parameter.add_(torch.randn_like(parameter) / 10)
    tuned.save_pretrained(tmp_path / "tuned")
    (tmp_path / "Modelfile.toml").write_text(f"""\
[source]
base.from = "base"
tuned.from = "tuned"
[merge.lora]
method = "extract_lora"
base = "base"
inputs = ["tuned"]
rank = {rank}
""")
    build(Where(tmp_path / "Modelfile.toml"))
    return merged_by_peft(tmp_path / "base", tmp_path / "out" / "lora")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [LLAMA, GPT2], ids=["Llama", "GPT-2"])
def test_an_extracted_adapter_of_full_rank_is_the_tuned_model(tmp_path: Path, kind: tuple[str, dict[str, Any]]):
    merged = extracted(tmp_path, kind, 64)

    for name, values in read_model(tmp_path / "tuned").items():
        np.testing.assert_allclose(values, merged[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_an_extracted_adapter_is_the_nearest_of_its_rank(tmp_path: Path):
    """What is missing is what the other singular values hold."""
    merged = extracted(tmp_path, LLAMA, 4)
    base, tuned = read_model(tmp_path / "base"), read_model(tmp_path / "tuned")

    name = "model.layers.1.mlp.up_proj.weight"
    values = np.linalg.svd(tuned[name] - base[name], compute_uv=False)
    assert np.linalg.norm(tuned[name] - merged[name]) == pytest.approx(np.linalg.norm(values[4:]), rel=1e-3)
    assert sorted(path.name for path in (tmp_path / "out" / "lora").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "modelbuild.json",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("combine", ["cat", "svd"])
def test_adapters_are_merged_into_one(tmp_path: Path, combine: str):
    """Of unlike ranks and modules, weighted: the sum of what each does to the base."""
    base_model(tmp_path / "base", LLAMA)
    adapter(tmp_path / "one", tmp_path / "base", 1, r=4, lora_alpha=8, target_modules=["q_proj", "up_proj"])
    adapter(tmp_path / "two", tmp_path / "base", 2, r=2, lora_alpha=2, target_modules=["up_proj", "v_proj"])
    (tmp_path / "Modelfile.toml").write_text(f"""\
[source]
one.from = "one"
two.from = "two"
[merge.both]
method = "merge_loras"
inputs = [{{ model = "one", weight = 0.5 }}, {{ model = "two", weight = 2 }}]
combine = "{combine}"
rank = 6
""")
    build(Where(tmp_path / "Modelfile.toml"))

    base, both = read_model(tmp_path / "base"), merged_by_peft(tmp_path / "base", tmp_path / "out" / "both")
    one, two = merged_by_peft(tmp_path / "base", tmp_path / "one"), merged_by_peft(tmp_path / "base", tmp_path / "two")
    for name, values in base.items():
        expected = values + 0.5 * (one[name] - values) + 2 * (two[name] - values)
        np.testing.assert_allclose(expected, both[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('method = "extract_lora"\ninputs = ["a"]', "needs a base"),
        ('method = "extract_lora"\nbase = "a"\ninputs = ["a"]\nrank = 0', "`rank` cannot have this value"),
        ('method = "extract_lora"\nbase = "a"\ninputs = ["a"]\nrnak = 4', "did you mean `rank`?"),
        ('method = "merge_loras"\ninputs = ["a"]', "`a` is no adapter"),
    ],
)
def test_adapters_that_cannot_be_made_are_told(project: Project, text: str, said: str):
    project.family()
    project.write(f'[source.a]\nfrom = "base"\n[merge.out]\n{text}\n')

    with pytest.raises(ModelbuildError) as caught:
        project.build()

    assert said in str(caught.value)

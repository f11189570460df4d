"""Exports read by the programs that they are for: llama.cpp, and transformers with compressed-tensors or torchao."""

from __future__ import annotations

import json
import shutil
import urllib.request
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from modelbuild.errors import Exit
from tests.support.projects import Project

FAMILY = Path(__file__).parents[2] / "examples" / "family"
TOKENS = 64
CLOSE = 1e-3
"""Of two logits: nearer than this, either token may come first."""

MODELFILE = f"""\
[source.base]
from = "{FAMILY / "base"}"
[source.code]
from = "{FAMILY / "code"}"
[merge.release]
method = "slerp"
inputs = ["base", "code"]
t = 0.4
"""

TEXTS = (
    "def main(self):\n    return", "My fellow citizens,", "for (int i = 0; i < n; i++) {", "The whale", "import os\nimport sys\n\n", "class Reader:\n",
    "#include <vector>\n", "We have 12345 reasons, and 6 * 7 = 42", "Grüße, 世界! naïve café", "  leading spaces", "if not isinstance(value, str):\n        raise",
    "The Congress of the United States", "return std::move(", "Call me", "\t\ttabs and\n\n\nlines", "template <typename T>\n", "# comment: don't, WE'LL, it's",
    "with open(path, 'rb') as file:\n", "In the year 1860,", "x = [1, 2, 3]\ny = {",
)  # fmt: skip


@contextmanager
def llama_cpp(path: Path) -> Iterator[Any]:
    """Serve a file by llama.cpp, with keys and values in float32; yield what asks it."""
    xllamacpp = pytest.importorskip("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.n_parallel, params.warmup, params.verbosity = str(path), 512, 1, False, -1
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(params)

    def ask(what: str, **body: object) -> list[int]:
        request = urllib.request.Request(  # noqa: S310 - it serves on this machine
            f"{server.listening_address}/{what}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310 - the same
            tokens: list[int] = json.load(answer)["tokens"]
            return tokens

    yield ask


def goes_on(ask: Any, prompt: Sequence[int]) -> list[int]:
    """Let llama.cpp go on from a prompt, always with the likeliest token."""
    tokens: list[int] = ask("completion", prompt=list(prompt), n_predict=TOKENS, temperature=0, return_tokens=True, cache_prompt=False)
    return tokens


def differing(model: Any, prompt: Sequence[int], tokens: Sequence[int]) -> float:
    """Return by how much transformers likes another token better than one of these, at most; 0 where it likes none."""
    import torch

    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *tokens]])).logits[0, len(prompt) - 1 : -1]
    chosen = logits.gather(1, torch.tensor(tokens)[:, None])[:, 0]
    return float((logits.max(dim=1).values - chosen).max())


def loaded(path: Path) -> Any:
    """Load a model in float32, whatever libraries that are asked for say of each other."""
    import torch
    from transformers import AutoModelForCausalLM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def write_random(directory: Path, kind: str) -> None:
    """Write a random model of a kind with the tokenizer of the family; its logits are far apart."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    told = {
        "hidden_size": 128,
        "intermediate_size": 192,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.15,
    }
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, vocab_size=2048, max_position_embeddings=512, **told))
    for name, values in model.named_parameters():
        if values.ndim == 1:
            values.data = torch.randn_like(values) / 10 + float("norm" in name)
    model.save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(FAMILY / "base" / name, directory)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["family", "qwen2", "qwen3", "mistral"])
def test_llama_cpp_goes_on_with_the_tokens_of_transformers(project: Project, kind: str):
    """64 tokens from 20 prompts, whose tokens are the same too; llama.cpp stops after the token that ends a text."""
    pytest.importorskip("gguf")
    from tokenizers import Tokenizer

    project.write(MODELFILE)
    if kind != "family":
        write_random(project.root / "random", kind)
        project.write('[source.random]\nfrom = "random"\n[merge.release]\nmethod = "passthrough"\ninputs = ["random"]\n')
    project.write((project.root / "Modelfile.toml").read_text() + '[export.whole]\nof = "release"\nformat = "gguf"\ntype = "f32"\n')
    assert Exit.DONE == project.build("whole").exit_code
    tokenizer = Tokenizer.from_file(str(FAMILY / "base" / "tokenizer.json"))
    prompts = [tokenizer.encode(text).ids for text in TEXTS]
    model = loaded(project.root / "out/release")

    with llama_cpp(project.root / "out/whole.gguf") as ask:
        assert prompts == [ask("tokenize", content=text, add_special=True, parse_special=False) for text in TEXTS]
        continued = [goes_on(ask, prompt) for prompt in prompts]

    assert all(len(tokens) == TOKENS or tokens[-1] == 1 for tokens in continued)
    assert max(differing(model, *both) for both in zip(prompts, continued, strict=True)) <= CLOSE


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "most"), [("q8_0", 0.35), ("bf16", 0.1), ("q4_0", 4.0), ("mxfp4", 6.0)])
def test_llama_cpp_runs_quantised_files_and_strays_as_little_as_their_type_allows(project: Project, kind: str, most: float):
    """By logits of the merge itself, which are 3 on average: by how much the best token of any step is liked more than the one chosen."""
    pytest.importorskip("gguf")
    from tokenizers import Tokenizer

    project.write(f'{MODELFILE}[export.small]\nof = "release"\nformat = "gguf"\ntype = "{kind}"\n')
    assert Exit.DONE == project.build("small").exit_code
    tokenizer = Tokenizer.from_file(str(FAMILY / "base" / "tokenizer.json"))
    prompts = [tokenizer.encode(text).ids for text in TEXTS]
    model = loaded(project.root / "out/release")

    with llama_cpp(project.root / "out/small.gguf") as ask:
        continued = [goes_on(ask, prompt) for prompt in prompts]

    assert max(differing(model, *both) for both in zip(prompts, continued, strict=True)) <= most


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "package", "share"),
    [
        ('"fp8"', "compressed_tensors", 0.04),
        ('"fp8"\nscales = "tensor"', "compressed_tensors", 0.04),
        ('"int4"', "compressed_tensors", 0.1),
        ('"int8"', "torchao", 0.02),
    ],
)
def test_transformers_reads_rounded_checkpoints(project: Project, form: str, package: str, share: float):
    """Logits differ by a share of what they are on average."""
    pytest.importorskip(package)
    import torch
    from safetensors.torch import load_file

    project.write(f'{MODELFILE}[export.small]\nof = "release"\nformat = {form}\n')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert Exit.DONE == project.build("small").exit_code
    tokens = load_file(FAMILY / "heldout.safetensors")
    some = next(iter(tokens.values()))[:2, :64].long()

    with torch.no_grad():
        expected, found = (loaded(project.root / "out" / name)(some).logits for name in ("release", "small"))

    assert 0 < float((expected - found).abs().mean()) <= share * float(expected.abs().mean())
    assert (project.root / "out/small/model.safetensors").stat().st_size < 0.8 * (
        project.root / "out/release/model.safetensors"
    ).stat().st_size

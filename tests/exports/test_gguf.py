"""GGUF files read back: what they say of the model and its tokenizer, and the values of their tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

gguf = pytest.importorskip("gguf")

from modelbuild.errors import Exit, ModelbuildError  # noqa: E402
from modelbuild.usecases import Options, build  # noqa: E402 - only where GGUF files are written
from tests.exports.models import HEADS, SPECIAL, TEMPLATE, WIDTH, byte_level, with_bytes_to_fall_back_on, write_project  # noqa: E402
from tests.support.checkpoints import Tensors  # noqa: E402
from tests.support.projects import Project  # noqa: E402

EXPORT = '[export.small]\nof = "release"\nformat = "gguf"\n'

QUANTISED = {"q8_0": 1 / 254, "q5_1": 1 / 31, "q4_0": 1 / 8}
"""By how much a number may be off, as a share of the largest, or of the range, of its block of 32: half a step, or a whole one
where the sign of the largest decides to which side there is one step less.  The scale is a float16, which is off by an eighth of that at most."""


def exported(project: Project, name: str = "small") -> gguf.GGUFReader:
    """Build an export and open it."""
    assert project.build(name, no_check=True).exit_code == Exit.DONE
    return gguf.GGUFReader(project.root / f"out/{name}.gguf")


def fields(reader: gguf.GGUFReader) -> dict[str, object]:
    return {name: field.contents() for name, field in reader.fields.items()}


def values(reader: gguf.GGUFReader) -> dict[str, np.ndarray]:
    return {one.name: gguf.dequantize(one.data, one.tensor_type).reshape(one.shape[::-1]) for one in reader.tensors}


def neighbours(values: np.ndarray, heads: int) -> np.ndarray:
    """Set rows i and i + half of each head side by side."""
    order = [head * WIDTH + half * WIDTH // 2 + i for head in range(heads) for i in range(WIDTH // 2) for half in range(2)]
    return values[order]


def renamed(merged: Tensors, *, rotated: bool) -> dict[str, np.ndarray]:
    """Name tensors as llama.cpp does, and turn queries and keys where it does."""
    words = {
        "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "model.layers": "blk", "self_attn.o_proj": "attn_output",
        "self_attn.": "attn_", "_proj": "", "mlp.": "ffn_", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    found = {}
    for name, array in merged.items():
        heads = HEADS if ".q_proj" in name else HEADS // 2 if ".k_proj" in name else 0
        told = name
        for old, new in words.items():
            told = told.replace(old, new)
        found[told] = neighbours(array, heads) if heads and rotated else array
    return found


def test_a_file_says_of_the_model_what_config_json_says(project: Project):
    write_project(project, EXPORT)

    told = fields(exported(project))

    expected = {
        "general.architecture": "llama", "llama.block_count": 2, "llama.context_length": 256, "llama.embedding_length": 64,
        "llama.feed_forward_length": 96, "llama.attention.head_count": 4, "llama.attention.head_count_kv": 2, "llama.attention.key_length": 16,
        "llama.rope.dimension_count": 16, "llama.rope.freq_base": 500000.0, "llama.vocab_size": 40, "general.file_type": 0,
    }  # fmt: skip
    assert expected == {name: told[name] for name in expected}
    assert pytest.approx(1e-5) == told["llama.attention.layer_norm_rms_epsilon"]


def test_a_file_holds_the_tokenizer(project: Project):
    write_project(project, EXPORT)

    told = fields(exported(project))

    assert ("gpt2", "gpt-2") == (told["tokenizer.ggml.model"], told["tokenizer.ggml.pre"])
    tokens = told["tokenizer.ggml.tokens"]
    assert [*SPECIAL[:2], "a", "Ġthe", SPECIAL[2], "<unused row 34>", 40] == [*tokens[:3], tokens[32], tokens[33], tokens[34], len(tokens)]
    assert [3, 3, 1, 1, 3, 5] == [told["tokenizer.ggml.token_type"][at] for at in (0, 1, 2, 32, 33, 34)]
    assert ["t h", "th e", "Ġ the"] == told["tokenizer.ggml.merges"]
    assert (0, 1, 33) == tuple(told[f"tokenizer.ggml.{name}_token_id"] for name in ("bos", "eos", "eot"))
    assert (True, False) == (told["tokenizer.ggml.add_bos_token"], told["tokenizer.ggml.add_eos_token"])
    assert TEMPLATE == told["tokenizer.chat_template"]


def test_pieces_get_scores_in_the_order_of_their_merges(project: Project):
    write_project(project, EXPORT, with_bytes_to_fall_back_on(), rows=272)

    told = fields(exported(project))

    assert "llama" == told["tokenizer.ggml.model"]
    assert [0.0, -1.0] == told["tokenizer.ggml.scores"][267:269]
    assert max(told["tokenizer.ggml.scores"][259:267]) < -1.0
    assert [2, 3, 3, 6, 1, 5] == [told["tokenizer.ggml.token_type"][at] for at in (0, 1, 2, 3, 268, 269)]
    assert told["tokenizer.ggml.add_space_prefix"]


@pytest.mark.parametrize(("kind", "biases", "rotated"), [("llama", True, True), ("mistral", False, True), ("qwen2", True, False)])
def test_tensors_are_those_of_the_model_with_heads_as_llama_cpp_turns_them(project: Project, kind: str, biases: bool, rotated: bool):
    merged = write_project(project, EXPORT, kind=kind, biases=biases)

    held = values(exported(project))

    expected = renamed(merged, rotated=rotated)
    assert expected.keys() == held.keys()
    assert all(np.array_equal(expected[name], held[name]) for name in expected)


@pytest.mark.parametrize("kind", QUANTISED)
def test_quantised_numbers_are_as_near_as_their_type_allows(project: Project, kind: str):
    merged = write_project(project, f'{EXPORT}type = "{kind}"\n')

    held = values(exported(project))

    for name, array in renamed(merged, rotated=True).items():
        if array.ndim == 1:
            assert np.array_equal(array, held[name])
            continue
        share = QUANTISED["q8_0" if name in ("token_embd.weight", "output.weight") else kind]
        blocks, found = array.reshape(-1, 32), held[name].reshape(-1, 32)
        span = np.ptp(blocks, axis=1) if kind.endswith("_1") and share == QUANTISED[kind] else np.abs(blocks).max(axis=1)
        assert (np.abs(blocks - found).max(axis=1) <= span * share * 1.13).all()
        assert (np.abs(blocks - found).max(axis=1) > 0).any()


@pytest.mark.parametrize(("stored", "kind"), [("F32", 0), ("F16", 1), ("BF16", 32)])
def test_without_a_type_matrices_stay_as_they_are_stored(project: Project, stored: str, kind: int):
    write_project(project, EXPORT, dtype=stored)

    assert kind == fields(exported(project))["general.file_type"]


def test_the_bytes_are_the_same_for_any_number_of_threads(project: Project, monkeypatch: pytest.MonkeyPatch):
    write_project(project, f'{EXPORT}type = "q4_0"\n')
    monkeypatch.setattr("modelbuild.exports.subject.CHUNK", 4096)
    found = set()
    for jobs in (1, 3):
        project.build("small", jobs=jobs, force=True)
        found.add((project.root / "out/small.gguf").read_bytes())
    monkeypatch.undo()
    project.build("small", force=True)

    assert {(project.root / "out/small.gguf").read_bytes()} == found


def test_frequencies_of_llama_3_become_factors(project: Project):
    """By hand: a wave of 2 pi fits the 64 positions 10.2 times, more often than 4, and stays; the longest is stretched by 8."""
    rope = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    write_project(project, EXPORT, rope_scaling=rope)

    factors = values(exported(project))["rope_freqs.weight"]

    assert (8,) == factors.shape
    assert (1.0, 8.0) == (factors[0], factors[-1])


def refused(project: Project, exit_code: Exit = Exit.USAGE) -> str:
    with pytest.raises(ModelbuildError) as error:
        project.build("small")
    assert exit_code == error.value.exit_code
    assert not (project.root / "out/release").exists()
    return str(error.value)


def test_what_gguf_has_no_words_for_is_refused_before_any_work(project: Project):
    write_project(project, EXPORT, kind="gpt2")
    text = refused(project)
    assert "a model of type `gpt2` is not written as GGUF\n  --> " in text
    assert "Modelfile.toml:10:10, at `export.small.format`" in text

    write_project(project, EXPORT, rope_scaling={"rope_type": "longrope", "factor": 2.0})
    assert "GGUF has no words for this scaling of positions: `longrope`" in refused(project)

    write_project(project, EXPORT, rows=33)
    assert "its tokenizer has tokens without rows" in refused(project)

    write_project(project, EXPORT)
    for name in ("base", "code"):
        (project.root / name / "tokenizer.json").unlink()
    assert "the model has no tokenizer" in refused(project)


def test_a_way_to_cut_text_that_has_no_name_is_refused_unless_one_is_given(project: Project):
    cutter = {"type": "Split", "pattern": {"Regex": "[aeiou]"}, "behavior": "Isolated", "invert": False}
    write_project(project, EXPORT, byte_level({"type": "Sequence", "pretokenizers": [cutter, {"type": "ByteLevel", "use_regex": False}]}))

    assert "it cuts by [aeiou]\n" in refused(project)

    project.write((project.root / "Modelfile.toml").read_text() + 'pre_tokenizer = "llama-bpe"\n')
    assert "llama-bpe" == fields(exported(project))["tokenizer.ggml.pre"]


def test_a_number_too_large_for_f16_fails_the_export_and_the_old_file_stands(project: Project):
    write_project(project, f'{EXPORT}type = "f16"\n')
    exported(project)
    before = (project.root / "out/small.gguf").read_bytes()
    project.edit('inputs = ["base", "code"]', 'inputs = [{ model = "base", weight = 1e6 }, "code"]\nnormalize = false')

    outcome = project.build("small")

    assert Exit.ACTION_FAILED == outcome.exit_code
    assert ["built", "failed"] == [target.state for target in outcome.targets]
    assert "` cannot be stored as f16" in outcome.problems[0].what
    assert "are too large for f16, or no numbers" in str(outcome.problems[0])
    assert before == (project.root / "out/small.gguf").read_bytes()
    assert [] == [path.name for path in (project.root / "out").iterdir() if path.name.startswith(".")]


def test_a_damaged_output_is_not_exported(project: Project, tmp_path: Path):
    """With the stat tuple as it was: nothing tells of it but the bytes."""
    import os

    write_project(project, EXPORT)
    project.build("release")
    path = project.root / "out/release/model.safetensors"
    status, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    outcome = build(project.where, ("small",), Options())

    assert Exit.DIGEST == outcome.exit_code
    assert "is not what was published there" in str(outcome.problems[0])

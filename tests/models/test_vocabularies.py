"""Vocabularies of unlike models: by the base's tokens, by those of all, by rows; and what is said where nothing is said."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

from modelbuild.errors import Exit, ModelbuildError
from tests.support.checkpoints import HIDDEN, llama_config, random_tensors, read_model, write_model
from tests.support.projects import Project

TEXT = ["a lazy dog jumps over the quick brown fox", "pack my box with five dozen liquor jugs", "merging models by their tokens"]
EMBED, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def tokenizer(added: Sequence[str] = (), *, more: Sequence[str] = ()) -> Tokenizer:
    """Train a byte-level BPE tokenizer on three sentences, and add tokens to it; with `more` text it learns other words."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made.train_from_iterator([*TEXT, *more], trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=["<s>", "</s>"]))
    made.add_special_tokens([AddedToken(token, special=True) for token in added])
    return made


def model(
    project: Project, name: str, made: Tokenizer, seed: int, *, padding: int = 0, config: dict[str, object] | None = None
) -> np.ndarray:
    """Write a model with a row for each token of a tokenizer, and rows beyond; return its embedding."""
    rows = made.get_vocab_size() + padding
    tensors = random_tensors(0)
    rng = np.random.default_rng(seed)
    for tensor in (EMBED, HEAD):
        tensors[tensor] = rng.normal(0, 1, (rows, HIDDEN)).astype(np.float32)
    more = {"vocab_size": rows, "bos_token_id": 0, "eos_token_id": 1}
    write_model(project.root / name, tensors, dtype="F32", config={**llama_config(3), **more, **(config or {})})
    made.save(str(project.root / name / "tokenizer.json"))
    table = {"added_tokens_decoder": {}, "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"}
    (project.root / name / "tokenizer_config.json").write_text(json.dumps(table))
    return tensors[EMBED]


def merged(project: Project, more: str, *, method: str = 'method = "linear"\ninputs = ["a", "b"]') -> dict[str, np.ndarray]:
    """Build `out`, and return its tensors."""
    sources = "".join(f'[source.{name}]\nfrom = "{name}"\n' for name in "abc" if (project.root / name).exists())
    project.write(f"{sources}[merge.out]\n{method}\n{more}\n")
    project.build()
    return read_model(project.root / "out" / "out")


def config_of(project: Project) -> dict[str, object]:
    return json.loads((project.root / "out" / "out" / "config.json").read_text())


def written(project: Project) -> Tokenizer:
    return Tokenizer.from_file(str(project.root / "out" / "out" / "tokenizer.json"))


def test_unlike_vocabularies_are_told_with_their_counts_and_the_ways_out(project: Project):
    model(project, "a", tokenizer(), 1)
    model(project, "b", tokenizer(["<|im_start|>", "<|im_end|>"]), 2)

    with pytest.raises(ModelbuildError) as caught:
        merged(project, "")

    (problem,) = caught.value.problems
    size = tokenizer().get_vocab_size()
    assert (
        f"`a` has {size} rows",
        f"`b` has {size + 2} rows",
        f"the tokenizer of `a` has {size} tokens",
        f"the tokenizer of `b` has {size + 2} tokens",
    ) == problem.facts
    assert all(word in problem.hint for word in ("base", "union", 'vocabulary = "common"'))


def test_common_rows_are_merged_and_the_tokenizer_is_that_of_the_smallest(project: Project):
    b = model(project, "b", tokenizer(["<|im_start|>", "<|im_end|>"]), 2)
    a = model(project, "a", tokenizer(), 1)

    tensors = merged(project, 'vocabulary = "common"', method='method = "linear"\ninputs = ["b", "a"]')

    np.testing.assert_allclose((a + b[: len(a)]) / 2, tensors[EMBED], rtol=1e-6)
    assert len(a) == len(tensors[HEAD]) == config_of(project)["vocab_size"] == written(project).get_vocab_size()


def test_a_union_has_the_tokens_of_all_and_rows_of_those_that_know_them(project: Project):
    """The base's ids stay; a token that one model has takes its row, one that two have their mean."""
    base = model(project, "a", tokenizer(), 1)
    chat = model(project, "b", tokenizer(["<|im_start|>", "<|x|>"]), 2)
    code = model(project, "c", tokenizer(["<|x|>", "<|code|>"]), 3)
    size = len(base)

    tensors = merged(project, 'tokenizer.source = "union"', method='method = "linear"\ninputs = ["a", "b", "c"]')

    np.testing.assert_allclose((base + chat[:size] + code[:size]) / 3, tensors[EMBED][:size], rtol=1e-5, atol=1e-6)
    x = (chat[size + 1] + code[size]) / 2
    expected = [chat[size], (x + chat[size + 1] + code[size]) / 3, code[size + 1]]
    np.testing.assert_allclose(expected, tensors[EMBED][size:], rtol=1e-5, atol=1e-6)
    assert {"<|im_start|>": size, "<|x|>": size + 1, "<|code|>": size + 2} == {
        token: written(project).token_to_id(token) for token in ("<|im_start|>", "<|x|>", "<|code|>")
    }
    assert size + 3 == config_of(project)["vocab_size"] == len(tensors[HEAD])


def test_each_models_text_is_split_by_a_union_as_before(project: Project):
    """The same tokens, by their names: ids of the base, and whatever ids the others had."""
    one, other = tokenizer(["<|im_start|>"]), tokenizer(["<|tool|>", "<|im_start|>"])
    model(project, "a", one, 1)
    model(project, "b", other, 2)

    merged(project, 'tokenizer.source = "union"')

    for text in (*TEXT, "<|im_start|>pack my <|tool|> box</s>"):
        both = written(project).encode(text)
        assert other.encode(text).tokens == both.tokens
        assert ("<|tool|>" in text) or one.encode(text).ids == both.ids
    config = json.loads((project.root / "out" / "out" / "tokenizer_config.json").read_text())
    assert "<|tool|>" == config["added_tokens_decoder"][str(one.get_vocab_size())]["content"]


def test_rows_follow_their_tokens_to_other_ids(project: Project):
    """Tokenizers of the same tokens in another order: the second model's rows come in the order of the first's."""
    one, other = tokenizer(["<|a|>", "<|b|>"]), tokenizer(["<|b|>", "<|a|>"])
    a, b = model(project, "a", one, 1), model(project, "b", other, 2)

    tensors = merged(project, 'tokenizer.source = "base"')

    size = one.token_to_id("<|a|>")
    np.testing.assert_allclose((a[size] + b[size + 1]) / 2, tensors[EMBED][size], rtol=1e-6)
    np.testing.assert_allclose((a[size + 1] + b[size]) / 2, tensors[EMBED][size + 1], rtol=1e-6)
    assert one.to_str() == written(project).to_str()


def test_the_tokenizer_of_another_model_brings_its_order_and_special_ids(project: Project):
    one, other = tokenizer(), tokenizer(["<|im_end|>"])
    a = model(project, "a", one, 1)
    b = model(project, "b", other, 2, config={"eos_token_id": other.token_to_id("<|im_end|>")})

    tensors = merged(project, 'tokenizer.source = "b"')

    size = len(a)
    np.testing.assert_allclose((a + b[:size]) / 2, tensors[EMBED][:size], rtol=1e-6)
    np.testing.assert_allclose(b[size], tensors[EMBED][size], rtol=1e-6)
    assert (size + 1, size) == (config_of(project)["vocab_size"], config_of(project)["eos_token_id"])
    assert other.to_str() == written(project).to_str()


def test_a_row_may_be_named_by_its_number(project: Project):
    """Also one that no token has."""
    a = model(project, "a", tokenizer(), 1)
    b = model(project, "b", tokenizer(), 2, padding=3)

    tensors = merged(project, f'tokenizer.tokens = {{ "<s>" = {{ source = "b", id = {len(a) + 2}, force = true }} }}')

    np.testing.assert_array_equal(b[len(a) + 2], tensors[EMBED][0])
    np.testing.assert_allclose((a[1] + b[1]) / 2, tensors[EMBED][1], rtol=1e-6)


def test_tokens_come_from_where_they_are_told_to(project: Project):
    """From a model, from another token, as zero, as the mean; without force only where a model lacks the token."""
    a = model(project, "a", tokenizer(["<|x|>"]), 1)
    b = model(project, "b", tokenizer(["<|x|>", "<|y|>", "<|z|>"]), 2)
    x = len(a) - 1

    tensors = merged(
        project,
        """\
tokenizer = { source = "union", tokens = {
  "<|x|>" = { source = "b", force = true },
  "<|y|>" = { source = "a", token = "<s>", force = true },
  "<|z|>" = { source = "zero" },
  "</s>" = { source = "b" },
} }""",
    )

    np.testing.assert_allclose([b[x], a[0], b[x + 2] / 2], tensors[EMBED][x:], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose((a[1] + b[1]) / 2, tensors[EMBED][1], rtol=1e-6)


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ('{ "<|q|>" = { source = "b" } }', "no token of the result is `<|q|>`"),
        ('{ "<s>" = { source = "nobody" } }', "no source or merge is called `nobody`"),
        ('{ "<s>" = { source = "b", token = "<|q|>" } }', "`b` has no token `<|q|>`"),
        ('{ "<s>" = { source = "b", id = 9999 } }', "there is no row 9999"),
        ('{ "<s>" = { source = "b", id = 1, token = "<s>" } }', "`token` and `id` both name the row"),
    ],
)
def test_a_token_that_is_nowhere_is_told(project: Project, tokens: str, said: str):
    model(project, "a", tokenizer(), 1)
    model(project, "b", tokenizer(["<|x|>"]), 2)

    with pytest.raises(ModelbuildError, match=said.replace("|", r"\|")):
        merged(project, f'tokenizer = {{ source = "union", tokens = {tokens} }}')


def test_padding_is_kept_and_made(project: Project):
    """Rows beyond the tokenizer stay, new tokens take them first, and the number of rows becomes a multiple."""
    a = model(project, "a", tokenizer(), 1, padding=5)
    b = model(project, "b", tokenizer(["<|x|>"]), 2, padding=5)
    size = tokenizer().get_vocab_size()

    tensors = merged(project, 'tokenizer.source = "union"')
    assert len(a) == len(tensors[EMBED])
    np.testing.assert_allclose((a[size + 1 : size + 5] + b[size + 1 : size + 5]) / 2, tensors[EMBED][size + 1 : size + 5], rtol=1e-6)

    tensors = merged(project, 'tokenizer = { source = "union", pad_to_multiple_of = 64 }')
    assert -(-len(a) // 64) * 64 == len(tensors[EMBED]) == len(tensors[HEAD]) == config_of(project)["vocab_size"]


def test_a_task_vector_of_a_new_token_is_nothing_and_its_row_arrives(project: Project):
    """Where the base lacks a token it takes the row of the model that has it."""
    model(project, "a", tokenizer(), 1)
    b = model(project, "b", tokenizer(["<|x|>"]), 2)

    tensors = merged(project, 'tokenizer.source = "union"', method='method = "ties"\nbase = "a"\ninputs = ["b"]\ndensity = 0.5')

    assert np.array_equal(b[-1], tensors[EMBED][-1])


def test_ordinary_tokens_of_another_tokenizer_get_rows_and_are_told(project: Project):
    """They are in the vocabulary, and no merge makes them: text is split as the base splits it."""
    one, other = tokenizer(), tokenizer(more=["zebra zebra zebra zebra zebra"])
    model(project, "a", one, 1)
    model(project, "b", other, 2)
    sources = '[source]\na.from = "a"\nb.from = "b"\n'
    project.write(f'{sources}[merge.out]\nmethod = "linear"\ninputs = ["a", "b"]\ntokenizer.source = "union"\n')

    outcome = project.build()

    strange = set(other.get_vocab()) - set(one.get_vocab())
    assert any(f"{len(strange)} ordinary tokens of other tokenizers" in warning for warning in outcome.warnings)
    assert set(one.get_vocab()) | strange == set(written(project).get_vocab())
    assert one.encode("a zebra jumps").ids == written(project).encode("a zebra jumps").ids


def test_same_sizes_and_other_tokens_are_an_error_or_a_warning_by_their_number(project: Project):
    model(project, "a", tokenizer(["<|a|>"]), 1)
    model(project, "b", tokenizer(["<|b|>"]), 2)
    project.write('[source]\na.from = "a"\nb.from = "b"\n[merge.out]\nmethod = "linear"\ninputs = ["a", "b"]\n')

    size = tokenizer(["<|a|>"]).get_vocab_size()
    assert [f"`out` merges by rows: 1 of {size} rows have other tokens in `b` than in `a`: `<|a|>`, `<|b|>`"] == list(
        project.build().warnings
    )

    model(project, "b", tokenizer(["<|b|>"], more=["zebra zebra zebra zebra zebra"]), 2)
    other = Tokenizer.from_file(str(project.root / "b" / "tokenizer.json"))
    model(project, "a", tokenizer([f"<|{i}|>" for i in range(other.get_vocab_size() - size + 1)]), 1)
    with pytest.raises(ModelbuildError, match="different vocabularies"):
        project.build()


def test_a_second_build_computes_no_row_again(project: Project):
    model(project, "a", tokenizer(), 1)
    model(project, "b", tokenizer(["<|x|>"]), 2)
    merged(project, 'tokenizer.source = "union"')
    before = project.hashes("out")

    again = project.build()

    assert 0 == again.actions.run
    assert before == project.hashes("out")
    project.build(force=True, jobs=1, memory=1 << 24)
    assert before == project.hashes("out")


@pytest.mark.slow
@pytest.mark.parametrize("which", ["chatml", "b", "mine.jinja", "{{ messages[0]['content'] }}"])
def test_chat_templates_come_by_name_from_a_model_a_file_or_as_text(project: Project, which: str):
    from transformers import AutoTokenizer

    model(project, "a", tokenizer(["<|im_start|>", "<|im_end|>"]), 1)
    model(project, "b", tokenizer(["<|im_start|>", "<|im_end|>"]), 2)
    (project.root / "b" / "chat_template.jinja").write_text("{% for m in messages %}[{{ m['content'] }}]{% endfor %}")
    table = json.loads((project.root / "a" / "tokenizer_config.json").read_text()) | {"chat_template": "old"}
    (project.root / "a" / "tokenizer_config.json").write_text(json.dumps(table))
    (project.root / "mine.jinja").write_text("{% for m in messages %}<{{ m['content'] }}>{% endfor %}")

    merged(project, f'tokenizer.chat_template = "{which}"')

    said = AutoTokenizer.from_pretrained(project.root / "out" / "out").apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    expected = {"chatml": "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n", "b": "[hi]", "mine.jinja": "<hi>"}
    assert expected.get(which, "hi") == said


def test_a_chat_template_that_is_nowhere_is_told(project: Project):
    model(project, "a", tokenizer(), 1)
    model(project, "b", tokenizer(), 2)

    with pytest.raises(ModelbuildError, match="no chat template is called `chatlm`"):
        merged(project, 'tokenizer.chat_template = "chatlm"')


@pytest.mark.slow
def test_a_union_loads_and_generates(project: Project):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model(project, "a", tokenizer(), 1)
    model(project, "b", tokenizer(["<|im_start|>", "<|im_end|>"]), 2)
    merged(project, 'tokenizer.source = "union"')

    out: Path = project.root / "out" / "out"
    loaded, info = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not any(info.values()), info
    prompt = AutoTokenizer.from_pretrained(out)("<|im_start|>pack my box", return_tensors="pt")
    assert prompt.input_ids[0, 0] == tokenizer().get_vocab_size()
    assert loaded.generate(prompt.input_ids, max_new_tokens=4, do_sample=False).shape[1] == prompt.input_ids.shape[1] + 4


@pytest.mark.slow
def test_a_template_that_is_edited_is_seen(project: Project):
    """By the null build too, which looks at what a build looked at."""
    model(project, "a", tokenizer(), 1)
    model(project, "b", tokenizer(), 2)
    (project.root / "mine.jinja").write_text("{% for m in messages %}<{{ m['content'] }}>{% endfor %}")
    merged(project, 'tokenizer.chat_template = "mine.jinja"')
    time.sleep(2.1)
    project.build()

    (project.root / "mine.jinja").write_text("{% for m in messages %}[{{ m['content'] }}]{% endfor %}")
    project.build()

    assert "[{{" in (project.root / "out" / "out" / "chat_template.jinja").read_text()


@pytest.mark.slow
def test_steps_have_the_same_bytes_by_torch(project: Project, monkeypatch: pytest.MonkeyPatch):
    """Rows are taken on the host whatever computes the rest; what rounds them is the device's."""
    from modelbuild.engine import workspace
    from modelbuild.engine.devices import Torch

    model(project, "a", tokenizer(), 1)
    model(project, "b", tokenizer(["<|x|>", "<|y|>"]), 2)
    model(project, "c", tokenizer(["<|y|>"]), 3)
    settings = 'tokenizer.source = "union"\ndtype = "bfloat16"'
    merged(project, settings, method='method = "linear"\ninputs = ["a", "b", "c"]')
    before = project.hashes("out")
    monkeypatch.setattr(workspace, "open_device", lambda _: Torch("cpu"))

    assert project.build(force=True).actions.run

    assert before == project.hashes("out")


@pytest.mark.parametrize(
    "text",
    [
        '{"model": {"vocab": [1, 2]}}',
        '{"model": {"vocab": {"a": "b"}}}',
        '{"model": {}, "added_tokens": 3}',
        '{"added_tokens": [{"content": "x"}]}',
        '{"added_tokens": [{"content": "x", "id": -1}]}',
        '{"model": 3}',
    ],
)
def test_a_tokenizer_that_is_none_is_told(project: Project, text: str):
    model(project, "a", tokenizer(), 1)
    model(project, "b", tokenizer(["<|x|>"]), 2)
    (project.root / "b" / "tokenizer.json").write_text(text)

    with pytest.raises(ModelbuildError, match="the tokenizer of `b` cannot be read") as caught:
        merged(project, 'tokenizer.source = "union"')

    assert Exit.SOURCE == caught.value.exit_code


def test_tokens_without_a_row_are_told(project: Project):
    """A tokenizer with more tokens than the embedding has rows: mergekit fails there."""
    model(project, "a", tokenizer(), 1)
    model(project, "b", tokenizer(["<|x|>", "<|y|>"]), 2, padding=-1)
    project.write('[source]\na.from = "a"\nb.from = "b"\n[merge.out]\nmethod = "linear"\ninputs = ["a", "b"]\ntokenizer.source = "union"')

    (warning,) = project.build().warnings

    rows = tokenizer().get_vocab_size() + 1
    assert f"`out`: `b` has no row for 1 of its tokens (`<|y|>`): it has {rows} rows" == warning
    assert not read_model(project.root / "out" / "out")[EMBED][rows].any()

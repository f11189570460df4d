"""Every architecture of the zoo: merged on disk, loaded by transformers, and held against the same merge of its modules."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelbuild.usecases import Where, build
from tests.support.zoo import ZOO, page, reads, save, with_more_tokens

MODELFILE = """\
[source]
a.from = "a"
b.from = "b"
c.from = "c"
[merge.linear]
method = "linear"
dtype = "float32"
inputs = [{{ model = "a", weight = 0.7 }}, {{ model = "b", weight = 0.3 }}]
[merge.ties]
method = "ties"
base = "a"
dtype = "float32"
inputs = ["b", "c"]
[merge.slice]
method = "passthrough"
slices = [{{ model = "a", layers = [0, {n}] }}, {{ model = "b", layers = [1, {n}] }}]
head = "a"
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_an_architecture_merges_as_its_modules_do(tmp_path: Path, name: str):
    """linear, ties and a slice that makes the model deeper: every key found, and logits as of the modules merged in float32."""
    import torch
    from transformers import AutoConfig

    from tests.models.merging import answer, combined, elected, load, stacked

    kind = ZOO[name]
    for seed, model in enumerate("abc"):
        save(kind, tmp_path / model, seed)
    depth = kind.depth
    (tmp_path / "Modelfile.toml").write_text(MODELFILE.format(n=depth))
    build(Where(tmp_path / "Modelfile.toml"))

    def source(which: str) -> torch.nn.Module:
        return load(kind, tmp_path / which)

    expected = {
        "linear": combined([source("a"), source("b")], lambda tensors: 0.7 * tensors[0] + 0.3 * tensors[1]),
        "ties": combined([source("a"), source("b"), source("c")], elected),
        "slice": stacked(kind, source("a"), source("b"), AutoConfig.from_pretrained(tmp_path / "out" / "slice")),
    }
    for target, reference in expected.items():
        written = load(kind, tmp_path / "out" / target)
        ours = dict(written.named_parameters())
        for parameter, values in reference.named_parameters():
            assert torch.allclose(ours[parameter], values, rtol=1e-6, atol=1e-7), (target, parameter)
        torch.testing.assert_close(answer(kind, written), answer(kind, reference), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, kind in ZOO.items() if reads(kind)])
def test_vocabularies_of_an_architecture_unite(tmp_path: Path, name: str):
    """The row of a token that one model has is that model's; logits are as of the modules."""
    import torch
    from tokenizers import AddedToken, Tokenizer, models

    from tests.models.merging import answer, combined, load

    kind = ZOO[name]
    made = Tokenizer(models.WordLevel({f"t{i}": i for i in range(64)}))
    save(kind, tmp_path / "a", 0)
    made.save(str(tmp_path / "a" / "tokenizer.json"))
    save(kind, tmp_path / "b", 1, **with_more_tokens(kind, 2))
    made.add_tokens([AddedToken("<x>"), AddedToken("<y>")])
    made.save(str(tmp_path / "b" / "tokenizer.json"))
    (tmp_path / "Modelfile.toml").write_text("""\
[source]
a.from = "a"
b.from = "b"
[merge.out]
method = "linear"
dtype = "float32"
inputs = [{ model = "a", weight = 0.7 }, { model = "b", weight = 0.3 }]
tokenizer.source = "union"
""")
    build(Where(tmp_path / "Modelfile.toml"))

    def merge(tensors: list[torch.Tensor]) -> torch.Tensor:
        second, first = tensors
        return 0.7 * (first if first.shape == second.shape else torch.cat([first, second[len(first) :]])) + 0.3 * second

    reference = combined([load(kind, tmp_path / "b"), load(kind, tmp_path / "a")], merge)
    written = load(kind, tmp_path / "out" / "out")
    torch.testing.assert_close(answer(kind, written), answer(kind, reference), rtol=1e-4, atol=1e-5)
    assert Tokenizer.from_file(str(tmp_path / "out" / "out" / "tokenizer.json")).token_to_id("<y>") == 65


def test_the_page_on_models_is_what_the_tests_check():
    """`python -m tests.support.zoo` writes it."""
    assert page() == (Path(__file__).parents[2] / "docs" / "models.md").read_text()

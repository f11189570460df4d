"""Every architecture of the zoo: merged on disk, loaded by transformers, and held against the same merge of its modules."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelbuild.build import Where, build
from tests.support.zoo import ZOO, save

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

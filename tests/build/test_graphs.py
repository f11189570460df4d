"""What a Modelfile may say of a graph, and what it may not: slices, embeddings and heads, outputs, forecasts."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from modelbuild import usecases as use_cases
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.usecases import Options
from tests.build.test_killed import KILLED
from tests.support.checkpoints import read_model
from tests.support.projects import DIAMOND, Project

SOURCES = """\
[source]
base.from = "base"
code.from = "code"
math.from = "math"
"""


def built(project: Project, merge: str) -> dict[str, np.ndarray]:
    """Build one merge called `out` of the family, and read it."""
    project.family()
    project.write(SOURCES + "[merge.out]\n" + merge)
    project.build()
    return read_model(project.root / "out" / "out")


def refused(project: Project, merge: str) -> ModelbuildError:
    """Build one merge called `out` that cannot be, and return the error."""
    project.family()
    project.write(SOURCES + "[merge.out]\n" + merge)
    with pytest.raises(ModelbuildError) as caught:
        project.build()
    return caught.value


def test_a_slice_of_one_model_is_scaled_where_it_says_so(project: Project):
    slices = 'slices = [{ model = "code", layers = [0, 2] }, { model = "math", layers = [1, 2], scale = 0.5 }]'
    out = built(project, f'method = "passthrough"\n{slices}\n')

    math = read_model(project.root / "math")
    name = "self_attn.q_proj.weight"
    assert np.array_equal(math[f"model.layers.1.{name}"] * np.float32(0.5), out[f"model.layers.2.{name}"])
    assert np.array_equal(read_model(project.root / "code")["model.embed_tokens.weight"], out["model.embed_tokens.weight"])


def test_slices_of_several_models_are_merged_with_their_own_parameters(project: Project):
    """By hand: layer 0 is the base's, layer 1 is half code and half math, layer 2 three quarters math."""
    half = '{ inputs = [{ model = "code", layers = [1, 2] }, { model = "math", layers = [1, 2] }] }'
    more = '{ inputs = [{ model = "code", layers = [2, 3] }, { model = "math", layers = [2, 3], weight = 3.0 }] }'
    out = built(project, f'method = "linear"\nslices = [{{ model = "base", layers = [0, 1] }}, {half}, {more}]\n')

    code, math = read_model(project.root / "code"), read_model(project.root / "math")
    name = "mlp.up_proj.weight"
    assert np.array_equal(read_model(project.root / "base")[f"model.layers.0.{name}"], out[f"model.layers.0.{name}"])
    for layer, share in ((1, 0.5), (2, 0.75)):
        at = f"model.layers.{layer}.{name}"
        assert np.allclose(code[at] * (1 - share) + math[at] * share, out[at], atol=0, rtol=2**-8)


def test_embed_and_head_are_taken_from_the_model_named_in_the_nodes_type(project: Project):
    out = built(project, 'method = "linear"\ninputs = ["code", "math"]\nembed = "base"\nhead = "code"\ndtype = "float32"\n')

    base, code = read_model(project.root / "base"), read_model(project.root / "code")
    assert np.array_equal(base["model.embed_tokens.weight"], out["model.embed_tokens.weight"])
    assert np.array_equal(code["lm_head.weight"], out["lm_head.weight"])
    assert np.array_equal(code["model.norm.weight"], out["model.norm.weight"])
    assert '"dtype": "float32"' in (project.root / "out" / "out" / "config.json").read_text()


def test_the_base_of_a_passthrough_gives_config_and_tokenizer(project: Project):
    project.family()
    (project.root / "math" / "tokenizer.json").write_text('{"of": "math"}')
    project.write(SOURCES + '[merge.out]\nmethod = "passthrough"\nbase = "math"\nslices = [{ model = "code", layers = [0, 3] }]\n')
    project.build()

    assert '{"of": "math"}' == (project.root / "out" / "out" / "tokenizer.json").read_text()


@pytest.mark.parametrize("inputs", ['["code", "math"]', '["base", "code", "math"]'], ids=["apart", "listed, and skipped"])
def test_an_optional_base_is_what_differences_are_taken_to(project: Project, inputs: str):
    """By hand: base + (c + m) / (2 cos(a / 2)), half way between the differences c and m, which are at the angle a."""
    out = built(project, f'method = "nuslerp"\nbase = "base"\ninputs = {inputs}\n')

    name = "model.layers.1.mlp.up_proj.weight"
    base, *models = (read_model(project.root / model)[name].astype(np.float64) for model in ("base", "code", "math"))
    c, m = (model - base for model in models)
    angle = np.arccos(np.sum(c * m) / np.linalg.norm(c) / np.linalg.norm(m))
    assert np.allclose(base + (c + m) / (2 * np.cos(angle / 2)), out[name], atol=2**-12, rtol=2**-8)


def test_without_the_optional_base_weights_are_merged(project: Project):
    """By hand: (c + m) / (2 cos(a / 2)), for models c and m."""
    out = built(project, 'method = "nuslerp"\ninputs = ["code", "math"]\n')

    name = "model.layers.1.mlp.up_proj.weight"
    c, m = (read_model(project.root / model)[name].astype(np.float64) for model in ("code", "math"))
    angle = np.arccos(np.sum(c * m) / np.linalg.norm(c) / np.linalg.norm(m))
    assert np.allclose((c + m) / (2 * np.cos(angle / 2)), out[name], atol=2**-12, rtol=2**-8)


def test_an_optional_base_is_in_the_key(project: Project):
    """Naming one makes everything stale, and so does naming another; coming back to it runs nothing."""
    project.family()
    run = []
    for base in ("", 'base = "base"\n', 'base = "code"\n', 'base = "base"\n'):
        others = '"base", "math"' if "code" in base else '"code", "math"'
        project.write(SOURCES + f'[merge.out]\nmethod = "nuslerp"\n{base}inputs = [{others}]\n')
        run.append(project.build().actions.run)

    assert [run[0]] * 3 + [0] == run
    assert run[0] > 0


@pytest.mark.parametrize(
    ("merge", "message"),
    [
        ('method = "passthrough"\nbase = "bsae"\nslices = [{ model = "code", layers = [0, 3] }]\n', "no source or merge is called `bsae`"),
        ('method = "passthrough"\nslices = [{ model = "code", layers = [0, 3], densitee = 3 }]\n', "unknown key `densitee`"),
        ('method = "passthrough"\nslices = [{ model = "code", layers = [0, 3], base = "math" }]\n', "a slice of one model takes no base"),
        ('method = "slerp"\nt = 0.5\nslices = [{ model = "code", layers = [0, 3] }]\n', "`slerp` has nothing to merge in `out`"),
        ('method = "linear"\ninputs = ["code", "math"]\nweight = [{ model = 1 }]\n', "unknown key `model`"),
        ('method = "linear"\ninputs = [{ model = "code", weight = 1.0 }, { model = "math", weight = -1.0 }]\n', "cannot merge these inputs"),
        ('method = "linear"\ninputs = ["code", "math"]\nweight = [{ filter = "mlp", value = 1.0 }, { layers = [7, 9], value = 2.0 }]\n', "are none of `out`"),
        ('method = "slerp"\ninputs = ["code", "math"]\nt = [{ filter = "mlp", value = 0.5 }]\n', "`t` has no value for"),
        ('method = "slerp"\ninputs = ["code", "math"]\nt = [{ value = 0.5, outside = 1 }]\n', "`outside` goes with a list of numbers"),
        ('method = "slerp"\ninputs = ["code", "math"]\nt = [{ value = [0.5, 1], outside = 2 }]\n', "expected a number from 0 to 1, found 2"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(project: Project, merge: str, message: str):
    error = refused(project, merge)

    assert message in str(error)
    assert Exit.USAGE == error.exit_code
    assert "Modelfile.toml:" in str(error)


@pytest.mark.parametrize(
    ("path", "clash"),
    [("code", "overwrite source `code`"), (".", "overwrite"), ("cache", "overwrite the cache"), ("cache/packs", "lie within the cache")],
)
def test_an_output_over_a_source_or_the_cache_is_refused(project: Project, path: str, clash: str):
    assert clash in str(refused(project, f'method = "linear"\ninputs = ["code", "math"]\noutput = {{ path = "{path}" }}\n'))


def test_outputs_within_each_other_are_refused(project: Project):
    project.family()
    one = '[merge.{}]\nmethod = "linear"\ninputs = ["code", "math"]\noutput = {{ path = "{}" }}\n'
    project.write(SOURCES + one.format("a", "out/x") + one.format("b", "out/x/y"))

    with pytest.raises(ModelbuildError, match="would lie within the output of `a`"):
        project.build()


def test_a_forecast_counts_what_must_be_computed_because_its_bytes_are_gone(diamond: Project):
    """Records alone are left: neither packs nor outputs."""
    diamond.build()
    shutil.rmtree(diamond.root / "cache" / "packs")
    shutil.rmtree(diamond.root / "out")

    foretold = use_cases.forecast(diamond.where)
    again = use_cases.forecast(diamond.where)
    outcome = diamond.build()

    assert 36 == foretold.actions.run == again.actions.run == outcome.actions.run
    assert outcome.bytes.written == foretold.bytes.written


def test_what_was_salvaged_is_known_ever_after(diamond: Project):
    """Killed after 20 of 36 actions, resumed; then the last node's parameter changes and nothing else runs."""
    subprocess.run([sys.executable, "-c", KILLED, str(diamond.root / "Modelfile.toml"), "20"], check=False)
    assert 16 == diamond.build().actions.run
    diamond.edit("value = 0.6", "value = 0.7")

    assert 9 == diamond.build().actions.run


def test_the_cache_may_be_elsewhere_and_named_by_a_variable(diamond: Project):
    diamond.write('[cache]\npath = "${where}"\n[vars]\nwhere = "kept"\n' + DIAMOND)
    diamond.build()

    assert not (diamond.root / "cache").exists()
    assert {"packs", "index"} <= {path.name for path in (diamond.root / "kept").iterdir()}
    assert not (diamond.root / "${where}").exists()


def test_status_and_explain_say_what_a_build_would_find(diamond: Project):
    time.sleep(2.1)  # a source younger than that is looked at again
    diamond.build()
    assert ["fresh"] == [one.state for one in use_cases.status(diamond.where)]
    diamond.edit('{ filter = "mlp", value = 0.3 }', '{ filter = "mlp", value = 0.35 }')

    (status,) = use_cases.status(diamond.where)
    (told,) = [one for one in use_cases.explain(diamond.where, "release", "model.layers.1.mlp.up_proj.weight") if one.state == "stale"]

    assert ("stale", 3) == (status.state, status.stale)
    assert "blend::model.layers.1.mlp.up_proj.weight" == told.tensor
    assert [("params.t", "0.3", "0.35")] == [(change.field, change.old, change.new) for change in told.changes]


def test_set_that_was_built_is_told_from_what_the_modelfile_says(diamond: Project):
    """The output holds the variant; the Modelfile is not what was built."""
    time.sleep(2.1)
    diamond.build()
    diamond.build(overrides=["merge.blend.t=0.5"])

    assert ["stale"] == [one.state for one in use_cases.status(diamond.where)]
    assert 0 == diamond.build().actions.run
    assert ["fresh"] == [one.state for one in use_cases.status(diamond.where)]


def test_a_gradient_runs_over_the_layers_of_its_rule(project: Project):
    """By hand: 0, 0.5, 1 over three layers; embeddings take the first value, norm and head the last."""
    project.family()
    project.write(SOURCES + '[merge.out]\nmethod = "slerp"\ninputs = ["base", "code"]\nt = [0.0, 1.0]\n')
    shown = use_cases.show(project.where, "out")
    ends = {"model.embed_tokens.weight": ("base",), "model.norm.weight": ("code",), "lm_head.weight": ("code",)}

    by_name = {tensor.name: tensor for tensor in shown.tensors}
    assert {0.5} == {tensor.params["t"] for tensor in shown.tensors if tensor.params}
    assert all(by_name[name].inputs[0].startswith(source) for name, (source,) in ends.items())
    assert by_name["model.layers.0.mlp.up_proj.weight"].inputs == ("base::model.layers.0.mlp.up_proj.weight",)
    assert by_name["model.layers.2.mlp.up_proj.weight"].inputs == ("code::model.layers.2.mlp.up_proj.weight",)


def test_outside_of_layers_a_gradient_may_have_a_value_of_its_own(project: Project):
    """By hand: 0.1, 0.3, 0.5 over three layers, and 0.9 for embeddings, norm and head."""
    project.family()
    project.write(SOURCES + '[merge.out]\nmethod = "slerp"\ninputs = ["base", "code"]\nt = [{ value = [0.1, 0.5], outside = 0.9 }]\n')
    by_name = {tensor.name: tensor.params["t"] for tensor in use_cases.show(project.where, "out").tensors}

    assert [0.9] * 3 == [by_name[f"{name}.weight"] for name in ("model.embed_tokens", "model.norm", "lm_head")]
    assert [0.1, 0.3, 0.5] == [by_name[f"model.layers.{i}.input_layernorm.weight"] for i in range(3)]


def test_options_never_change_bytes_and_are_plain_values():
    assert Options() == Options(jobs=0, force=False, keep_going=False, device="auto", memory=0)

"""Every kind of change is told by its name, with the value that was and the one that is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

import modelbuild.methods.slerp
from modelbuild import usecases as use_cases
from modelbuild.cache import Cache, stattable
from modelbuild.methods import load
from modelbuild.stale import Change, changes
from modelbuild.usecases import stamp
from tests.support.checkpoints import read_model, write_file
from tests.support.projects import DIAMOND, Project

NORM = "model.norm.weight"
MLP = "model.layers.1.mlp.up_proj.weight"
MODELFILE = DIAMOND.replace('[source.code]\nfrom = "code"', '[source.code]\nfrom = "code"\nadapters = [{ from = "lora", scale = 1.0 }]')


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The diamond, with an adapter on one of its sources, built once; every test leaves it as it was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stattable, "RACY_NS", 0)
        patch.setattr(stamp, "_RACY_NS", 0)
        project = Project(tmp_path_factory.mktemp("explained"))
        project.family()
        rng, at = np.random.default_rng(7), "base_model.model.model.layers.1.self_attn.q_proj.lora_"
        factors = {f"{at}A.weight": rng.normal(0, 0.1, (2, 16)), f"{at}B.weight": rng.normal(0, 0.1, (16, 2))}
        write_file(project.root / "lora/adapter_model.safetensors", {name: x.astype(np.float32) for name, x in factors.items()}, "F32")
        settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
        (project.root / "lora/adapter_config.json").write_text(json.dumps(settings))
        project.write(MODELFILE)
        project.build()
        yield project


@pytest.fixture
def built(whole: Project, tmp_path: Path) -> Iterator[Project]:
    """The same in a directory of its own, where what is changed harms nobody; times and links as they were."""
    root = tmp_path / "project"
    shutil.copytree(whole.root, root, copy_function=shutil.copy2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stattable, "RACY_NS", 0)
        patch.setattr(stamp, "_RACY_NS", 0)
        project = Project(root)
        project.build()  # files are others, their bytes are not: nothing runs, and all is known again
        yield project


def told(project: Project, tensor: str = "") -> dict[str, Change]:
    """Return every change that is told of release, by field; of fields that several tensors have the first."""
    found: dict[str, Change] = {}
    for one in use_cases.explain(project.where, "release", tensor):
        for change in one.changes:
            found.setdefault(change.field, change)
    return found


Pair = tuple[str, str]

EDITS: dict[str, tuple[str, str, str, dict[str, Pair]]] = {
    "a parameter": (
        "value = 0.3", "value = 0.35", MLP, {"merge.blend.t[0].value": ("0.3", "0.35"), "params.t": ("0.3", "0.35")}
    ),
    "a method": (
        "dare_linear", "dare_ties", NORM, {"merge.talk.method": ('"dare_linear"', '"dare_ties"'), "method": ("dare_linear", "dare_ties")}
    ),
    "a base": (
        'method = "ties"\nbase = "base"', 'method = "ties"\nbase = "code"', NORM,
        {"merge.skills.base": ('"base"', '"code"'), "base": (f"(base::{NORM})", f"(code::{NORM})")},
    ),
    "the order of inputs": (
        'inputs = ["skills", "talk"]', 'inputs = ["talk", "skills"]', NORM,
        {
            "merge.blend.inputs (order)": ("skills, talk", "talk, skills"),
            "inputs (order)": (f"skills::{NORM}, talk::{NORM}", f"talk::{NORM}, skills::{NORM}"),
        },
    ),
    "a seed": ("[source.base]", "seed = 3\n[source.base]", NORM, {"seed": ("", "3")}),
    "a type": ('method = "slerp"', 'method = "slerp"\ndtype = "float32"', NORM, {"merge.blend.dtype": ("", '"float32"'), "dtype": ("BF16", "F32")}),
    "the bounds of a slice": (
        '{ model = "blend", layers = [1, 2] }', '{ model = "blend", layers = [0, 1] }', "", {"merge.release.slices[1].layers": ("[1, 2]", "[0, 1]")}
    ),
    "the scale of an adapter": (
        "scale = 1.0", "scale = 0.5", "model.layers.1.self_attn.q_proj.weight",
        {"source.code.adapters[0].scale": ("1.0", "0.5"), "params.terms[0]": ("(2.0, False)", "(1.0, False)")},
    ),
    "a source that is another": (
        'from = "math"', 'from = "base"', NORM,
        {"source.math.from": ('"math"', '"base"'), "inputs[1]": (f"(math::{NORM})", f"(math::{NORM})")},
    ),
    "shard_size": (
        'embed = "blend"', 'embed = "blend"\noutput.shard_size = "10KB"', "",
        {"merge.release.output.shard_size": ("", '"10KB"'), "weight files": ("model.safetensors", "2 files")},
    ),
    "output.path": (
        'embed = "blend"', 'embed = "blend"\noutput.path = "there"', "", {"merge.release.output.path": ("", '"there"'), "there": ("not published", "not there")}
    ),
    "output.dtype": ('embed = "blend"', 'embed = "blend"\noutput.dtype = "float16"', "", {"merge.release.output.dtype": ("", '"float16"')}),
    "a tokenizer": (
        'embed = "blend"', 'embed = "blend"\ntokenizer.chat_template = "{{ messages }}"', "",
        {"merge.release.tokenizer.chat_template": ("", '"{{ messages }}"'), "chat_template.jinja": ("", "")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_is_told_in_the_words_of_the_modelfile_and_of_the_tensor(whole: Project, kind: str):
    """Of the target the Modelfile's key; of one tensor what its key is made of."""
    old, new, tensor, expected = EDITS[kind]
    assert MODELFILE.count(old) == 1
    whole.write(MODELFILE.replace(old, new))
    try:
        found = told(whole) | (told(whole, tensor) if tensor else {})
    finally:
        whole.write(MODELFILE)

    for field, (before, after) in expected.items():
        one = next(change for name, change in found.items() if name == field or name.endswith(f"/{field}"))
        assert (before in one.old, after in one.new, one.old != one.new) == (True, True, True), one


def test_another_revision_of_a_method(whole: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(modelbuild.methods.slerp, "slerp", replace(load("slerp"), revision=99))
    load.cache_clear()
    try:
        change = told(whole, NORM)["revision"]
    finally:
        load.cache_clear()

    assert ("1", "99") == (change.old, change.new)


def test_other_bytes_of_a_source_are_told_by_the_file_and_of_one_tensor_by_its_digests(built: Project):
    tensors = read_model(built.root / "math")
    built.model("math", {**tensors, NORM: tensors[NORM] + np.float32(0.5)})

    of_all, of_one, of_other = told(built), told(built, NORM), told(built, MLP)

    assert "not read since model.safetensors changed" == of_all["source math (tensors)"].new
    assert "not read since model.safetensors changed (math::model.embed_tokens.weight)" == of_all["inputs[1]"].new
    old, new = of_one["inputs[1]"].old, of_one["inputs[1]"].new
    assert [f" (math::{NORM})"] * 2 == [old[64:], new[64:]]
    assert old[:64] != new[:64]
    assert {} == of_other, "this tensor has the bytes that it had"


def test_another_config_of_a_source_is_told_key_by_key(built: Project):
    path = built.root / "base/config.json"
    path.write_text(path.read_text().replace("1e-05", "1e-06"))

    change = told(built)["config.json: rms_norm_eps"]

    assert ("1e-05", "1e-06") == (change.old, change.new)
    (status,) = use_cases.status(built.where)
    assert ("stale", ("config.json: rms_norm_eps: 1e-05 -> 1e-06",)) == (status.state, status.reasons)


def test_other_files_of_a_tokenizer_are_told_by_name(built: Project):
    (built.root / "base/tokenizer_config.json").write_text('{"model_max_length": 64}')

    change = told(built)["tokenizer_config.json"]

    assert ("", 64) == (change.old, len(change.new))


def packs_of(project: Project) -> list[Path]:
    return sorted((project.root / "cache/packs").glob("*.safetensors"))


def test_bytes_that_are_gone_are_told_with_their_pack(built: Project):
    shutil.rmtree(built.root / "out")
    for pack in packs_of(built):
        pack.unlink()

    explained = use_cases.explain(built.where, "release", NORM)

    assert "nothing of it changed, but its bytes are gone:" == explained[-1].why
    (change,) = explained[-1].changes
    assert change.old.startswith("in pack ")
    assert "in no pack of the cache" == change.new


def test_a_record_that_is_lost_is_told(built: Project):
    cache = Cache.open(built.root / "cache")
    (key,) = {tensor.key for tensor in use_cases.show(built.where, "blend")[0].tensors if tensor.name == NORM}
    cache.index.delete([f"r:{key}"])
    cache.close()

    explained = use_cases.explain(built.where, "release", NORM)

    assert ("stale", "nothing of it changed, but the record of its result is lost:") == (explained[-1].state, explained[-1].why)
    assert (Change("record", f"of key {key}", "not in the cache's index"),) == explained[-1].changes


def _gone(path: Path) -> None:
    shutil.rmtree(path)


def _touched(path: Path) -> None:
    (path / "config.json").write_text("{}")


def _without_a_file(path: Path) -> None:
    (path / "generation_config.json").unlink()


@pytest.mark.parametrize(
    ("harm", "name", "old", "new"),
    [
        (_gone, "out/release", "published", "not there"),
        (_touched, "out/release/config.json", "as published", "touched since"),
        (_without_a_file, "out/release/generation_config.json", "as published", "not there"),
    ],
)
def test_what_became_of_an_output_is_told(built: Project, harm: Callable[[Path], None], name: str, old: str, new: str):
    harm(built.root / "out/release")

    explained = use_cases.explain(built.where, "release")

    assert ("release", "stale", (Change(str(built.root / name), old, new),)) == (
        explained[0].tensor,
        explained[0].state,
        explained[0].changes,
    )


def test_an_output_of_another_build_is_told_with_that_build(built: Project):
    """By hand: build with another t, and restore what was there before."""
    first, *_ = use_cases.log(built.where)
    built.build(overrides=["merge.blend.t=0.5"])
    use_cases.restore(built.where, first.id)

    change = told(Project(built.root))
    status = use_cases.status(use_cases.Where(built.where.file, overrides=("merge.blend.t=0.5",)))[0]

    assert {"merge.blend.t", "merge.blend.t[0].filter", "merge.blend.t[0].value", "merge.blend.t[1].value"} <= change.keys()
    assert f"(of build {first.id})" in status.reasons[0]


def test_an_index_that_is_lost_is_no_change(built: Project):
    shutil.rmtree(built.root / "cache/index")

    explained = use_cases.explain(built.where, "release", NORM)

    assert all(one.why for one in explained)
    assert not any("nothing changed" in one.why for one in explained)


def test_inputs_that_trade_places_are_one_change_and_others_are_told_one_by_one():
    """Digests that nothing names are told as they are."""
    names = {"a" * 64: "x::w", "b" * 64: "y::w"}
    before = (("method", "linear"), ("inputs", ("a" * 64, "b" * 64)))

    swapped = changes(before, (("method", "linear"), ("inputs", ("b" * 64, "a" * 64))), names, ("y::w", "x::w"))
    other = changes(before, (("method", "linear"), ("inputs", ("a" * 64, "c" * 64))), names, ("x::w", "z::w"))

    assert (Change("inputs (order)", "x::w, y::w", "y::w, x::w"),) == swapped
    assert (Change("inputs[1]", f"{'b' * 64} (y::w)", f"{'c' * 64} (z::w)"),) == other


def test_a_target_that_hands_a_source_on_and_an_export_are_explained(project: Project, monkeypatch: pytest.MonkeyPatch):
    """Neither has an action of its own to be told of."""
    monkeypatch.setattr(stattable, "RACY_NS", 0)
    project.family()
    project.write(
        '[source]\nbase.from = "base"\ncode.from = "code"\n[merge.copy]\nmethod = "passthrough"\ninputs = ["code"]\n'
        '[export.small]\nof = "copy"\nformat = "gguf"\n'
    )
    (before,) = use_cases.explain(project.where, "small")
    project.build()
    (after,) = use_cases.explain(project.where, "copy")

    assert ("copy", "stale", "its output is not there:") == (before.tensor, before.state, before.why)
    assert ("copy", "fresh", "it stands as it was published, and every tensor of it is one of a source") == (
        after.tensor,
        after.state,
        after.why,
    )
    assert ["code", "copy"] == [stop.name for stop in use_cases.why(project.where, "small", "code").path]

"""Nothing that comes with a model is run: pickles in place of any file, modules beside it, templates, and keys that name code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelbuild import usecases as use_cases
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.usecases import Options
from tests.fuzz.judge import CODES, judge
from tests.hostile.bombs import module, pickled, ran, template
from tests.support.projects import Project

MODELFILE = """\
[source]
base.from = "base"
code.from = "code"
[merge.out]
method = "linear"
inputs = ["base", "code"]
"""
QUICK = Options(jobs=1, device="cpu")

IN_A_SOURCE = (
    "model.safetensors", "model.safetensors.index.json", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.json", "chat_template.jinja",
    "preprocessor_config.json", "adapter_config.json", "pytorch_model.bin", "training_args.bin", "optimizer.pt", "scheduler.pth", "model.pkl",
)  # fmt: skip
IN_A_PROJECT = (
    "Modelfile.toml", "Modelfile.lock", "out/out/modelbuild.json", "out/out/model.safetensors", "out/out/config.json", "out/out.environment.json",
    "cache/index/cache.db", "cache/index/cache.db-wal", "cache/CACHEDIR.TAG", "cache/staging/00000000/journal", "cache/staging/00000000/x.safetensors",
)  # fmt: skip


@pytest.fixture
def built(project: Project) -> Project:
    """A project of two models, locked and built."""
    project.family(1, ("code",))
    project.write(MODELFILE)
    use_cases.lock(project.where)
    project.build(jobs=1, device="cpu")
    return project


@pytest.mark.parametrize("name", [*(f"code/{name}" for name in IN_A_SOURCE), *IN_A_PROJECT])
def test_a_pickle_in_place_of_any_file_is_not_loaded(built: Project, name: str):
    """By none of the use cases: each ends as it is documented to."""
    path = built.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(pickled(built.root))

    verdicts = [
        judge(call, built.root, bounded=False)
        for call in (
            lambda: use_cases.show(built.where, "out"),
            lambda: use_cases.forecast(built.where, options=QUICK),
            lambda: use_cases.lock(built.where, dry_run=True),
            lambda: use_cases.verify(built.where, full=True),
            lambda: use_cases.build(built.where, options=QUICK),
            lambda: use_cases.cache_verify(built.where),
        )
    ]

    assert [()] * len(verdicts) == [verdict.faults for verdict in verdicts]
    assert not ran(built.root)


@pytest.mark.parametrize("name", ["packs/{}.json", "stamps/{}.json", "packs/{}.safetensors"])
def test_a_pickle_in_place_of_what_the_cache_holds_is_a_miss(built: Project, name: str):
    """The next build gives the same bytes."""
    before = built.hashes("out")
    held = list((built.root / "cache").glob(name.format("*")))
    for path in held:
        path.unlink()
        path.write_bytes(pickled(built.root))

    verdict = judge(lambda: use_cases.build(built.where, options=QUICK), built.root, bounded=False)

    assert (Exit.DONE, ()) == (verdict.code, verdict.faults)
    assert before == built.hashes("out")
    assert not ran(built.root)


@pytest.mark.parametrize("index", [False, True], ids=["by name", "by an index"])
def test_a_source_of_pickles_is_refused_and_with_weights_only_still_runs_nothing(built: Project, index: bool):
    (built.root / "code" / "model.safetensors").unlink()
    (built.root / "code" / "pytorch_model.bin").write_bytes(pickled(built.root))
    if index:
        table = {"weight_map": {"a": "pytorch_model.bin", "b": "../../x.bin", "c": 7}}
        (built.root / "code" / "pytorch_model.bin.index.json").write_text(json.dumps(table))
    with pytest.raises(ModelbuildError) as refused:
        use_cases.show(built.where, "out")
    built.write(MODELFILE.replace('code.from = "code"', 'code = { from = "code", pickles = "weights_only" }'))
    with pytest.raises(ModelbuildError) as opened:
        use_cases.show(built.where, "out")

    assert [Exit.UNSAFE, Exit.UNSAFE] == [refused.value.exit_code, opened.value.exit_code]
    assert not ran(built.root)


def test_the_child_that_reads_pickles_imports_nothing_from_where_it_is_run(built: Project):
    """With modules of the names that it imports beside the weights, in the directory that the command is given in."""
    import torch

    weights = {"x": torch.zeros(2)}
    shutil.rmtree(built.root / "code")
    (built.root / "code").mkdir()
    torch.save(weights, built.root / "code" / "pytorch_model.bin")
    for name in ("torch", "numpy", "json", "modelbuild", "sitecustomize", "blake3", "conftest"):
        (built.root / "code" / f"{name}.py").write_text(module(built.root))
    built.write(MODELFILE.replace('code.from = "code"', 'code = { from = "code", pickles = "weights_only" }'))
    program = [sys.executable, "-P", "-m", "modelbuild", "show", "out", "-f", "../Modelfile.toml"]
    package = str(Path(use_cases.__file__).parents[2])

    done = subprocess.run(
        program, cwd=built.root / "code", env={**os.environ, "PYTHONPATH": package}, capture_output=True, text=True, check=False
    )

    assert Exit.USAGE == done.returncode, done.stderr  # they do not fit together, which is said after both were read
    assert "different numbers of layers" in done.stderr
    assert not ran(built.root)


def test_code_beside_a_model_is_neither_run_nor_carried(built: Project):
    """Modules, and the keys of configs that name them here or in somebody's repository, written plainly or escaped."""
    for name in (
        "modeling_x.py",
        "configuration_x.py",
        "tokenization_x.py",
        "__init__.py",
        "setup.py",
        "sitecustomize.py",
        "conftest.py",
        "x.so",
    ):
        (built.root / "base" / name).write_text(module(built.root))
    config = json.loads((built.root / "base" / "config.json").read_text())
    named = {"AutoModelForCausalLM": "somebody/else--modeling_x.X", "AutoTokenizer": ["tokenization_x.X", None]}
    nested = {
        "text_config": {"auto_map": named, "num_hidden_layers": 1},
        "custom_pipelines": {"x": {"impl": "x.X"}},
        "trust_remote_code": True,
    }
    (built.root / "base" / "config.json").write_text(json.dumps({**config, "auto_map": named, **nested}))
    escaped = json.dumps({"auto_map": named, "model_max_length": 7}).replace("auto_map", "auto\\u005fmap")
    for name in ("tokenizer_config.json", "generation_config.json", "preprocessor_config.json"):
        (built.root / "base" / name).write_text(escaped)

    verdict = judge(lambda: use_cases.build(built.where, options=QUICK), built.root, bounded=False)
    out = built.root / "out" / "out"

    assert (Exit.DONE, ()) == (verdict.code, verdict.faults)
    assert not ran(built.root)
    assert not [path.name for path in out.iterdir() if path.suffix in (".py", ".so")]
    assert {**config, "text_config": {"num_hidden_layers": 1}} == json.loads((out / "config.json").read_text())
    assert {"model_max_length": 7} == json.loads((out / "tokenizer_config.json").read_text())
    assert not [path.name for path in out.glob("*.json") if b"auto_map" in path.read_bytes() or b"\\u005f" in path.read_bytes()]
    assert any("auto_map" in warning for warning in use_cases.forecast(built.where, options=QUICK).warnings)


def test_templates_are_copied_byte_for_byte_and_rendered_by_nobody(built: Project):
    """In every file that may hold one; no library that renders is even imported."""
    text = template(built.root)
    (built.root / "base" / "chat_template.jinja").write_text(text)
    (built.root / "base" / "chat_template.json").write_text(json.dumps({"chat_template": text}))
    (built.root / "base" / "tokenizer_config.json").write_text(json.dumps({"chat_template": text}))
    code = (
        "import sys; from pathlib import Path; from modelbuild.usecases import Where, build\n"
        f"build(Where(Path({str(built.where.file)!r})))\nprint('jinja2' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "False\n" == done.stdout
    assert not ran(built.root)
    for name in ("chat_template.jinja", "chat_template.json", "tokenizer_config.json"):
        assert (built.root / "base" / name).read_bytes() == (built.root / "out" / "out" / name).read_bytes()


def test_every_code_of_the_verdicts_is_documented():
    assert {0, 1, 2, 3, 4, 5, 6, 7, 8} == CODES

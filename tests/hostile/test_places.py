"""Strings that hurt in every place where a text of somebody else's stands: more than sixty in each of ten places."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from modelbuild import usecases as use_cases
from modelbuild.errors import Exit
from modelbuild.usecases import Options, Where
from tests.fuzz.judge import Verdict, judge
from tests.fuzz.mutation import STRINGS
from tests.support.checkpoints import llama_config, random_tensors, write_model
from tests.support.projects import Project

QUICK = Options(jobs=1, device="cpu")
MODELFILE = """\
[source]
base.from = "base"
code.from = {source}
[merge.out]
method = "linear"
inputs = ["base", "code"]
output = {{ path = {output} }}
"""
SHARDED = "model.safetensors.index.json"

Put = Callable[[Project, str], None]


def quoted(text: str) -> str:
    """Write a TOML string."""
    return json.dumps(text)


def in_from(project: Project, text: str) -> None:
    project.write(MODELFILE.format(source=quoted(text), output='"out/out"'))


def in_output(project: Project, text: str) -> None:
    project.write(MODELFILE.format(source='"code"', output=quoted(text)))


def in_cache(project: Project, text: str) -> None:
    project.write(MODELFILE.format(source='"code"', output='"out/out"') + f"[cache]\npath = {quoted(text)}\n")


def in_a_node(project: Project, text: str) -> None:
    sound = MODELFILE.format(source='"code"', output='"out/out"')
    project.write(sound.replace("[merge.out]", f"[merge.{quoted(text)}]"))


def in_a_template(project: Project, text: str) -> None:
    project.write(MODELFILE.format(source='"code"', output='"out/out"') + f"tokenizer = {{ chat_template = {quoted(text)} }}\n")


def in_a_tensor(project: Project, text: str) -> None:
    path = project.root / "code" / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header = {text if name == "model.norm.weight" else name: entry for name, entry in header.items()}
    raw = json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data[8 + length :])


def in_an_index(project: Project, text: str) -> None:
    project.model("code", random_tensors(1, 1), shards=2)
    (project.root / "code" / "model.safetensors").unlink(missing_ok=True)
    table = json.loads((project.root / "code" / SHARDED).read_text())
    table["weight_map"]["model.norm.weight"] = text
    (project.root / "code" / SHARDED).write_text(json.dumps(table))


def in_a_config(project: Project, text: str) -> None:
    words = dict.fromkeys(
        ("model_type", "dtype", "_name_or_path", "architectures", "vocab_size", "hidden_act", "rope_theta", "quantization_config"), text
    )
    (project.root / "code" / "config.json").write_text(json.dumps({**llama_config(1), **words, text: text}))


def in_a_lock(project: Project, text: str) -> None:
    where = project.where
    use_cases.lock(where)
    project.build(jobs=1, device="cpu")
    line = f'{quoted(text)} = {{ size = 7, sha256 = "{"0" * 64}" }}'
    where.lock.write_text(where.lock.read_text().replace("[merge.out.files]", f"[merge.out.files]\n{line}"))


def in_a_manifest(project: Project, text: str) -> None:
    project.build(jobs=1, device="cpu")
    path = project.root / "out" / "out" / "modelbuild.json"
    table = json.loads(path.read_text())
    path.write_text(json.dumps({**table, "files": [*table["files"], text], "tensors": {text: text}}))


PLACES: dict[str, Put] = {
    "from": in_from, "output path": in_output, "cache path": in_cache, "node": in_a_node, "chat template": in_a_template,
    "tensor": in_a_tensor, "shard": in_an_index, "config": in_a_config, "lock": in_a_lock, "manifest": in_a_manifest,
}  # fmt: skip
"""What writes a text there."""

NAMED_BY_THE_USER = {"from", "output path", "cache path", "chat template"}
"""Places in the Modelfile: a path there is the user's own word, and may be read, and an output be written, wherever it is."""


def uses(where: Where, place: str) -> list[Callable[[], object]]:
    """Return what is asked of the project; what the user names elsewhere is looked at, and not written to."""
    looks: list[Callable[[], object]] = [lambda: use_cases.show(where, "out"), lambda: use_cases.forecast(where, options=QUICK)]
    if place in NAMED_BY_THE_USER:
        return looks
    locked = Options(jobs=1, device="cpu", locked=place == "lock")
    return [*looks, lambda: use_cases.verify(where), lambda: use_cases.build(where, options=locked)]


SOME = STRINGS[::7]
"""What an everyday run tries; the slow one tries all."""


@pytest.mark.parametrize("strings", [SOME, pytest.param(STRINGS, marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.parametrize("place", PLACES)
def test_a_string_that_hurts_is_told_or_taken_and_leads_nowhere(place: str, strings: tuple[str, ...], tmp_path: Path):
    """Documented exit codes, printable words, nothing opened or changed beyond the project, for each of them."""
    project = Project(tmp_path / "project")
    project.root.mkdir()
    (tmp_path / "x").write_text("not yours")
    wrong: list[tuple[str, Verdict]] = []
    for text in strings:
        base = random_tensors(0, 1)
        write_model(project.root / "base", base)
        (project.root / "code" / SHARDED).unlink(missing_ok=True)
        write_model(project.root / "code", random_tensors(1, 1, near=base))
        in_output(project, "out/out")
        project.where.lock.unlink(missing_ok=True)
        PLACES[place](project, text)
        also = (Path("/"),) if place in NAMED_BY_THE_USER else ()
        for use in uses(project.where, place):
            verdict = judge(use, project.root, also=also, bounded=False)
            if verdict.faults:
                wrong.append((text[:80], verdict))

    assert [] == wrong
    assert ["project", "x"] == sorted(path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize("text", [text for text in STRINGS if not text.isprintable()] + ["a" * 1025])
def test_a_tensor_that_cannot_be_shown_is_refused_where_it_is_read(project: Project, text: str):
    """So that no later message, report or file has to think of it."""
    base = random_tensors(0, 1)
    project.model("base", base)
    project.model("code", random_tensors(1, 1, near=base))
    in_output(project, "out/out")
    in_a_tensor(project, text)

    verdict = judge(lambda: use_cases.show(project.where, "out"), project.root)

    assert Exit.SOURCE == verdict.code
    assert "is no name of a tensor" in verdict.words

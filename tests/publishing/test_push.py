"""Publishing through the real client: what is sent, what is not, and what stands there afterwards."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from modelbuild import usecases as use_cases
from modelbuild.errors import Exit
from modelbuild.events import Event, Warned
from modelbuild.lockfile import read
from modelbuild.usecases import Options
from tests.publishing.conftest import Push, files_of, refused
from tests.support.checkpoints import random_tensors, write_model
from tests.support.hub import Hub
from tests.support.projects import Project

FAMILY = Path(__file__).parents[2] / "examples/family"
RECIPE = {"README.md", "Modelfile.toml", "Modelfile.lock"}
MODEL = {"config.json", "generation_config.json", "model.safetensors", "modelbuild.json"}


def sha256s(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def commits(hub: Hub, repo: str = "lab/release") -> list[str]:
    """Return the messages of a repository's commits, without the one that made it."""
    return list(hub.repositories[repo].messages.values())


@pytest.mark.slow
def test_what_is_pushed_is_built_again_from_there_with_equal_digests(family: Project, hub: Hub, push: Push, tmp_path: Path):
    pushed = push(family)

    there = files_of(hub)
    assert MODEL | RECIPE | {".gitattributes"} == set(there)
    assert family.hashes() == sha256s({name: there[name] for name in MODEL})
    assert ("pushed", True, 7) == (pushed.state, pushed.created, len(pushed.sent))
    assert [f"release: model {read(family.where.lock).merges['release'].root[:12]}"] == commits(hub)
    where = use_cases.checkout("hf://lab/release", tmp_path / "elsewhere")
    outcome = use_cases.build(where, (), Options(locked=True))
    elsewhere = Project(where.file.parent)
    assert (30, family.hashes()) == (outcome.actions.run, elsewhere.hashes())
    assert () == use_cases.verify(where).findings
    assert () == use_cases.verify(where, rebuild=True).findings


def test_a_second_push_sends_nothing_and_makes_no_commit(family: Project, hub: Hub, push: Push):
    first = push(family)
    taken, asked = hub.store.taken, len(hub.requests)

    again = push(family)

    assert ("unchanged", first.commit, 0, 7) == (again.state, again.commit, again.nbytes, again.kept)
    assert (taken, 1) == (hub.store.taken, len(commits(hub)))
    assert [("GET", "/api/whoami-v2"), ("GET", "/api/models/lab/release/revision/main?blobs=true")] == [
        (request.method, request.path) for request in hub.requests[asked:]
    ]


def test_what_fails_a_check_is_not_sent_unless_that_is_said_and_the_card_has_the_results(family: Project, hub: Hub, push: Push):
    score = """run = ["sh", "-c", "printf '{\\"score\\": 2}' > {scores}"]\n"""
    family.write(
        family.where.file.read_text() + f'[check.taste]\nkind = "command"\n{score}min = 3\n[check.smell]\nkind = "command"\n{score}'
    )
    told: list[Event] = []
    taken = hub.store.taken

    error = refused(lambda: push(family))

    assert Exit.ACTION_FAILED == error.exit_code
    assert ["`release` fails its check `taste`"] == [one.what for one in error.problems]
    assert (taken, False) == (hub.store.taken, "lab/release" in hub.repositories)
    assert "would push" == push(family, report=told.append, dry_run=True).state
    assert Warned("`release` fails its check `taste`, so nothing would be sent: score 2; not at least 3") in told
    pushed = push(family, report=told.append, no_check=True)
    assert "pushed" == pushed.state
    assert Warned("--no-check: nothing was checked of release") in told
    card = files_of(hub)["README.md"].decode()
    rows = card[card.index("## Checks") :].splitlines()[4:7]
    assert "| taste | score 2; not at least 3 | failed |" in rows
    assert "| smell | score 2 | measured |" in rows
    assert rows[0].startswith("| finite | ")
    family.edit("min = 3", "min = 2")
    assert ("pushed", {"README.md", "Modelfile.toml"}) == ((again := push(family)).state, {name for name, _ in again.sent})
    assert "| taste | score 2; at least 2 | passed |" in files_of(hub)["README.md"].decode()
    assert "| taste | score 2; at least 2 | passed |" in use_cases.card(family.where, "release")


@pytest.mark.slow
def test_only_what_is_lacking_is_sent_and_shards_of_another_layout_go_in_the_same_commit(family: Project, hub: Hub, push: Push):
    """Three shards become one that another branch has already: no weight is sent."""
    push(family, to="hf://lab/release@single")
    whole = files_of(hub, ref="single")["model.safetensors"]
    family.edit("inputs =", 'output = { shard_size = "8KB" }\ninputs =')
    push(family)
    shards = {name for name in files_of(hub) if name.endswith(".safetensors")}
    family.edit('output = { shard_size = "8KB" }\n', "")
    taken, before = hub.store.taken, len(commits(hub))

    pushed = push(family)

    assert 1 < len(shards)
    assert shards | {"model.safetensors.index.json"} == set(pushed.removed)
    assert whole == files_of(hub)["model.safetensors"]
    assert (before + 1, 0) == (len(commits(hub)), len(set(files_of(hub)) & shards))
    assert hub.store.taken - taken < len(whole)


def test_what_is_published_is_what_is_written_and_the_hub_is_asked(family: Project, hub: Hub):
    edited = refused(lambda: use_cases.push(replace(family.where, overrides=("seed=1",)), to="hf://lab/release"))
    alone = refused(lambda: use_cases.push(replace(family.where, offline=True), to="hf://lab/release"))

    assert (Exit.USAGE, "what is published is the Modelfile as it stands") == (edited.exit_code, edited.problems[0].what)
    assert (Exit.NETWORK, "publishing asks the hub") == (alone.exit_code, alone.problems[0].what)
    assert [] == hub.requests


@pytest.mark.slow
def test_files_are_sent_in_parts_where_the_hub_wants_that(family: Project, hub: Hub, push: Push):
    hub.store.part = 5000
    push(family)

    assert family.hashes()["model.safetensors"] == sha256s(dict(files_of(hub)))["model.safetensors"]
    assert 4 == len(
        [request for request in hub.requests if request.method == "PUT" and request.path.count("/") == 3 and len(request.body) > 4000]
    )


@pytest.mark.slow
def test_a_dry_run_asks_and_changes_nothing(family: Project, hub: Hub, push: Push, monkeypatch: pytest.MonkeyPatch):
    """It needs no token, either."""
    monkeypatch.delenv("HF_TOKEN")
    assert "would build" == push(family, dry_run=True).state
    family.build()
    there = push(family, dry_run=True)

    assert ("would push", True, MODEL | RECIPE) == (there.state, there.created, {name for name, _ in there.sent})
    assert not family.where.lock.exists()
    assert "lab/release" not in hub.repositories
    assert {"GET", "HEAD"} == {request.method for request in hub.requests}


@pytest.mark.slow
def test_a_private_repository_is_made_so_and_a_public_one_is_refused(family: Project, hub: Hub, push: Push):
    push(family, private=True)
    push(family, to="hf://lab/open")

    assert (True, False) == (hub.repositories["lab/release"].private, hub.repositories["lab/open"].private)
    assert "unchanged" == push(family, private=True).state
    assert Exit.UNSAFE == refused(lambda: push(family, to="hf://lab/open", private=True)).exit_code


@pytest.mark.slow
def test_a_branch_that_is_missing_starts_from_main_and_main_stays(family: Project, hub: Hub, push: Push):
    hub.repository("lab/release").commit({"LICENSE": b"words"})
    main = hub.repositories["lab/release"].refs["main"]
    push(family, to="hf://lab/release@v2", message="the second")

    assert main == hub.repositories["lab/release"].refs["main"]
    assert {"LICENSE", *MODEL, *RECIPE} == set(files_of(hub, ref="v2"))
    assert ["the second"] == commits(hub)
    assert Exit.USAGE == refused(lambda: push(family, to=f"hf://lab/release@{main}")).exit_code


@pytest.mark.slow
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin", "model-00001-of-00002.safetensors"])
def test_a_repository_with_another_model_is_not_touched(family: Project, hub: Hub, push: Push, file: str):
    hub.repository("lab/release").commit({file: b"another", "config.json": b"{}"})

    error = refused(lambda: push(family))

    assert Exit.UNSAFE == error.exit_code
    assert f"hf://lab/release@main has {file}" in str(error)
    assert {file: b"another", "config.json": b"{}"} == files_of(hub)


def test_nothing_is_sent_where_a_stranger_s_file_stands_in_the_output(family: Project, hub: Hub, push: Push):
    family.build()
    (family.root / "out/release/pytorch_model.bin").write_bytes(b"x")

    assert Exit.UNSAFE == refused(lambda: push(family)).exit_code
    assert "lab/release" not in hub.repositories


@pytest.mark.slow
def test_an_output_that_somebody_changed_is_not_published(family: Project, hub: Hub, push: Push):
    push(family)
    head = hub.repositories["lab/release"].refs["main"]
    file = family.root / "out/release/config.json"
    file.chmod(0o644)
    file.write_bytes(file.read_bytes() + b" ")

    pushed = push(family)

    assert (head, "unchanged") == (pushed.commit, pushed.state)
    assert file.read_bytes() == files_of(hub)["config.json"]


@pytest.mark.slow
def test_a_card_that_was_edited_there_stays_until_one_is_given(family: Project, hub: Hub, push: Push, tmp_path: Path):
    push(family)
    edited = files_of(hub)["README.md"] + b"\nMine.\n"
    hub.repositories["lab/release"].commit({**files_of(hub), "README.md": edited})
    told: list[object] = []
    family.edit('"math"]', '{ model = "math", weight = 2.0 }]')

    push(family, report=told.append)
    (tmp_path / "CARD.md").write_text("---\nlicense: mit\n---\n# Mine\n")

    assert edited == files_of(hub)["README.md"]
    assert any("was edited there" in getattr(event, "text", "") for event in told)
    push(family, card=tmp_path / "CARD.md")
    assert b"# Mine" in files_of(hub)["README.md"]


def test_a_card_that_is_given_is_read_once_before_any_work(family: Project, hub: Hub, push: Push, tmp_path: Path):
    """What it must not tell ends the push before anything is built; what becomes of the file meanwhile does not count."""
    card = tmp_path / "CARD.md"
    card.write_text(f"# Mine, made in {family.root}\n")
    error = refused(lambda: push(family, card=card))
    built = (family.root / "out").exists()
    card.write_text("# Mine\n")

    told: list[object] = []

    def report(event: object) -> None:
        card.write_text("# Another\n")
        told.append(event)

    push(family, report=report, card=card)

    assert (Exit.UNSAFE, False) == (error.exit_code, built)
    assert b"# Mine\n" == files_of(hub)["README.md"]
    assert "# Another\n" == card.read_text()
    said = "the hub says: Warnings while validating metadata in README.md: - empty or missing yaml metadata in repo card"
    assert Warned(said) in told


@pytest.mark.slow
def test_a_card_without_words_is_replaced(family: Project, hub: Hub, push: Push):
    hub.repository("lab/release").commit({"README.md": b"---\nlicense: mit\n---\n"})
    push(family)

    assert b"## Made of" in files_of(hub)["README.md"]


@pytest.mark.slow
def test_a_gitignore_there_leaves_nothing_out(family: Project, hub: Hub, push: Push):
    hub.repository("lab/release").commit({".gitignore": b"model.safetensors\nModelfile.lock\n"})
    push(family)

    assert (MODEL | RECIPE) <= set(files_of(hub))


@pytest.mark.slow
def test_the_modelfile_names_the_place(family: Project, hub: Hub, push: Push):
    assert "where is `release` to be published?" in str(refused(lambda: push(family, to="")))
    family.edit("inputs =", 'output = { push = "hf://lab/named" }\ninputs =')

    assert "hf://lab/named@main" == push(family, to="").to
    assert (MODEL | RECIPE) <= set(files_of(hub, "lab/named"))


@pytest.mark.slow
def test_a_recipe_alone_holds_no_weights_and_builds_what_the_model_would_be(family: Project, hub: Hub, push: Push, tmp_path: Path):
    pushed = push(family, recipe=True)
    assert (RECIPE, 0) == ({name for name, _ in pushed.sent}, len(list((family.root / "out").glob("*"))))
    family.build()

    assert "unchanged" != push(family, recipe=True).state  # the lock has learnt the digests
    where = use_cases.checkout("hf://lab/release", tmp_path / "elsewhere")
    use_cases.build(where, (), Options(locked=True))
    assert family.hashes() == Project(where.file.parent).hashes()


@pytest.mark.slow
def test_a_recipe_alone_is_not_put_beside_the_weights_of_another(family: Project, hub: Hub, push: Push):
    push(family)
    assert "unchanged" == push(family, recipe=False).state
    family.edit('"math"]', '{ model = "math", weight = 2.0 }]')
    family.build()

    assert Exit.UNSAFE == refused(lambda: push(family, recipe=True)).exit_code


@pytest.mark.slow
def test_a_source_that_moved_since_the_lock_was_written_is_pushed_with_its_new_digest(project: Project, hub: Hub, push: Push):
    project.family()
    project.write('[source]\nbase.from = "base"\ncode.from = "code"\n[merge.release]\nmethod = "linear"\ninputs = ["base", "code"]\n')
    push(project)
    before = read(project.where.lock)
    write_model(project.root / "code", random_tensors(9))
    pushed = push(project)

    assert "pushed" == pushed.state
    assert before.sources["code"].root.encode() not in files_of(hub)["Modelfile.lock"]


@pytest.mark.slow
def test_a_configuration_of_mergekit_is_published_as_the_modelfile_that_it_is(project: Project, hub: Hub, push: Push, tmp_path: Path):
    project.family()
    for name in ("base", "code"):
        hub.put(f"lab/{name}", project.root / name)
    yml = project.root / "merge.yml"
    yml.write_text(
        "merge_method: linear\nmodels:\n"
        + "".join(f"  - model: lab/{name}\n    parameters: {{weight: 0.5}}\n" for name in ("base", "code"))
    )
    where = replace(project.where, file=yml, directory=project.root)
    pushed = use_cases.push(where, to="hf://lab/release")
    elsewhere = use_cases.checkout("hf://lab/release", tmp_path / "there")
    use_cases.build(elsewhere, (), Options(locked=True))

    assert project.hashes(pushed.target) == Project(elsewhere.file.parent).hashes(pushed.target)


@pytest.mark.slow
def test_the_code_of_the_card_loads_what_was_pushed(project: Project, hub: Hub, push: Push):
    """From the hub, by transformers, in a process of its own."""
    for name in ("base", "math"):
        hub.put(f"lab/{name}", FAMILY / name)
    sources = "".join(f'{name}.from = "hf://lab/{name}"\n' for name in ("base", "math"))
    project.write(f'[source]\n{sources}[merge.release]\nmethod = "linear"\ninputs = ["base", "math"]\n')
    push(project)
    page = files_of(hub)["README.md"].decode()
    code = page.partition("```python\n")[2].partition("```")[0]
    check = "\nassert model(**tokenizer('one', return_tensors='pt')).logits.isfinite().all()\nprint(model.num_parameters())"
    done = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True, check=False)

    assert "AutoTokenizer" in code
    assert 0 == done.returncode, done.stderr
    assert 2_000_000 < int(done.stdout)

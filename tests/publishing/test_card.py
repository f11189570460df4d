"""The model card: what it says, and what it never does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from modelbuild import usecases as use_cases
from modelbuild.errors import Exit
from modelbuild.events import Warned
from modelbuild.usecases import cardtext
from modelbuild.usecases.describing import facts_of
from modelbuild.usecases.licences import Joined, joined, licence_in
from modelbuild.usecases.project import Project as Opened
from modelbuild.usecases.recorded import Recorded
from tests.publishing.conftest import refused
from tests.support.hub import Hub
from tests.support.projects import DIAMOND, Project

CARD = "---\nlicense: {}\n---\n# A model\n"


def head(card: str) -> dict[str, object]:
    """Return a card's front matter."""
    table: dict[str, object] = yaml.safe_load(card.split("---\n")[1])
    return table


def section(card: str, title: str) -> str:
    """Return what stands under a heading."""
    return card.partition(f"\n## {title}\n\n")[2].partition("\n\n## ")[0]


@pytest.fixture
def licensed(family: Project, hub: Hub) -> Project:
    """The family on the hub, under two licences; `math` lies here, at an absolute path."""
    for name, licence in (("base", "apache-2.0"), ("code", "mit")):
        held = hub.repositories[f"lab/{name}"]
        held.commit({**held.commits[held.refs["main"]], "README.md": CARD.format(licence).encode()})
    here = family.root.parent / "origin/math"
    (here / "README.md").write_text(CARD.format("apache-2.0"))
    text = (family.root / "Modelfile.toml").read_text().replace("hf://lab/math@main", str(here))
    family.write(text.replace('["base", "code", "math"]', '["base", { model = "code", weight = [0.2, 0.8] }, "math"]'))
    return family


def test_the_front_matter_names_parents_tags_and_licences(licensed: Project):
    told: list[object] = []
    card = use_cases.card(licensed.where, "release", told.append, to="hf://lab/release@v2")

    assert {
        "base_model": ["lab/base", "lab/code"],
        "base_model_relation": "merge",
        "library_name": "transformers",
        "license": "other",
        "license_name": "apache-2.0-and-mit",
        "pipeline_tag": "text-generation",
        "tags": ["merge", "modelbuild"],
    } == head(card)
    assert not [event for event in told if isinstance(event, Warned)]


def test_the_page_says_what_it_is_made_of_and_how(licensed: Project):
    use_cases.lock(licensed.where)
    licensed.build()
    card = use_cases.card(licensed.where, "release", to="hf://lab/release@v2")
    lock = Opened.open(licensed.where).lock
    assert lock

    commit, root = lock.sources["base"].commit[:12], lock.sources["math"].root
    assert f"| `base` | lab/base at `{commit}` |" in section(card, "Made of")
    assert f"| `math` | local files | `{root}` | apache-2.0 |" in section(card, "Made of")
    assert f'n2[("math<br>local, {root[:12]}")]' in section(card, "Graph")
    assert "- `release`: `linear`\n  - `base`\n  - `code`, weight `[0.2, 0.8]`\n  - `math`" == section(card, "Parameters")
    assert 'model = AutoModelForCausalLM.from_pretrained("lab/release", revision="v2", dtype="auto")' in section(card, "Use")
    assert "AutoTokenizer" not in section(card, "Use")
    assert "$ modelbuild build hf://lab/release@v2 --source math=PATH" in section(card, "Rebuild")
    assert lock.merges["release"].root in card
    assert 'math.from = "models/math"' in section(card, "Modelfile")
    assert f'sha256 = "{lock.sources["math"].files["model.safetensors"].sha256}"' in section(card, "Lock")
    assert "\n## Checks\n" not in card
    assert str(licensed.root.parent) not in card


def test_results_of_checks_are_shown_where_there_are_any(family: Project):
    project = Opened.open(family.where)
    facts = facts_of(project, project.plan(("release",)), "release", None, None, (), alone=False)
    card = cardtext.text(
        replace(facts, checks=(Recorded("perplexity", ("4.81", "at most 5.0"), passed=True), Recorded("a | b", ("1",), passed=False)))
    )

    assert "| perplexity | 4.81; at most 5.0 | passed |\n| a \\| b | 1 | failed |" in section(card, "Checks")


FIT = """[check.fit]
kind = "command"
run = ["sh", "-c", "echo '{\\"score\\": 2}' > {scores}"]
min = 1
"""


@pytest.mark.parametrize("lock", ["none", "alone", "built"])
def test_recorded_checks_of_the_output_that_stands_are_shown_with_any_lock_or_none(diamond: Project, lock: str):
    """And none where the Modelfile has moved on from that output, or the output from the Modelfile."""
    diamond.write((diamond.root / "Modelfile.toml").read_text() + FIT)
    if lock == "built":
        use_cases.lock(diamond.where)
    use_cases.test(diamond.where, ("release",))
    if lock == "alone":
        use_cases.lock(diamond.where)
    tested = use_cases.card(diamond.where, "release")
    diamond.edit("value = 0.6 }]", "value = 0.7 }]")
    changed = use_cases.card(diamond.where, "release")
    diamond.build("release")
    rebuilt = use_cases.card(diamond.where, "release")

    shown = section(tested, "Checks").splitlines()[2:]
    assert ["finite", "fit"] == [row.split()[1] for row in shown]
    assert "| fit | score 2; at least 1 | passed |" == shown[1]
    assert ("", "") == (section(changed, "Checks"), section(rebuilt, "Checks"))


def test_a_card_knows_whether_it_was_edited(family: Project):
    card = use_cases.card(family.where, "release")

    assert cardtext.is_own(card)
    assert not cardtext.is_own(card.replace("release", "Release", 1))
    assert not cardtext.is_own(card + "more")
    assert (True, False) == (cardtext.is_bare("---\nlicense: mit\n---\n"), cardtext.is_bare(card))


def test_merges_of_merges_of_local_models_name_no_model_of_a_hub(diamond: Project):
    card = use_cases.card(diamond.where, "release")

    assert {"library_name", "license", "pipeline_tag", "tags"} == set(head(card))
    assert "  - `base`, layers 0 to 0\n  - `blend`, layers 1 to 1\n" in section(card, "Parameters")
    assert "- `blend`: `slerp`, t `0.3` in `mlp`, else `0.6`" in section(card, "Parameters")
    assert "n5" in section(card, "Graph")
    assert "4 merges" in card


def test_a_configuration_of_mergekit_is_tagged_so_and_embedded_as_a_modelfile(diamond: Project):
    yml = diamond.root / "merge.yml"
    yml.write_text(
        "merge_method: linear\nmodels:\n  - model: base\n    parameters: {weight: 0.5}\n  - model: code\n    parameters: {weight: 0.5}\n"
    )
    card = use_cases.card(replace(diamond.where, file=yml, directory=diamond.root))

    assert ["merge", "modelbuild", "mergekit"] == head(card)["tags"]
    assert "# Imported from merge.yml." in section(card, "Modelfile")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("# see /home/somebody/notes", "a path of this machine"),
        ("# {root}/notes", "a path of this machine"),
        ("# file:///Users/somebody", "a path of this machine"),
        ("# hf_abcdefghijklmnopqrstuvwxyz", "a token"),
    ],
)
def test_what_is_this_machine_s_alone_is_refused_with_its_line(family: Project, line: str, what: str):
    text = (family.root / "Modelfile.toml").read_text()
    family.write(line.format(root=family.root) + "\n" + text)
    error = refused(lambda: use_cases.card(family.where, "release"))

    assert (Exit.UNSAFE, f"`Modelfile.toml` would publish {what}") == (error.exit_code, error.problems[0].what)
    assert "line 1" in error.problems[0].facts[0]
    assert "abcdefgh" not in str(error)


def test_absolute_places_become_names_and_nothing_else_changes(project: Project, tmp_path: Path):
    project.family()
    text = DIAMOND.replace('from = "code"', f'from = "{project.root}/code"  # ours').replace('from = "math"', 'from = "${dir}/math"')
    text = text.replace('method = "ties"', f'method = "ties"\noutput.path = "{project.root}/dist"')
    project.write(
        f'#:schema x\ndefault = [\n  "skills", "talk",  # two\n]\n[vars]\ndir = "{project.root}"\n[cache]\npath = "{tmp_path}/c"\n' + text
    )
    card = use_cases.card(project.where, "release")
    shown = section(card, "Modelfile").removeprefix("```toml\n").removesuffix("\n```").partition("\n```")[0]

    wanted = text.replace(f'"{project.root}/code"', '"models/code"').replace('"${dir}/math"', '"models/math"')
    wanted = wanted.replace(f"{project.root}/dist", "out/skills").rstrip("\n")
    assert f'#:schema x\ndefault = ["release"]\n[vars]\ndir = "elsewhere"\n[cache]\npath = "cache"\n{wanted}' == shown


def test_a_variable_that_is_a_place_and_something_else_is_refused(project: Project):
    project.family()
    project.write(
        '[vars]\nplace = "/models"\n[source.base]\nfrom = "base"\n[merge.out]\nmethod = "linear"\ninputs = ["base"]\n'
        'tokenizer = { chat_template = "{{ 1 }} ${place}" }\n'
    )
    error = refused(lambda: use_cases.card(project.where))

    assert Exit.UNSAFE == error.exit_code


def test_the_card_of_a_directory_is_not_that_of_one_file_in_it(project: Project):
    project.family()
    (project.root / "code/README.md").write_text(CARD.format("mit"))
    project.write('[source]\na.from = "code"\nb.from = "code/model.safetensors"\n[merge.out]\nmethod = "linear"\ninputs = ["a", "b"]\n')
    card = use_cases.card(project.where)

    assert "| `a` | local files |  | mit |\n| `b` | local files |  | unknown |" in section(card, "Made of")


def test_a_licence_is_that_of_the_card_else_of_the_config_and_marks_nothing_up(project: Project):
    project.family()
    config = project.root / "base/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "license": "MIT"}))
    (project.root / "code/README.md").write_text("---\nlicense: other\nlicense_name: a <b>[house](x)</b> | licence\n---\n")
    project.write('[source]\nbase.from = "base"\ncode.from = "code"\n[merge.out]\nmethod = "linear"\ninputs = ["base", "code"]\n')
    card = use_cases.card(project.where)

    shown = r"a \<b\>\[house\](x)\</b\> \| licence"
    assert f"| `base` | local files |  | mit |\n| `code` | local files |  | {shown} |" in section(card, "Made of")
    assert f"Their licences are not one: {shown} and mit." in section(card, "Made of")
    assert ("other", "a-b-house-x-b-licence-and-mit") == (head(card)["license"], head(card)["license_name"])


@pytest.mark.parametrize(
    ("licences", "result"),
    [
        ([("a", "mit"), ("b", "mit")], Joined("mit")),
        ([("a", "house terms"), ("b", "house terms")], Joined("other", "house terms")),
        ([("a", "mit"), ("b", "apache-2.0")], Joined("other", "apache-2.0 and mit")),
        ([("a", ""), ("b", "mit")], Joined("unknown", "", ("the licence of `a` is not known: no model card here names it",))),
        (
            [("a", "gpl-3.0"), ("b", "cc-by-sa-4.0")],
            Joined(
                "other",
                "cc-by-sa-4.0 and gpl-3.0",
                ("each of gpl-3.0 (`a`), cc-by-sa-4.0 (`b`) asks that what is made of it be under its own terms",),
            ),
        ),
        (
            [("a", "llama3"), ("b", "gemma"), ("c", "mit")],
            Joined("other", "gemma and llama3 and mit", ("llama3 (`a`), gemma (`b`) have terms of their own, which may not go together",)),
        ),
        ([("a", "cc-by-nd-4.0")], Joined("cc-by-nd-4.0", "", ("`a`: cc-by-nd-4.0 does not let works made of it be shared",))),
        (
            [("a", "cc-by-nc-4.0"), ("b", "mit")],
            Joined("other", "cc-by-nc-4.0 and mit", ("cc-by-nc-4.0 (`a`) does not allow commercial use; the others are not so bound",)),
        ),
    ],
)
def test_licences_are_joined_and_never_judged(licences: list[tuple[str, str]], result: Joined):
    assert result == joined(licences)


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("---\nlicense: Apache-2.0\n---\nwords", "apache-2.0"),
        ("---\r\nlicense: other\r\nlicense_name: my-terms\r\n---\r\n", "my-terms"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit and apache-2.0"),
        ("no front matter\n---\nlicense: mit\n---\n", ""),
        ("---\nlicense: {a: b}\n---\n", ""),
        ("---\nlicense: '<b>x'\n---\n", "<b>x"),
        ("---\nlicense: 'a\\nb'\n---\n", "a\\nb"),
        ("---\nlicense_name: my-terms\n---\n", "my-terms"),
        ('---\r\ntags: [a]\r\nlicense: "mit" # yes\r\n---\r\n', "mit"),
        ("---\nlicense: unfinished\n", ""),
        ("---\n: : :\n---\n", ""),
        ("---\na: &a [x]\nb: [*a, *a]\nlicense: mit\n---\n", ""),
        ("", ""),
    ],
)
def test_the_licence_of_a_parent_is_read_from_its_front_matter_alone(text: str, licence: str):
    assert licence == licence_in(text)

"""card, push, and build of an address, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelbuild.cache import stattable
from modelbuild.errors import Exit
from modelbuild.usecases import stamp
from tests.cli.conftest import Program
from tests.support.hub import Hub
from tests.support.projects import Project

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    """Log somebody in; what is young is trusted to be what it was."""
    monkeypatch.setattr(stattable, "RACY_NS", 0)
    monkeypatch.setattr(stamp, "_RACY_NS", 0)
    hub.store.tokens["hf_writer"] = "write"
    monkeypatch.setenv("HF_TOKEN", "hf_writer")


def test_a_target_is_built_pushed_and_built_again_from_its_address(family: Project, hub: Hub, program: Program, tmp_path: Path):
    directory, push = ("-C", family.root), ("push", "release", "--to", "hf://lab/release")
    first = program(*directory, *push)
    again = program(*directory, *push)
    elsewhere = program("-C", tmp_path, "build", "hf://lab/release", "release", "--json")
    verified = program("-C", tmp_path / "release", "verify")

    head = hub.repositories["lab/release"].refs["main"]
    assert [Exit.DONE] * 4 == [first.code, again.code, elsewhere.code, verified.code], elsewhere.err
    assert first.out.startswith(f"pushed release to hf://lab/release@main at {head[:12]}, in a new repository: 7 files, ")
    assert "sending 7 files (" in first.err
    assert "hf://lab/release@main is up to date, 7 files there already\n" == again.out
    assert ["built"] == [target["state"] for target in json.loads(elsewhere.out)["targets"]]
    assert f"note: hf://lab/release@{head[:12]} is in {tmp_path}/release" in elsewhere.err
    assert family.hashes() == Project(tmp_path / "release").hashes()


@pytest.mark.slow
def test_a_dry_run_names_files_and_json_has_their_bytes(family: Project, hub: Hub, program: Program):
    push = ("-C", family.root, "push", "--to", "hf://lab/release")
    assert "would build release first: what of it hf://lab/release@main lacks is not known before\n" == program(*push, "-n").out
    program("-C", family.root, "build")
    told, data = program(*push, "-n"), json.loads(program(*push, "-n", "--json").out)

    assert "  model.safetensors  19.9 kB\n" in told.out
    assert told.out.splitlines()[-1].startswith("would push release to hf://lab/release@main, in a new repository: 7 files, ")
    assert (19936, data["bytes"], "would push") == (data["sent"]["model.safetensors"], sum(data["sent"].values()), data["state"])


def test_a_card_is_printed_or_written_once(family: Project, program: Program):
    printed = program("-C", family.root, "card", "--offline")
    assert Exit.NETWORK == printed.code
    printed = program("-C", family.root, "card")
    written = program("-C", family.root, "card", "-o", "CARD.md")

    assert printed.out == (family.root / "CARD.md").read_text()
    assert "warning: licences: the licence of `base`, `code`, `math` is not known: no model card here names it" in printed.err
    assert "note: there is no lock yet" in printed.err
    assert (Exit.DONE, Exit.USAGE) == (written.code, program("-C", family.root, "card", "-o", "CARD.md").code)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("push",), "where is `release` to be published?"),
        (("push", "--to", "lab/release"), "this is no place on the hub\n  `--to` is lab/release"),
        (("push", "--to", "hf://lab/release@" + "a" * 40), "a commit cannot be published to"),
        (("build", "hf://lab/none"), "there is no repository `lab/none`, or it is private"),
        (("build", "hf://lab/base"), "`lab/base` holds no recipe"),
        (("build", "hf://lab/base", "--set", "a=b"), "leave out --file and --set"),
    ],
)
def test_what_cannot_be_published_or_built_is_said(family: Project, program: Program, arguments: tuple[str, ...], words: str):
    ended = program("-C", family.root, *arguments)

    assert ended.code in (Exit.USAGE, Exit.SOURCE)
    assert words in ended.err

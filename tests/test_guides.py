"""What README and guides tell to type is typed, and gives what they show; and they become a site without a warning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_docs import ROOT, script

DOCS = ROOT / "docs"
QUICK = DOCS / "guides" / "lock.md"
PAGES = (ROOT / "README.md", DOCS / "get-started.md", DOCS / "faq.md", DOCS / "from-mergekit.md", *sorted((DOCS / "guides").glob("*.md")))
blocks = script("blocks")


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=() if page == QUICK else pytest.mark.slow, id=str(page.relative_to(ROOT))) for page in PAGES],
)
def test_what_is_typed_gives_what_is_shown(page: Path, tmp_path: Path):
    """In an empty directory with the example family; seconds, bytes, dates and ids may be others, and nothing else."""
    blocks.furnish(tmp_path)
    commands = 0

    for step in blocks.session(page.read_text()):
        if isinstance(step, blocks.Written):
            (tmp_path / step.name).write_text(step.text)
            continue
        commands += 1
        code, printed = blocks.perform(step.command, tmp_path)
        where = f"{page.name}:{step.line}: {step.command}"
        assert blocks.alike(step.shown, printed), f"{where}\n{printed}"
        assert (code != 0) == ("error: " in step.shown), f"{where} ends with {code}"

    assert commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_modelfile_of_a_guide_is_one_that_is_typed_into(page: Path):
    """Where a page has commands, its Modelfiles have a name, so that the commands run on them."""
    text = page.read_text()

    assert not [block["text"] for block in blocks.BLOCK.finditer(text) if block["language"] == "toml" and not block["title"]]


def test_what_another_run_prints_otherwise_is_masked_and_nothing_else():
    """Figures of time and size, dates and ids; counts, names and values stay."""
    shown = "built a in 0.96s: 78 tensors, 0 reused, 9.6 MB written; saved about 1.2s of merging and 7.1 MB of reading\n"

    assert blocks.alike(shown, "built a in 12s: 78 tensors, 0 reused, 512 B written; saved 7.1 MB of reading\n")
    assert not blocks.alike(shown, shown.replace("78", "77"))
    assert not blocks.alike("t  0.5 -> 0.4\n", "t  0.5 -> 0.3\n")
    assert blocks.alike("3c4ca74c  2026-11-27 09:39:24\n", "180637dc  2027-01-02 10:00:00\n")
    assert blocks.alike("a\n...\nd\n", "a\nb\nc\nd\n")
    assert not blocks.alike("a\n...\nd\n", "a\nb\nc\n")


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path):
    """With links and headings checked; files that pages lead to come along."""
    pytest.importorskip("material", reason="the site needs the extra `docs`")

    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert {"index.html", "cli.html", "faq.html", "walkthrough.html"} <= {path.name for path in tmp_path.iterdir()}
    assert "repository/modelbuild/plan/actions.py.html" in (tmp_path / "cache-keys.html").read_text()
    assert (tmp_path / "repository" / "modelbuild" / "plan" / "actions.py.html").is_file()

"""What the documentation shows is read: Modelfiles parse and bind, examples run, links lead somewhere."""

from __future__ import annotations

import doctest
import re
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from msgspec.structs import replace

from modelbuild.cli.app import COMMANDS
from modelbuild.graph import bind
from modelbuild.method import Method
from modelbuild.methods import GROUP, installed, load
from modelbuild.modelfile.parse import parse
from tests.support.projects import Project

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

_BLOCK = re.compile(r'^```(?P<language>\w+)(?: title="[^"\n]+")?\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<file>[^)#:]*)(?:#(?P<anchor>[^)]*))?\)")


def blocks(page: Path, language: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each block in that language."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        if found["language"] == language:
            yield text.count("\n", 0, found.start("text")) + 1, found["text"]


def anchors(page: Path) -> set[str]:
    """Return what a page's headings are called in links."""
    prose = _BLOCK.sub("", page.read_text())
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


MODELFILES = [
    pytest.param(text, id=f"{page.relative_to(ROOT)}:{line}") for page in PAGES for line, text in blocks(page, "toml") if "[merge." in text
]


@pytest.mark.parametrize("text", MODELFILES)
def test_every_modelfile_shown_parses_and_binds(text: str):
    assert bind(parse(Path("Modelfile.toml"), text)).nodes


def script(name: str) -> ModuleType:
    """Import a script that writes a part of the documentation."""
    spec = spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_picture_of_a_build_is_what_the_program_prints(theme: str):
    """But for seconds and what is counted by them; `python docs/pictures.py` draws it."""
    pictures = script("pictures")

    shown = pictures.words((ROOT / "docs" / "images" / f"build-{theme}.svg").read_text())

    assert pictures.words(pictures.drawn(pictures.screen(), pictures.THEMES[theme])) == shown
    assert "built release and deep in : 99 tensors, 90 reused, 9 merged, 12.9 MB written" in shown


def test_the_pages_of_methods_are_what_their_docstrings_say_and_the_picture_what_the_example_is():
    """`python docs/pages.py` writes them."""
    module = script("pages")

    written = {path.name: path.read_text() for path in (ROOT / "docs" / "methods").glob("*.md") if path.name != "README.md"}
    assert module.pages() == written
    assert module.picture() == (ROOT / "docs" / "example.svg").read_text()
    assert module.decisions() == (ROOT / "docs" / "decisions" / "README.md").read_text()


def test_the_page_of_the_commands_is_what_the_program_declares():
    """`python docs/cli.py` writes it."""
    page = (ROOT / "docs" / "cli.md").read_text()

    assert script("cli").page() == page
    assert {*COMMANDS} <= anchors(ROOT / "docs" / "cli.md")


def test_there_are_modelfiles_to_check():
    """The pattern above finds what it is meant to find."""
    assert len(MODELFILES) >= 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_example_shown_gives_what_is_shown(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The blocks of a page are read as one, in a directory that holds the example family alone."""
    (tmp_path / "family").symlink_to(ROOT / "examples" / "family")
    monkeypatch.chdir(tmp_path)
    example = "\n".join(text for _, text in blocks(page, "python") if ">>>" in text)
    test = doctest.DocTestParser().get_doctest(example, {}, page.name, str(page), 0)
    told: list[str] = []

    doctest.DocTestRunner(verbose=False).run(test, out=told.append)

    assert "" == "".join(told)


def shown_method(name: str) -> Method:
    """Return a method that the page on methods declares."""
    shown = next(text for _, text in blocks(ROOT / "docs" / "methods.md", "python") if f"def {name}(" in text)
    namespace: dict[str, object] = {}
    exec(compile(shown, "docs/methods.md", "exec"), namespace)  # noqa: S102 - our own page
    found = namespace[name]
    assert isinstance(found, Method)
    return found


def test_the_streaming_method_shown_gives_the_bits_of_its_short_form(project: Project, monkeypatch: pytest.MonkeyPatch):
    """A build with each, with a limit that some tensors exceed and others do not."""
    bounded = shown_method("bounded")
    module = ModuleType("methods_shown")
    module.streaming = replace(bounded, name="streaming")  # type: ignore[attr-defined]
    module.short = replace(bounded, name="short", stats=None, apply=None)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in ("streaming", "short"):
        monkeypatch.setitem(installed(), name, EntryPoint(name, f"{module.__name__}:{name}", GROUP))
    load.cache_clear()
    project.family()
    source = "".join(f'[source.{name}]\nfrom = "{name}"\n' for name in ("base", "code", "math"))
    merge = '[merge.{0}]\nmethod = "{0}"\nlimit = 0.15\ninputs = ["base", "code", "math"]\n'
    project.write(source + merge.format("streaming") + merge.format("short"))

    outcome = project.build(device="cpu")

    load.cache_clear()
    assert outcome.actions.run == outcome.actions.total > 0
    assert project.hashes("streaming") == project.hashes("short")


def test_the_method_shown_is_one():
    """By hand: the lower one of the two in the middle, and the middle one of three."""
    torch = pytest.importorskip("torch")
    median = shown_method("median")

    left, right, third = torch.tensor([1.0, 4.0]), torch.tensor([2.0, 3.0]), torch.tensor([9.0, 0.0])

    assert [1.0, 3.0] == median([left, right], scale=1.0).tolist()
    assert [4.0, 6.0] == median([left, right, third], scale=2.0).tolist()


def test_the_table_of_methods_has_every_parameter_and_default():
    """Of the methods that come with modelbuild."""
    page = (ROOT / "docs" / "modelfile.md").read_text()
    for name, point in installed().items():
        if not point.module.startswith("modelbuild."):
            continue
        row = next(line for line in page.splitlines() if line.startswith("| `") and f"`{name}`" in line.split("|")[1])
        for param in load(name).params:
            assert param.inert or f"`{param.name}`" in row, (name, param.name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path):
    """Links to files of the repository and to headings."""
    for found in _LINK.finditer(_BLOCK.sub("", page.read_text())):
        target = page.parent / found["file"] if found["file"] else page
        assert target.exists(), found[0]
        assert not found["anchor"] or found["anchor"] in anchors(target), found[0]


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "decisions").glob("0*.md")), ids=lambda page: page.stem)
def test_a_decision_is_short_and_says_what_else_there_was(page: Path):
    text = page.read_text()

    assert len(text.splitlines()) <= 60
    assert {"context", "decision", "alternatives", "consequences"} <= anchors(page)

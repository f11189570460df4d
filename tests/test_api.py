"""`import modelbuild`: what it has, what it takes, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

import modelbuild
from modelbuild import usecases
from modelbuild.errors import ModelbuildError
from modelbuild.modelfile.edits import read_edit
from modelbuild.usecases.where import Where, at
from tests.support.projects import Project


def test_importing_it_imports_nothing_of_it():
    """But for names: whatever is asked for is imported then."""
    program = "import sys, modelbuild; print(*sorted(name for name in sys.modules if name.startswith('modelbuild')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ["modelbuild"] == done.stdout.split()


def test_it_has_every_use_case_by_name_and_no_module_takes_the_name_of_one():
    """`names` is for shells, and `Where` is what the command line makes of its options."""
    for name in modelbuild.__all__:
        assert getattr(modelbuild, name).__name__ == name
    assert {*usecases.__all__} - {"Where", "names"} == {*modelbuild.__all__} - {"ModelbuildError", "notebook"}
    beside = {path.stem for path in Path(modelbuild.__file__).parent.iterdir()}
    assert not beside & {*modelbuild.__all__}
    import_module("modelbuild.usecases.run")
    assert isinstance(modelbuild.build, FunctionType)
    with pytest.raises(AttributeError, match="no attribute `bild`"):
        _ = modelbuild.bild


_VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(_VALUES)
@settings(deadline=None)
def test_what_is_set_is_read_as_it_was_given(value: Any):
    where = at("Modelfile.toml", {"set": {"merge.x.t": value}})

    assert (("merge", "x", "t"), value) == read_edit(where.overrides[0])


def test_what_a_place_has_no_word_for_is_refused(tmp_path: Path):
    with pytest.raises(TypeError, match="no argument `sett`"):
        modelbuild.status("Modelfile.toml", sett={})  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="no argument `set`"):
        at(Where(), {"set": {"a": 1}})
    with pytest.raises(TypeError, match="no value like None"):
        at("Modelfile.toml", {"set": {"a": None}})
    with pytest.raises(ModelbuildError, match="there is no Modelfile at"):
        modelbuild.build(tmp_path / "Modelfile.toml")


def test_a_place_is_what_the_options_of_the_command_line_are(project: Project):
    """A cache elsewhere, a source read from elsewhere, one target without a list."""
    project.family()
    project.write('[source]\nbase.from = "gone"\n[merge.x]\nmethod = "linear"\ninputs = ["base"]\nweight = 2.0\n')
    cache = project.root / "elsewhere"

    outcome = modelbuild.build(project.root / "Modelfile.toml", "x", cache=cache, sources={"base": project.root / "base"}, offline=True)

    assert [("x", "built")] == [(one.name, one.state) for one in outcome.targets]
    assert (cache / "packs").is_dir()
    assert not (project.root / "cache").exists()


def test_a_notebook_shows_a_build_in_one_output_that_ends_with_what_was_done(diamond: Project, monkeypatch: pytest.MonkeyPatch):
    """IPython as far as it is used: a display handle whose output is replaced."""
    shown: list[str] = []
    handle = SimpleNamespace(update=lambda bundle, *, raw: shown.append(bundle["text/plain"]))
    displayed = SimpleNamespace(display=lambda bundle, *, raw, display_id: handle)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=object, display=displayed))
    monkeypatch.setitem(sys.modules, "IPython.display", displayed)

    modelbuild.build(diamond.where.file, report=modelbuild.notebook())

    assert ["building release: up to 36 of 36 actions to run, 21.0 kB", f"wrote {diamond.root}/out/release (4 files)"] == shown[-1].split(
        "\n"
    )
    assert any(text.split("\n")[-1].endswith(" kB") for text in shown)


def test_elsewhere_it_prints_lines(diamond: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "IPython", None)

    modelbuild.build(diamond.where.file, report=modelbuild.notebook())

    assert f"wrote {diamond.root}/out/release (4 files)" == capsys.readouterr().out.splitlines()[-1]


def test_the_package_says_that_it_is_typed():
    root = Path(modelbuild.__file__).parent
    assert (root / "py.typed").read_bytes() == b""
    assert "Typing :: Typed" in tomli.loads((root.parent / "pyproject.toml").read_text())["project"]["classifiers"]

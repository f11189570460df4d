"""Completion, asked for as the scripts in the shells ask."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelbuild import usecases as use_cases
from tests.cli.test_start_up import HEAVY, PROGRAM
from tests.support.projects import Project

MODELFILE = """\
[vars]
shares = [0.3, 0.5]
[source]
base.from = "base"
code.from = "code"
[merge.skills]
method = "linear"
inputs = ["base", "code"]
[merge.x]
method = "slerp"
inputs = ["base", "skills"]
matrix.t = "${shares}"
[group]
release = ["x"]
"""


@pytest.fixture
def modelfile(project: Project) -> Path:
    """No model is here: nothing is opened."""
    project.write(MODELFILE)
    return project.root


def asked(where: Path, shell: str, line: str, words: tuple[str, ...] = ()) -> list[str]:
    """Complete the end of a line, and see that nothing heavy was imported for it.

    Args:
        where: the current directory.
        shell: which.
        line: as typed; the cursor is at its end.
        words: what bash breaks it into, where that is not at spaces.

    """
    split = words or (*shlex.split(line), *([""] if line.endswith(" ") else []))
    told = {
        "bash": {"COMP_WORDS": " ".join(split), "COMP_CWORD": str(len(split) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    environment = {**os.environ, **told, "_MODELBUILD_COMPLETE": f"complete_{shell}"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=where, env=environment, capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in done.stderr.rpartition("imported:")[2].split()}
    assert set() == imported & {*HEAVY, "modelbuild.graph"}
    return done.stdout.split("\n")[:-1]


def test_bash_completes_targets_commands_and_options_and_variants_although_it_breaks_them_into_words(modelfile: Path):
    names = ["skills", "x", "x@t=0.3", "x@t=0.5", "release"]

    assert names == asked(modelfile, "bash", "modelbuild build ")
    assert ["@t=0.3", "@t=0.5"] == asked(modelfile, "bash", "", ("modelbuild", "build", "x", "@"))
    assert ["0.3", "0.5"] == asked(modelfile, "bash", "", ("modelbuild", "build", "x", "@", "t", "="))
    assert ["build"] == asked(modelfile, "bash", "modelbuild bu")


@pytest.mark.parametrize("line", ["modelbuild -C {} build re", "modelbuild build -f {}/Modelfile.toml re"])
def test_the_modelfile_that_the_line_names_is_asked(modelfile: Path, tmp_path_factory: pytest.TempPathFactory, line: str):
    assert ["release"] == asked(tmp_path_factory.mktemp("elsewhere"), "fish", line.format(modelfile))


def test_zsh_and_fish_get_sources_methods_and_templates(modelfile: Path):
    assert ['_arguments \'*: :(("base"', '"code"))\''] == asked(modelfile, "zsh", "modelbuild lock --upgrade ")
    assert ["dare_linear", "dare_ties"] == asked(modelfile, "fish", "modelbuild methods dare")
    assert ["moe", "multi-stage"] == asked(modelfile, "fish", "modelbuild init -t m")
    assert ['_arguments \'*: :(("status":"Say of each target whether it is fresh, or..."))\''] == asked(modelfile, "zsh", "modelbuild stat")


@pytest.mark.parametrize(
    "text", ["", "[merge.x]\nmatrix = 3\n", "merge = 3\n", "[merge.x\n", '[merge."${b"]\n', "[merge]\nx = 1\n"], ids=repr
)
def test_where_the_modelfile_is_not_sound_there_is_silence(project: Project, text: str):
    project.write(text)

    assert use_cases.names(project.where, "targets") in ((), ("x",), ("${b",))
    assert () == use_cases.names(project.where, "sources")


def test_the_scripts_are_shown_and_installed(tmp_path: Path):
    """bash is what runs here: typer asks which shell has started it."""
    bash = shutil.which("bash") or pytest.skip("no bash is here")
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def told(option: str) -> str:
        command = [bash, "-c", f"modelbuild {option}; true"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert "complete -o default -F _modelbuild_completion modelbuild" in told("--show-completion")
    assert f"bash completion installed in {tmp_path}/.bash_completions/modelbuild.sh" in told("--install-completion")
    assert "_MODELBUILD_COMPLETE=complete_bash" in (tmp_path / ".bash_completions/modelbuild.sh").read_text()

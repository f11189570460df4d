"""`watch`: a file that is saved is built, an error is shown, and Ctrl-C ends it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from modelbuild import usecases as use_cases
from tests.support.projects import Project

MODELFILE = """\
[source]
base.from = "base"
code.from = "code"
[merge.x]
method = "slerp"
inputs = ["base", "code"]
t = 0.5
"""


def test_a_saved_modelfile_is_built_and_so_is_a_mended_one_until_ctrl_c(project: Project):
    project.family()
    project.write(MODELFILE)
    program = [sys.executable, "-m", "modelbuild", "watch", "-C", str(project.root), "x"]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr is not None

        def until(words: str) -> str:
            told = ""
            for line in watching.stderr or ():
                told += line
                if words in line:
                    return told
            raise AssertionError(told)

        waits = "watching 7 files; Ctrl-C ends it"
        assert "built x in" in until(waits)
        before = project.hashes("x")
        project.edit("t = 0.5", "t = 1.5")
        assert "error: `t` cannot have this value" in until(waits)
        assert before == project.hashes("x")
        project.edit("t = 1.5", "t = 0.25")
        assert "built x in" in until(waits)
        assert before != project.hashes("x")
        watching.send_signal(signal.SIGINT)

        assert (130, "interrupted\n") == (watching.wait(30), watching.stderr.read())


def test_a_source_that_is_saved_counts_and_so_does_what_is_saved_during_a_build_once_it_has_come_to_rest(project: Project):
    project.family()
    project.write(MODELFILE)
    slept: list[float] = []
    writes = [
        lambda: None,
        lambda: (project.root / "code" / "config.json").write_text("{}"),
        lambda: (project.root / "code" / "more").write_text(""),
    ]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if writes:
            writes.pop(0)()

    from modelbuild.usecases.watching import watch

    saved = watch(use_cases.Where(project.root / "Modelfile.toml"), sleep)
    assert 7 == next(saved)
    assert 8 == next(saved)
    assert [0.2, 0.2, 0.3, 0.3] == slept

    replaced = project.root / "Modelfile.new"
    replaced.write_text(MODELFILE.replace("0.5", "0.6"))
    time.sleep(0.01)
    Path(replaced).replace(project.root / "Modelfile.toml")
    assert 8 == next(saved)
    assert [0.3] == slept[4:]

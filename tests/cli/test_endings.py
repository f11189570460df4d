"""How the program ends other than well: the words, where they go, and the exit code."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys

import pytest

from modelbuild import usecases as use_cases
from modelbuild.errors import Exit, ModelbuildError, Place, Problem
from modelbuild.report.page import Look, Page
from modelbuild.report.problems import problems
from tests.cli.conftest import Program
from tests.support.projects import Project

FIRST = Problem(
    "no merge method is called `tie`",
    "merge.skills.method",
    Place("Modelfile.toml", 14, 10),
    ("installed: linear, slerp, ties",),
    "did you mean `ties`?",
)
SECOND = Problem("there is nothing to build")


def raises(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let `build` raise."""

    def build(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(use_cases, "build", build)


def test_problems_are_printed_as_they_are_worded_with_a_blank_line_between():
    expected = """\
error: no merge method is called `tie`
  --> Modelfile.toml:14:10, at `merge.skills.method`
  installed: linear, slerp, ties
hint: did you mean `ties`?

error: there is nothing to build"""
    assert expected == problems((FIRST, SECOND), Look())


def test_colour_marks_the_heads_of_the_lines_alone():
    expected = (
        "\x1b[1;31merror:\x1b[0m no merge method is called `tie`\n"
        "\x1b[34m  -->\x1b[0m Modelfile.toml:14:10, at `merge.skills.method`\n"
        "  installed: linear, slerp, ties\n"
        "\x1b[36mhint:\x1b[0m did you mean `ties`?"
    )
    assert expected == problems((FIRST,), Look(colour=True))


@pytest.mark.parametrize(
    "code", [Exit.USAGE, Exit.LOCK, Exit.DIGEST, Exit.SOURCE, Exit.LOCAL_IO, Exit.NETWORK, Exit.UNSAFE, Exit.ACTION_FAILED]
)
def test_an_error_ends_with_the_code_it_carries(program: Program, monkeypatch: pytest.MonkeyPatch, code: Exit):
    raises(monkeypatch, ModelbuildError(SECOND, code))

    ended = program("build")

    assert (code, "", "error: there is nothing to build\n") == (ended.code, ended.out, ended.err)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "out/release"),
            6,
            "error: the system says: No space left on device\n  at `out/release`\nhint: free some space and run the same command: finished tensors are kept\n",
        ),
        (
            OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b"),
            6,
            "error: the system says: Invalid cross-device link\n  at `a` -> `b`\n",
        ),
        (MemoryError(), 6, "error: there is not enough memory\nhint: give less to the build with --memory or --jobs\n"),
        (KeyError("x"), 70, "error: this is a bug of modelbuild: KeyError: 'x'\nhint: `--debug` shows the traceback\n"),
        (KeyboardInterrupt(), 130, "interrupted; finished tensors are kept: run the same command to go on\n"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 0, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_other_error_has_words_and_a_code(
    program: Program, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, text: str
):
    raises(monkeypatch, error)
    monkeypatch.setattr("modelbuild.cli.endings._hush", lambda: None)

    ended = program("build")

    assert (code, "", text) == (ended.code, ended.out, ended.err)


def test_sigterm_ends_like_an_interrupt_with_143(program: Program, monkeypatch: pytest.MonkeyPatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(use_cases, "build", lambda *arguments: os.kill(os.getpid(), signal.SIGTERM))

    ended = program("build")

    assert (143, "interrupted; finished tensors are kept: run the same command to go on\n") == (ended.code, ended.err)
    assert before == signal.getsignal(signal.SIGTERM)


def test_debug_shows_the_traceback_before_the_words(program: Program, monkeypatch: pytest.MonkeyPatch):
    raises(monkeypatch, KeyError("x"))

    ended = program("build", "--debug")

    assert 70 == ended.code
    assert ended.err.startswith("Traceback (most recent call last):\n")
    assert "\nKeyError: 'x'\nerror: this is a bug of modelbuild: KeyError: 'x'\n" in ended.err


def test_a_reader_who_goes_away_is_no_error(diamond: Project):
    """The pipe is closed before the program writes."""
    program = [sys.executable, "-m", "modelbuild", "-C", str(diamond.root), "graph"]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()

    err = process.stderr.read()
    process.stderr.close()

    assert (0, b"") == (process.wait(), err)


def test_talk_that_cannot_be_written_is_dropped_and_data_that_cannot_is_an_error():
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    Page(Full(), needed=False).say("talk")

    with pytest.raises(OSError, match="No space left"):
        Page(Full()).say("data")


def test_control_characters_in_names_are_shown_and_not_obeyed():
    name = "model.\x1b]0;title\x07\x1b[2J.\u202eweight"

    plain, coloured = Page(io.StringIO()), Page(io.StringIO(), Look(colour=True))

    assert "model.\\x1b]0;title\\x07\\x1b[2J.\\u202eweight" == plain.safe(name) == coloured.safe(name)
    assert "\x1b[1mrelease\x1b[0m" == coloured.safe(coloured.look.paint("bold", "release"))


def test_an_ascii_page_escapes_what_it_cannot_show():
    assert "na\\xefve" == Page(io.StringIO(), Look(ascii=True)).safe("naïve")


def test_a_failed_target_is_told_with_its_problems(program: Program, monkeypatch: pytest.MonkeyPatch, diamond: Project):
    diamond.build()
    done = diamond.build()
    failed = use_cases.Outcome(done.targets, done.actions, 0, done.bytes, 1.0, 0, problems=(SECOND,), exit_code=Exit.ACTION_FAILED)
    monkeypatch.setattr(use_cases, "build", lambda *arguments: failed)

    ended = program("build")

    assert 1 == ended.code
    assert ended.err.startswith("error: there is nothing to build\n")

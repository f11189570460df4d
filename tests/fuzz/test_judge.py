"""The judge is no rubber stamp: each thing that a case must not do is seen."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from modelbuild.errors import Exit, ModelbuildError, Problem
from tests.fuzz import judge as judging
from tests.fuzz.judge import judge
from tests.hostile.bombs import pickled


def spin() -> None:
    """Work for ever."""
    while True:
        pass


def refuse(words: str) -> None:
    """End as the program does where something is wrong."""
    raise ModelbuildError(Problem(words), Exit.SOURCE)


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "reads elsewhere": (lambda root: Path("/etc/passwd").read_bytes(), "open of /etc/passwd"),
    "reads elsewhere through a link": (lambda root: (root / "link").read_bytes(), "open of /etc/passwd"),
    "lists elsewhere": (lambda root: list(root.parent.iterdir()), "os.listdir of"),
    "writes elsewhere": (lambda root: (root.parent / "new").write_text(""), "open changes"),
    "removes elsewhere": (lambda root: (root.parent / "none").unlink(missing_ok=True), "os.remove changes"),
    "reads code": (lambda root: (root / "x.py").read_bytes(), "open of code"),
    "runs a program": (lambda root: subprocess.run(["true"], check=True), "subprocess.Popen"),
    "runs a shell": (lambda root: os.system("true"), "os.system"),  # noqa: S605
    "loads a pickle": (lambda root: pickle.loads(pickled(root)), "pickle.find_class"),  # noqa: S301
    "asks the network": (lambda root: socket.getaddrinfo("localhost", 1), "socket.getaddrinfo"),
    "takes a gigabyte": (lambda root: bytearray(1 << 31), "more than a gigabyte"),
    "never ends": (lambda root: spin(), "it hung"),
    "waits for ever": (lambda root: time.sleep(60), "it hung"),
    "ends in a traceback": (lambda root: {}["x"], "exit 70"),
    "is interrupted": (lambda root: (_ for _ in ()).throw(KeyboardInterrupt), "exit 130"),
    "says too much": (lambda root: refuse("x" * 40_000), "40008 characters"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_case_must_not_do_is_a_fault(tmp_path: Path, monkeypatch, name: str):
    root = tmp_path / "project"
    root.mkdir()
    (root / "link").symlink_to("/etc/passwd")
    (root / "x.py").write_text("")
    monkeypatch.setattr(judging, "SECONDS", 0.2)
    monkeypatch.setattr(judging, "BLOCKED", 1.0)
    call, fault = WRONG[name]

    verdict = judge(lambda: call(root), root)

    assert any(fault in one for one in verdict.faults), verdict


def test_what_a_case_may_do_is_none(tmp_path: Path):
    """Read and write in the project, and end in an error of words."""
    (tmp_path / "x").write_text("")

    assert () == judge(lambda: (tmp_path / "x").read_text() or (tmp_path / "y").write_text(""), tmp_path).faults
    assert (Exit.SOURCE, ()) == ((verdict := judge(lambda: refuse("so it is"), tmp_path)).code, verdict.faults)

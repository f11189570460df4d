"""Programs that a Modelfile names, and that run for no other reason: their words, their own files, and their beginning and end."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from os import R_OK, access, killpg
from pathlib import Path
from typing import Any

_GRACE = 0.5
"""Seconds that a program has to clean up in when it is told to end."""

_MOST = 16_000_000
"""Bytes of a file among its words that is taken for a part of the program."""


def files_among(words: Iterable[str], root: Path) -> dict[str, Path]:
    """Return the files among the words of a program, by word: when one of them changes, so does what the program does.

    Args:
        words: as written, or with only those placeholders filled that stand for places of the project.
        root: the directory that relative ones start from.

    """
    named = {word: root / word for word in words if "{" not in word and "\0" not in word}
    return {word: path for word, path in named.items() if _is_own(path)}


def _is_own(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= _MOST and access(path, R_OK)
    except OSError:  # a word may be longer than any name
        return False


def filled(words: Iterable[str], values: Mapping[str, str]) -> list[str]:
    """Return the words of a program with placeholders filled; a first word `python` is the interpreter that runs this.

    Args:
        words: as written.
        values: what stands for NAME, where a word holds {NAME}.

    """
    found = []
    for word in words:
        for name, value in values.items():
            word = word.replace(f"{{{name}}}", value)  # noqa: PLW2901 - one placeholder after another
        found.append(word)
    return [sys.executable, *found[1:]] if found[:1] == ["python"] else found


@contextlib.contextmanager
def running(
    words: list[str], directory: Path, *, environment: Mapping[str, str] | None = None, output: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    """Run a program without a shell; whatever ends the block early, short of a kill, ends the program and what it started.

    Args:
        words: the program and its arguments.
        directory: the one that it runs in.
        environment: None for this process's.
        output: the descriptor that it prints to; by default a pipe, `stdout` of what is yielded.

    Raises:
        OSError: if it cannot be started.

    """
    process: subprocess.Popen[str] | None = None
    try:
        with _whole():
            process = subprocess.Popen(  # noqa: S603 - the Modelfile names it, and no shell reads it
                words,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        yield process
    except BaseException:
        if process is not None:
            _end(process)
        raise
    finally:
        if process is not None and process.stdout is not None:
            process.stdout.close()


def _end(process: subprocess.Popen[str]) -> None:
    """End a program and those that it started."""
    with contextlib.suppress(ProcessLookupError):
        try:
            killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
        finally:
            killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def _whole() -> Iterator[None]:
    """Let what would end this program wait until a block is left: a program that is just being started could not be ended with it."""
    came: list[int] = []
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        handlers = {number: handler for number, handler in found.items() if callable(handler)}
        for number in handlers:
            signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came[:1]:
            signal.raise_signal(number)

"""What a program makes that the user names in the Modelfile, and that runs for no other reason."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3

from modelbuild import files
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.modelfile.model import Export
from modelbuild.names import plain
from modelbuild.reading import is_regular

_TOLD = 12
"""Lines of what a program said last that are repeated when it fails."""

_GRACE = 0.5
"""Seconds that a program has to clean up in when it is told to end."""

_MOST = 16_000_000
"""Bytes of a file among its words that is taken for a part of the program."""


def files_of(export: Export, root: Path) -> tuple[Path, ...]:
    """Return the files among the words of a converter: when one of them changes, so does what it makes.

    Args:
        export: the export.
        root: the directory that it runs in.

    """
    named = (root / word for word in export.converter if "{" not in word and "\0" not in word)
    return tuple(path for path in named if is_regular(path) and path.stat().st_size <= _MOST)


def digests_of(export: Export, root: Path) -> tuple[str, ...]:
    """Return the digests of those files."""
    return tuple(blake3(path.read_bytes()).hexdigest() for path in files_of(export, root))


def run(export: Export, model: Path, path: Path, root: Path) -> None:
    """Run a converter, which ends with the build: whatever ends the build early, short of a kill, ends it and what it started.

    Args:
        export: names it.
        model: the directory of the model, for `{model}`.
        path: where it is to write, for `{out}`: nothing stands there yet.
        root: the directory that it runs in, the Modelfile's.

    Raises:
        ModelbuildError: exit 1 if it fails, or leaves nothing; 2 if there is no such program.

    """
    filled = {"{model}": str(model.resolve()), "{out}": str(path.resolve()), "{type}": export.type}
    words = [_filled(word, filled) for word in export.converter]
    if words[0] == "python":
        words[0] = sys.executable
    last: deque[str] = deque(maxlen=_TOLD)
    try:
        with subprocess.Popen(  # noqa: S603 - the Modelfile names it, and no shell reads it
            words,
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            try:
                last.extend(process.stdout)
                process.wait()
            except BaseException:
                _end(process)
                raise
    except OSError as error:
        facts = (f"the system says: {error.strerror}",)
        hint = "install it, or correct `converter`"
        raise ModelbuildError(Problem(f"the converter `{plain(words[0])}` does not run", facts=facts, hint=hint)) from None
    if process.returncode or not os.path.lexists(path):
        what = f"ended with {process.returncode}" if process.returncode else 'left nothing at "{out}"'
        said = tuple(plain(line.rstrip(), 200) for line in last)
        raise ModelbuildError(Problem(f"the converter of `{export.name}` {what}", facts=said), Exit.ACTION_FAILED)


def _end(process: subprocess.Popen[str]) -> None:
    """End a program and those that it started."""
    with contextlib.suppress(ProcessLookupError):
        try:
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def secure(path: Path) -> None:
    """Bring what a converter left to disk.

    Raises:
        ModelbuildError: exit 8 for links, and directories within the directory: an output has files alone.

    """
    for file in _written(path):
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            files.sync(fd, file)
        finally:
            os.close(fd)


def _filled(word: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word


def _written(path: Path) -> Iterator[Path]:
    """Yield the files at a path, which may be one."""
    for file in sorted(path.iterdir()) if path.is_dir() and not path.is_symlink() else (path,):
        if not is_regular(file):
            facts = (f"`{plain(file.name)}` is none",)
            raise ModelbuildError(Problem("a converter may leave files alone, and no links", facts=facts), Exit.UNSAFE)
        yield file

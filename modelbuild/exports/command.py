"""What a program makes that the user names in the Modelfile, and that runs for no other reason."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3

from modelbuild import files, programs
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.modelfile.model import Export
from modelbuild.names import plain
from modelbuild.reading import is_regular

_TOLD = 12
"""Lines of what a program said last that are repeated when it fails."""


def files_of(export: Export, root: Path) -> tuple[Path, ...]:
    """Return the files among the words of a converter: when one of them changes, so does what it makes.

    Args:
        export: the export.
        root: the directory that it runs in.

    """
    return tuple(programs.files_among(export.converter, root).values())


def digests_of(export: Export, root: Path) -> tuple[str, ...]:
    """Return the digests of those files."""
    return tuple(blake3(path.read_bytes()).hexdigest() for path in files_of(export, root))


def run(export: Export, model: Path, path: Path, root: Path) -> None:
    """Run a converter, which ends with the build.

    Args:
        export: names it.
        model: the directory of the model, for `{model}`.
        path: where it is to write, for `{out}`: nothing stands there yet.
        root: the directory that it runs in, the Modelfile's.

    Raises:
        ModelbuildError: exit 1 if it fails, or leaves nothing; 2 if there is no such program; 8 if it leaves links.

    """
    words = programs.filled(export.converter, {"model": str(model.resolve()), "out": str(path.resolve()), "type": export.type})
    last: deque[str] = deque(maxlen=_TOLD)
    try:
        with programs.running(words, root) as process:
            assert process.stdout is not None
            last.extend(process.stdout)
            process.wait()
    except OSError as error:
        facts = (f"the system says: {error.strerror}",)
        hint = "install it, or correct `converter`"
        raise ModelbuildError(Problem(f"the converter `{plain(words[0])}` does not run", facts=facts, hint=hint)) from None
    if process.returncode or not os.path.lexists(path):
        what = f"ended with {process.returncode}" if process.returncode else 'left nothing at "{out}"'
        said = tuple(plain(line.rstrip(), 200) for line in last)
        hint = "mend it, and run the same command: what it reads is built"
        raise ModelbuildError(Problem(f"the converter of `{export.name}` {what}", facts=said, hint=hint), Exit.ACTION_FAILED)


def secure(export: Export, path: Path) -> None:
    """Bring what a converter left to disk.

    Args:
        export: names the converter.
        path: where it left it.

    Raises:
        ModelbuildError: exit 8 for links, 1 for whatever else is no file: an output is a file, or a directory of files alone.

    """
    for file in _written(export, path):
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            files.sync(fd, file)
        finally:
            os.close(fd)


def _written(export: Export, path: Path) -> Iterator[Path]:
    """Yield the files at a path, which may be one.

    Raises:
        ModelbuildError: exit 8 for links, 1 for whatever else is no file: an output is a file, or a directory of files alone.

    """
    inside = path.is_dir() and not path.is_symlink()
    for file in sorted(path.iterdir()) if inside else (path,):
        if not is_regular(file):
            name = f"`{plain(file.name)}` in " if inside else ""
            kind = "a link" if file.is_symlink() else "a directory" if file.is_dir() else "no regular file"
            facts = (f'{name}"{{out}}" is {kind}',)
            hint = 'let it write a file to "{out}", or a directory with files alone'
            what = f"the converter of `{export.name}` left what cannot be published"
            raise ModelbuildError(Problem(what, facts=facts, hint=hint), Exit.UNSAFE if file.is_symlink() else Exit.ACTION_FAILED)
        yield file

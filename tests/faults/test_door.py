"""Nothing but `modelbuild.files` changes a file system."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import modelbuild

PACKAGE = Path(modelbuild.__file__).parent
METHODS = {
    "chmod", "hardlink_to", "lchmod", "makedirs", "mkdir", "rename", "renames", "rmdir", "rmtree", "symlink_to", "unlink", "write_bytes", "write_text",
}  # fmt: skip
"""Of paths, and of `os` and `shutil`; called on `files` they are ours."""
FUNCTIONS = {
    "os": {
        "chown", "copy_file_range", "fchmod", "fdatasync", "fsync", "ftruncate", "lchown", "link", "mkfifo", "mknod", "posix_fallocate", "pwrite", "pwritev",
        "remove", "removedirs", "replace", "sendfile", "setxattr", "symlink", "sync", "truncate", "utime", "write", "writev",
    },
    "shutil": {"copy", "copy2", "copyfile", "copyfileobj", "copytree", "make_archive", "move", "unpack_archive"},
    "tempfile": {"NamedTemporaryFile", "TemporaryDirectory", "TemporaryFile", "mkdtemp", "mkstemp"},
    "torch": {"save"},
    "np": {"save", "savez", "memmap"},
    "numpy": {"save", "savez", "memmap"},
}  # fmt: skip
WRITING = {"O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"}

EXCEPTIONS = {
    "kernels/machine.py": {"mkdir", "write_bytes", "replace"},  # machine code that can be compiled again
    "cli/endings.py": {"os.open"},  # of the null device
}
"""SQLite writes the index and huggingface_hub its downloads; neither shows here, for they do it themselves."""


def writes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of each call that changes a file system."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        named = {name.attr for argument in call.args for name in ast.walk(argument) if isinstance(name, ast.Attribute)}
        match call.func:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if name in FUNCTIONS.get(module, ()):
                yield call.lineno, f"{module}.{name}"
            case ast.Attribute(value=ast.Name(id="os"), attr="open") if named & WRITING:
                yield call.lineno, "os.open"
            case ast.Attribute(value=ast.Name(id="files" | "operations")):
                pass
            case ast.Attribute(attr=name) if name in METHODS:
                yield call.lineno, name
            case ast.Attribute(attr="touch") if not call.args:
                yield call.lineno, "touch"
            case ast.Attribute(value=receiver, attr="replace") if (
                len(call.args) == 1 and not call.keywords and not isinstance(receiver, ast.Constant)
            ):
                yield call.lineno, "replace"
            case ast.Attribute(attr="open") | ast.Name(id="open") if set(mode(call)) & set("wax+"):
                yield call.lineno, "open"


def mode(call: ast.Call) -> str:
    """Return the mode that a call of `open` gives, "" where it gives none."""
    place = 1 if isinstance(call.func, ast.Name) else 0
    given = [word.value for word in call.keywords if word.arg == "mode"] + call.args[place : place + 1]
    return next(
        (str(one.value) for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str) and len(one.value) <= 3), ""
    )


def test_no_other_module_opens_for_writing_renames_or_removes():
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if "files" not in path.relative_to(PACKAGE).parts
        for line, name in writes(ast.parse(path.read_text()))
        if name not in EXCEPTIONS.get(str(path.relative_to(PACKAGE)), ())
    ]

    assert [] == found


@pytest.mark.parametrize(
    "line",
    [
        "open(p, 'w')", "p.open('ab')", "open(p, mode='x')", "os.open(p, os.O_RDWR | os.O_CREAT)", "p.write_text('')", "p.unlink()", "p.rename(q)",
        "p.replace(q)", "os.replace(p, q)", "shutil.rmtree(p)", "p.touch()", "os.pwrite(fd, b'', 0)", "tempfile.mkdtemp()", "p.mkdir()",
    ],
)  # fmt: skip
def test_what_it_looks_for_is_found(line: str):
    assert 1 == len(list(writes(ast.parse(line))))


@pytest.mark.parametrize(
    "line",
    [
        "open(p)",
        "p.open('rb')",
        "text.replace('a', 'b')",
        "replace(x, y=1)",
        "files.unlink(p)",
        "os.open(p, os.O_RDONLY)",
        "packs.touch(one)",
    ],
)
def test_what_changes_nothing_is_let_pass(line: str):
    assert [] == list(writes(ast.parse(line)))

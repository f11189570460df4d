"""Machine code of the loops: found on disk, or compiled once and kept there.

numba compiles, but what it compiled is loaded and called without it: llvmlite links the object code and ctypes calls it, so
that a build spends 30 ms on what importing numba and its own cache would spend 250.  Machine code is found by the text of
this package, the compiler's version and the processor; nobody deletes it after an edit.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, cached_property, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import llvmlite
import numpy as np
from blake3 import blake3
from llvmlite import binding

from modelbuild.kernels.calling import Entry, caller_of, entry_of, flatten, words_of

DIGEST_SIZE: Final = 32


class Loop:
    """A compiled loop: a function of `modelbuild.kernels.loops`, for whatever types it is called with.

    Args:
        name: "module.function".

    """

    def __init__(self, name: str) -> None:
        """Load nothing yet."""
        self.name = name
        self._entries: dict[str, Entry] = {}

    def __call__(self, *args: Any) -> None:
        """Run without the GIL.

        Args:
            args: contiguous arrays, numbers of `NUMBERS`, and tuples and named tuples of such.

        """
        kinds: list[str] = []
        flat: list[Any] = []
        for arg in args:
            flatten(arg, kinds, flat)
        kind = " ".join(kinds)
        entry = self._entries.get(kind) or self._found(kind, args)
        if entry(*flat):
            raise RuntimeError(f"`{self.name}` failed on {kind}")

    def _found(self, kind: str, args: tuple[Any, ...]) -> Entry:
        with _linker.lock:
            if kind not in self._entries:
                words = words_of(args)
                loop = linked(self.name, kind, partial(_loop, self.name, args))
                self._entries[kind] = entry_of(_caller(words), loop, words)
            return self._entries[kind]


class _Linker:
    """LLVM's loader."""

    def __init__(self) -> None:
        """Load nothing yet."""
        self.lock = threading.RLock()

    def address(self, symbol: str, code: bytes) -> int:
        """Link object code, and return the address of its function."""
        self._engine.add_object_file(binding.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        address: int = self._engine.get_function_address(symbol)
        return address

    @cached_property
    def target(self) -> Any:
        """What code is made for: this processor."""
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        target = binding.Target.from_default_triple()
        return target.create_target_machine(cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten())

    @cached_property
    def _engine(self) -> Any:
        return binding.create_mcjit_compiler(binding.parse_assembly(""), self.target)


_linker = _Linker()


def linked(name: str, kind: str, compiled: Callable[[], tuple[str, bytes]]) -> int:
    """Return the address of a function in machine code that is kept as loops are.

    Args:
        name: of the file.
        kind: tells from each other what has that name.
        compiled: returns the symbol and the object code, where none is kept.

    """
    with _linker.lock:
        return _linker.address(*_code(name, kind, compiled))


def _code(name: str, kind: str, compiled: Callable[[], tuple[str, bytes]]) -> tuple[str, bytes]:
    """Return a symbol and its object code, from disk if they are there."""
    file = f"{name}-{blake3(f'{_compiler()} {name} {kind}'.encode()).hexdigest(16)}.o"
    for directory in _directories():
        if found := _read(directory / file):
            return found
    symbol, code = compiled()
    _write(file, symbol.encode() + b"\n" + code)
    return symbol, code


def assembled(text: str) -> bytes:
    """Turn LLVM's assembly into object code."""
    code: bytes = _linker.target.emit_object(binding.parse_assembly(text))
    return code


def _loop(name: str, args: tuple[Any, ...]) -> tuple[str, bytes]:
    """Compile a loop for the types of some arguments."""
    from modelbuild.kernels.loops.compiled import compiled

    module, function = name.split(".")
    return compiled(getattr(import_module(f"modelbuild.kernels.loops.{module}"), function), args)


@cache
def _caller(words: str) -> int:
    """Return the address of what calls loops with such arguments."""

    def compiled() -> tuple[str, bytes]:
        symbol, text = caller_of(words)
        return symbol, assembled(text)

    return linked("caller", words, compiled)


@cache
def _compiler() -> str:
    """Return what decides the machine code of a loop beside its types: this package's text, versions, the processor."""
    text = blake3()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        text.update(path.read_bytes())
    versions = [_numba(), llvmlite.__version__, sys.version, np.__version__]
    return " ".join([text.hexdigest(), *versions, binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()])


def _numba() -> str:
    """Return what tells numba's version, without importing it, or what asks installers, which takes 15 ms."""
    found = find_spec("numba")
    with suppress(OSError):
        if found and found.origin:
            return (Path(found.origin).parent / "_version.py").read_text()
    from importlib import metadata

    return metadata.version("numba")


def _directories() -> Iterator[Path]:
    """Yield where machine code may lie: beside the source, else in the user's cache."""
    yield Path(__file__).parent / "__pycache__"
    with suppress(RuntimeError):  # a user without a home
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelbuild" / "kernels"


def _read(path: Path) -> tuple[str, bytes] | None:
    """Read machine code; None where there is none, or it is not what was written."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, content = data[:DIGEST_SIZE], data[DIGEST_SIZE:]
    if blake3(content).digest() != digest:
        return None
    symbol, _, code = content.partition(b"\n")
    return symbol.decode(), code


def _write(file: str, content: bytes) -> None:
    """Keep machine code in the first place that takes it; without one it is compiled again next time."""
    for directory in _directories():
        try:
            directory.mkdir(parents=True, exist_ok=True)
            unfinished = directory / f".{file}.{os.getpid()}"
            unfinished.write_bytes(blake3(content).digest() + content)
            unfinished.replace(directory / file)  # its digest tells whether all of it got to disk
        except OSError:
            continue
        return

"""How machine code is called: arguments packed into words, one address handed over.

numba passes an array as seven arguments, and ctypes converts each by itself: 115 us for the 70 of a consensus of three, at every chunk.
Packed by `struct` they are a string of bytes, which a few lines of machine code, kept as loops are, take apart again.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Entry = Callable[..., int]

NUMBERS: Final = {int: "q", np.float32: "f", np.int32: "i", np.uint32: "I", np.uint64: "Q"}
"""What a number is to `struct`; no others are passed."""

ARRAY: Final = "QQqqQ"
"""What numba passes for an array, before its shape and strides: owner, Python's object, elements, bytes of one, address."""

PADDED: Final = {"q": "q", "Q": "Q", "f": "f4x", "i": "i4x", "I": "I4x"}
"""Each in a word of 8 bytes."""


def flatten(x: Any, kinds: list[str], flat: list[Any]) -> None:
    """Append what is passed for an argument, and what tells its type."""
    if isinstance(x, np.ndarray):
        count, size = x.size, x.itemsize
        if x.ndim == 1:
            kinds.append(x.dtype.char)
            flat += (0, 0, count, size, address(x), count, size)
        else:
            kinds.append(f"{x.dtype.char}{x.ndim}")
            flat += (0, 0, count, size, address(x), *x.shape, *x.strides)
    elif isinstance(x, tuple):
        kinds.append(type(x).__name__)
        kinds.append("(")
        for part in x:
            flatten(part, kinds, flat)
        kinds.append(")")
    else:
        kinds.append(type(x).__name__)
        flat.append(x if type(x) is int else x.item())


_place: Callable[[Any], int] = ctypes.addressof
_first: Callable[[Any], Any] = ctypes.c_char.from_buffer


def address(x: NDArray[Any]) -> int:
    """Return where an array lies: three times as fast as numpy's own ways, unless it is empty or may not be written.

    Raises:
        ValueError: if it is not contiguous.

    """
    try:
        return _place(_first(x))
    except (TypeError, ValueError):
        if not x.flags.c_contiguous:
            raise ValueError("an array that is not contiguous") from None
        return x.ctypes.data


def words_of(x: Any) -> str:
    """Return what `flatten` appends is to `struct`, a letter for each."""
    if isinstance(x, np.ndarray):
        return ARRAY + "q" * (2 * x.ndim)
    return "".join(map(words_of, x)) if isinstance(x, tuple) else NUMBERS[type(x)]


def caller_of(words: str) -> tuple[str, str]:
    """Write, in LLVM's assembly, what calls a loop with such arguments, and return its symbol too.

    It takes two addresses, of the loop and of the words: where numba's loop leaves its result and its exception, then the arguments.
    """
    from llvmlite import ir

    word, half = ir.IntType(64), ir.IntType(32)
    types = [{"f": ir.FloatType(), "i": half, "I": half}.get(letter, word) for letter in f"QQ{words}"]
    module = ir.Module("caller")
    caller = ir.Function(module, ir.FunctionType(half, [word, word]), f"modelbuild_call_{words}")
    builder = ir.IRBuilder(caller.append_basic_block())
    loop, packed = caller.args
    passed = [builder.load(builder.inttoptr(builder.add(packed, word(8 * i)), kind.as_pointer())) for i, kind in enumerate(types)]
    builder.ret(builder.call(builder.inttoptr(loop, ir.FunctionType(half, types).as_pointer()), passed))
    return caller.name, str(module)


def entry_of(caller: int, loop: int, words: str) -> Entry:
    """Return a function that takes what `flatten` appends.

    Args:
        caller: the address of what `caller_of` wrote.
        loop: the address of a loop.
        words: the letters of its arguments.

    """
    room = np.empty(8, np.uint64)
    pack = Struct("=" + "".join(PADDED[letter] for letter in f"QQ{words}")).pack
    function = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_uint64, ctypes.c_char_p)(caller)
    return partial(_run, function, loop, pack, room, room.ctypes.data, room.ctypes.data + 32)


def _run(
    function: Callable[[int, bytes], int], loop: int, pack: Callable[..., bytes], _room: object, result: int, error: int, *flat: Any
) -> int:
    return function(loop, pack(result, error, *flat))

"""What happens when a mapped file loses its end while it is read: SIGBUS, which would end the process.

A handler in machine code lays a page of zeros where one is gone, if it lies in a guarded range, and counts.  Whoever read
in between looks whether the count moved, throws away what came of it, and reads again in another way.  A fault anywhere
else goes to the handler that was there before.
"""

from __future__ import annotations

import ctypes
import mmap
import signal
import threading
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llvmlite.ir import IRBuilder

PLACES = 1024
"""Ranges that can be guarded at once."""

ADDRESS_AT = 16
"""Where `si_addr` stands in the `siginfo_t` of 64-bit Linux, in bytes."""

SA_SIGINFO, SA_ONSTACK, SA_RESTART = 4, 0x08000000, 0x10000000
MAP_FIXED = 0x10


class _Disposition(ctypes.Structure):
    """`struct sigaction`, of glibc and musl alike."""

    _fields_ = (("handler", ctypes.c_void_p), ("mask", ctypes.c_ubyte * 128), ("flags", ctypes.c_int), ("restorer", ctypes.c_void_p))


class Guard:
    """The ranges of addresses that are guarded; see `guard` for the one of this process."""

    def __init__(self) -> None:
        """Install the handler.

        Raises:
            OSError: if it cannot be.

        """
        from modelbuild.kernels.machine import linked

        self._table = (ctypes.c_uint64 * (1 + 2 * PLACES))()  # the count, then the start and the stop of each range
        self._free, self._lock = list(range(PLACES)), threading.Lock()
        self._before, libc = _Disposition(), ctypes.CDLL(None, use_errno=True)
        text = f"{ADDRESS_AT} {mmap.PAGESIZE} {PLACES} {SIGNAL}"
        arm = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 4)(linked("guard", text, _compiled))
        known = (ctypes.cast(function, ctypes.c_void_p).value for function in (libc.mmap, libc.sigaction))
        handler = arm(*known, ctypes.addressof(self._table), ctypes.addressof(self._before))
        wanted = _Disposition(handler=handler, flags=SA_SIGINFO | SA_ONSTACK | SA_RESTART)
        if libc.sigaction(SIGNAL, ctypes.byref(wanted), ctypes.byref(self._before)):
            raise OSError(ctypes.get_errno(), "sigaction")

    @property
    def faults(self) -> int:
        """How many pages turned out to be gone so far."""
        return self._table[0]

    def add(self, start: int, stop: int) -> int | None:
        """Guard a range, and return its place; None if there is none left."""
        with self._lock:
            place = self._free.pop() if self._free else None
        if place is not None:
            self._table[2 + 2 * place] = stop
            self._table[1 + 2 * place] = start
        return place

    def remove(self, place: int) -> None:
        """Guard a range no more; nothing may be mapped there by then."""
        self._table[1 + 2 * place] = self._table[2 + 2 * place] = 0
        with self._lock:
            self._free.append(place)


SIGNAL = int(signal.SIGBUS)


@cache
def guard() -> Guard:
    """Return the guard of this process; the first call installs its handler, which stays."""
    return Guard()


def _compiled() -> tuple[str, bytes]:
    """Compile the handler, and the function that tells it where things are and returns its address."""
    from llvmlite import ir

    from modelbuild.kernels.machine import assembled

    module = ir.Module("guard")
    word, half, byte = ir.IntType(64), ir.IntType(32), ir.IntType(8)
    known = []
    for name in ("mmap", "sigaction", "table", "before"):
        one = ir.GlobalVariable(module, word, f"modelbuild_guard_{name}")
        one.initializer, one.linkage = ir.Constant(word, 0), "internal"
        known.append(one)
    handler = ir.Function(module, ir.FunctionType(ir.VoidType(), [half, byte.as_pointer(), byte.as_pointer()]), "modelbuild_guard_handle")
    _write_handler(handler, known)
    arm = ir.Function(module, ir.FunctionType(word, [word] * 4), "modelbuild_guard_arm")
    builder = ir.IRBuilder(arm.append_basic_block())
    for one, value in zip(known, arm.args, strict=True):
        builder.store(value, one)
    builder.ret(builder.ptrtoint(handler, word))
    return arm.name, assembled(str(module))


def _write_handler(handler: Any, known: list[Any]) -> None:
    """Look the address up in the table: lay zeros there and count, or put the handler back that was there before."""
    from llvmlite import ir

    word, half = ir.IntType(64), ir.IntType(32)
    entry, look, match, move, ours, count, theirs = (
        handler.append_basic_block(name) for name in ("entry", "look", "match", "move", "ours", "count", "theirs")
    )
    builder = ir.IRBuilder(entry)
    mapping, restoring, table, before = (builder.load(one) for one in known)
    address = _word_at(builder, builder.add(builder.ptrtoint(handler.args[1], word), word(ADDRESS_AT)))
    builder.branch(look)
    builder.position_at_end(look)
    place = builder.phi(word)
    place.add_incoming(word(0), entry)
    builder.cbranch(builder.icmp_unsigned("<", place, word(PLACES)), match, theirs)
    builder.position_at_end(match)
    at = builder.add(table, builder.add(word(8), builder.mul(place, word(16))))
    inside = builder.and_(
        builder.icmp_unsigned(">=", address, _word_at(builder, at)),
        builder.icmp_unsigned("<", address, _word_at(builder, builder.add(at, word(8)))),
    )
    builder.cbranch(inside, ours, move)
    builder.position_at_end(move)
    place.add_incoming(builder.add(place, word(1)), move)
    builder.branch(look)
    builder.position_at_end(ours)
    lay = builder.inttoptr(mapping, ir.FunctionType(word, [word, word, half, half, half, word]).as_pointer())
    page, flags = builder.and_(address, word(-mmap.PAGESIZE)), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED
    laid = builder.call(lay, [page, word(mmap.PAGESIZE), half(mmap.PROT_READ), half(flags), half(-1), word(0)])
    builder.cbranch(builder.icmp_unsigned("==", laid, page), count, theirs)
    builder.position_at_end(count)
    builder.atomic_rmw("add", builder.inttoptr(table, word.as_pointer()), word(1), "seq_cst")
    builder.ret_void()
    builder.position_at_end(theirs)
    restore = builder.inttoptr(restoring, ir.FunctionType(half, [half, word, word]).as_pointer())
    builder.call(restore, [half(SIGNAL), before, word(0)])
    builder.ret_void()


def _word_at(builder: IRBuilder, address: Any) -> Any:
    """Load 64 bits."""
    from llvmlite import ir

    return builder.load(builder.inttoptr(address, ir.IntType(64).as_pointer()))

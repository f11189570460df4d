"""What a terminal shows of a build that is running: a few lines that fit, drawn from a board."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size

from modelbuild.names import human_bytes
from modelbuild.report.board import Board, Flight
from modelbuild.report.page import Look
from modelbuild.report.words import counted, listed, seconds

_WIDEST_BAR = 40
_NARROWEST_BAR = 6
_VERB = 12
_ROOMY = 78
"""Columns from which on the sizes of single tensors are shown."""


def frame(board: Board, look: Look, now: float, height: int) -> list[str]:
    """Draw a board; nothing where there is nothing to tell.

    Args:
        board: how far the build is.
        look: how; no line takes its last column, where terminals would wrap.
        now: seconds, by the board's clock.
        height: lines at most.

    """
    width = max(1, look.width - 1)
    if board.fetching:
        return [_arriving(board, look, width, now)]
    if board.sending:
        return [_sending(board, look, width, now)]
    if not board.started or not board.total:
        return []
    lines = [_bar(board, look, width), _counts(board, look, width)]
    if board.sealing or board.outputs or height < len(lines) + 1:
        return lines
    return lines + _flights(board.flights, look, width, now, height - len(lines))


def _bar(board: Board, look: Look, width: int) -> str:
    """Draw how many bytes are done of how many."""
    assert board.started
    share = board.done / board.total
    doing = "writing" if board.sealing or board.outputs else board.started.doing
    total = human_bytes(board.total)
    figures = f"{min(int(100 * share), 100):3}%  {human_bytes(board.done).rjust(max(8, len(total)))} of {total}"
    most, targets = max(len(doing), width - cell_len(figures) - _NARROWEST_BAR - 4), board.started.targets
    label = f"{doing} {listed(targets)}"
    if cell_len(label) > most:
        label = _cut(f"{doing} {counted(len(targets), 'target')}" if len(targets) > 1 else label, most, look)
    room = min(_WIDEST_BAR, width - cell_len(label) - cell_len(figures) - 3)
    if room < _NARROWEST_BAR:
        return _pad(f"{label}  {figures}", width)
    full = round(share * room)
    done, rest = ("=", "-") if look.ascii else ("━", "─")
    return f"{look.paint('bold', label)}  {look.paint('green', done * full)}{look.paint('faint', rest * (room - full))} {figures}"


def _arriving(board: Board, look: Look, width: int, now: float) -> str:
    """Say how much of a file has come."""
    assert board.fetching
    figures = f"{human_bytes(board.arrived)} of {human_bytes(board.fetching.nbytes)}  {seconds(now - board.since)}"
    name = f"fetching {board.fetching.source}::{board.fetching.file}"
    return f"{look.paint('bold', _cut(name, width - len(figures) - 2, look, head=width // 3))}  {figures}"


def _sending(board: Board, look: Look, width: int, now: float) -> str:
    """Say what is being sent, and for how long; the hub's client does not tell how far it is."""
    assert board.sending
    figures = f"{counted(board.sending.files, 'file')}, {human_bytes(board.sending.nbytes)}  {seconds(now - board.since)}"
    return f"{look.paint('bold', _cut(f'sending to {board.sending.repo}', width - len(figures) - 2, look))}  {figures}"


def _counts(board: Board, look: Look, width: int) -> str:
    """Say what was merged, reused and linked, how fast, and how long it will take; what does not fit is left out."""
    rate = board.rate()
    left = board.left(rate)
    parts = [f"{board.merged} merged", f"{board.reused} reused"]
    if board.outputs:
        parts += [f"{human_bytes(board.linked)} linked", f"{counted(board.outputs, 'output')} written"]
    elif board.sealing:
        parts += [f"bringing {counted(board.sealing, 'file')} to disk"]
    else:
        parts += [f"about {seconds(left)} left"] if left is not None else []
        parts += [f"{human_bytes(round(rate))}/s"] if rate else []
    while len(parts) > 1 and len(", ".join(parts)) > width - 2:
        parts.pop()
    return look.paint("faint", _cut("  " + ", ".join(parts), width, look))


def _flights(flights: Sequence[Flight], look: Look, width: int, now: float, height: int) -> list[str]:
    """Draw what each worker does, one line each and always the same one; of many the first."""
    shown = flights if len(flights) <= height else flights[: height - 1]
    lines = [_flight(flight, look, width, now) for flight in shown]
    return lines if len(shown) == len(flights) else [*lines, look.paint("faint", f"  and {len(flights) - len(shown)} more")]


def _flight(flight: Flight, look: Look, width: int, now: float) -> str:
    began, span = flight.began, now - flight.since
    share = f"{int(100 * flight.done / began.nbytes):3}%" if flight.done and began.nbytes and not flight.ended else ""
    figures = [human_bytes(began.nbytes).rjust(8)] if width >= _ROOMY else []
    figures += [share.rjust(4), ("" if flight.ended or span < 1 else seconds(span)).rjust(6)]
    tail = " ".join(figures)
    head = "  " + _pad(_cut(began.method or began.doing, _VERB, look), _VERB) + "  "
    name = _name(began.owner, began.tensor, width - len(head) - len(tail) - 1, look)
    return look.paint("faint", head + name + " " + tail) if flight.ended else head + name + " " + look.paint("faint", tail)


def _name(owner: str, tensor: str, width: int, look: Look) -> str:
    """Name a tensor in so many columns: where it is too long, without the middle, for its end tells most."""
    return _pad(_cut(f"{owner}::{tensor}", width, look, head=min(len(owner) + 2, width // 2)), width)


def _cut(text: str, width: int, look: Look, head: int | None = None) -> str:
    """Shorten text to so many columns: `head` of them from its start, the rest from its end, and a mark between."""
    if cell_len(text) <= width:
        return text
    mark = "..." if look.ascii else "…"
    room = width - cell_len(mark)
    if room < 1:
        return set_cell_size(text, max(0, width))
    first = room if head is None else min(head, room)
    return set_cell_size(text, first) + mark + (set_cell_size(text[::-1], room - first)[::-1] if room > first else "")


def _pad(text: str, width: int) -> str:
    return text + " " * max(0, width - cell_len(text))


def rows_of(lines: Iterable[int], width: int) -> int:
    """Return how many rows of a terminal lines take, given how many columns each takes."""
    return sum(max(1, -(-cells // max(1, width))) for cells in lines)

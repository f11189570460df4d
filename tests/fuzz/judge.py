"""One case judged: it ends in a documented exit code, in words, soon, within a gigabyte, and within its project."""

from __future__ import annotations

import io
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from modelbuild.cli.common import Common
from modelbuild.cli.endings import tell
from modelbuild.errors import Exit
from tests.fuzz.watch import watching

SECONDS = 2.0
"""Of the processor, for one case."""
BLOCKED = 30.0
"""Seconds of the clock after which a case is held to wait for something that does not come."""
MEMORY = 1 << 30
"""Bytes that one case may ask for beyond what the process has."""
WORDS = 30_000
"""Characters of what the user is told."""

CODES = frozenset(Exit) - {Exit.BUG, Exit.INTERRUPTED, Exit.TERMINATED}


class Hung(BaseException):
    """A case took too long."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a case.

    Args:
        code: the exit code.
        seconds: of the processor.
        words: what the user is told; "" where all is well.
        faults: what is wrong with that; none where the case is passed.

    """

    code: int
    seconds: float
    words: str
    faults: tuple[str, ...]


def judge(call: Callable[[], object], root: Path, *, also: tuple[Path, ...] = (), bounded: bool = True) -> Verdict:
    """Run one case.

    Args:
        call: a use case of the façade.
        root: the project.
        also: what may be read beside it.
        bounded: whether memory is bounded; threads of a build reserve more than they use.

    """
    stderr, code = io.StringIO(), int(Exit.DONE)
    started = time.process_time()
    with chdir(root), watching(root, also) as watch:  # what is opened by a descriptor of its directory is told as if it stood here
        try:
            with _limits(bounded=bounded):
                call()
        except Hung:
            watch.faults.append("it hung")
        except MemoryError:
            watch.faults.append("it asked for more than a gigabyte")
        except BaseException as error:  # noqa: BLE001 - as the command line does
            with redirect_stderr(stderr):
                code = tell(error, Common())
    seconds = time.process_time() - started
    words = stderr.getvalue()
    return Verdict(code, seconds, words, (*watch.faults, *_faults(code, seconds, words)))


def _faults(code: int, seconds: float, words: str) -> Iterator[str]:
    if code not in CODES:
        yield f"exit {code}: {words[:500]}"
    elif code and not words.startswith("error: "):
        yield f"exit {code} without a word"
    if not all(line.isprintable() for line in words.split("\n")):
        yield f"a terminal would obey {words[:500]!r}"
    if len(words) > WORDS:
        yield f"{len(words)} characters are told: {words[:300]}"
    if seconds > SECONDS:
        yield f"it took {seconds:.1f} s"


@contextmanager
def _limits(*, bounded: bool) -> Iterator[None]:
    """Bound time and memory."""

    def hung(_signal: int, _frame: FrameType | None) -> None:
        raise Hung

    before = resource.getrlimit(resource.RLIMIT_AS)
    old = signal.signal(signal.SIGALRM, hung), signal.signal(signal.SIGPROF, hung)
    signal.setitimer(signal.ITIMER_REAL, BLOCKED)
    signal.setitimer(signal.ITIMER_PROF, 4 * SECONDS)
    if bounded:
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGALRM, old[0])
        signal.signal(signal.SIGPROF, old[1])

"""How the program ends other than well: an error in words, and the exit code that goes with it."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.names import plain

if TYPE_CHECKING:
    from modelbuild.cli.common import Common

_LONGEST_PATH = 1000
_WAYS_OUT = {
    errno.ENOSPC: "free some space and run the same command: finished tensors are kept",
    errno.EDQUOT: "free some space and run the same command: finished tensors are kept",
    errno.EACCES: "correct the permissions",
    errno.EPERM: "correct the permissions",
    errno.EROFS: "choose a place that can be written to",
    errno.EMFILE: "raise the limit of open files: `ulimit -n`",
}


class TerminatedError(KeyboardInterrupt):
    """SIGTERM came, or the terminal went away: the program stops as at Ctrl-C."""


def terminate(*_: object) -> NoReturn:
    """Stop the program as Ctrl-C does; a signal handler."""
    raise TerminatedError


def tell(error: BaseException, common: Common, command: str = "") -> int:
    """Say what ended the program, and return its exit code.

    Args:
        error: what was raised.
        common: the common options.
        command: the command that ran, if it is known.

    """
    if isinstance(error, BrokenPipeError):
        _hush()
        return Exit.DONE
    if common.debug:
        import traceback

        common.err.say("".join(traceback.format_exception(error)).rstrip("\n"))
    if isinstance(error, KeyboardInterrupt):
        again = "; finished tensors are kept: run the same command to go on" if command == "build" else ""
        lines = common.err.look.wrapped(f"^Cinterrupted{again}", 2, first=0)  # a terminal shows the keys before it
        common.err.say("\n".join(lines).removeprefix("^C"))
        return Exit.TERMINATED if isinstance(error, TerminatedError) else Exit.INTERRUPTED
    from modelbuild.report.problems import problems

    found, code = _worded(error)
    common.err.say(problems(found, common.err.look))
    return code


def _worded(error: BaseException) -> tuple[tuple[Problem, ...], int]:
    match error:
        case ModelbuildError():
            return error.problems, error.exit_code
        case OSError():
            names = [plain(str(name), _LONGEST_PATH) for name in (error.filename, error.filename2) if name is not None]
            facts = (f"at `{'` -> `'.join(names)}`",) if names else ()
            hint = _WAYS_OUT.get(error.errno or 0, "")
            return (Problem(f"the system says: {error.strerror or error}", facts=facts, hint=hint),), Exit.LOCAL_IO
        case MemoryError():
            return (Problem("there is not enough memory", hint="give less to the build with --memory or --jobs"),), Exit.LOCAL_IO
        case _:
            what = f"this is a bug of modelbuild: {type(error).__name__}: {error}"
            return (Problem(what, hint="`--debug` shows the traceback"),), Exit.BUG


def _hush() -> None:
    """Let nothing more be written to a reader who went away: Python would complain as it ends."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)

"""The command line: one file per command, which asks a use case and prints what it says.

Nothing is decided here but how the program ends: this is the only floor that reads the environment, and that turns an error
into an exit code.  A command is imported when it is used.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

_GARBAGE = 100_000
"""Objects made between two looks for garbage in cycles, of which there is next to none; Python would look after each 700."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program and end the process.

    Args:
        arguments: after the program's name; None for those of the process.

    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy starts one per core, which wait by turning round
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would read what every installed package declares, and run it
    gc.set_threshold(_GARBAGE)
    atexit.register(gc.freeze)  # what is left at the end is not searched once more: with numba that takes 0.2 s
    from modelbuild.cli import endings
    from modelbuild.cli.common import Common

    common = Common()
    ending = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]  # as nohup has it
    before = {number: signal.signal(number, endings.terminate) for number in ending}
    try:
        from modelbuild.cli.app import run

        run(arguments, common)
    except SystemExit as end:
        _leave(end.code or 0, own=arguments is None)
        raise
    except BaseException as error:  # noqa: BLE001 - every error ends here, in words and an exit code
        code = endings.tell(error, common)
        _leave(code, own=arguments is None)
        sys.exit(code)
    else:
        _leave(0, own=arguments is None)
        sys.exit(0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(code: object, *, own: bool) -> None:
    """End the process here, where the interpreter has nothing to do that the system does not.

    It would wait for a thread that waits for a disk, although the user interrupted the program; and it would take itself apart, for
    10 to 20 ms.

    Args:
        code: what the process ends with; a text is left to the interpreter.
        own: whether the process is the program's own.

    """
    waits = any(not thread.daemon for thread in threading.enumerate() if thread is not threading.current_thread())
    interrupted = code in {130, 143}
    if not isinstance(code, int) or not (interrupted if waits else own):
        return
    if not waits:
        atexit._run_exitfuncs()  # noqa: SLF001 - as the interpreter would
    try:
        sys.stderr.flush()
        sys.stdout.flush()
    except (OSError, ValueError):
        if not waits:
            return  # the interpreter says so
    os._exit(code)

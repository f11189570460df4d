"""A process that has everything imported and compiled, and is copied for each job: a build then takes a tenth of a second."""

from __future__ import annotations

import faulthandler
import gc
import os
import pickle
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
SECONDS = 600
"""What hangs longer than this is ended by SIGALRM."""
HANGS = int(os.environ.get("MODELBUILD_TORTURE_HANGS", "40"))
"""Seconds after which one build is taken to hang, and says where."""

Job = tuple[Callable[..., object], tuple[Any, ...]]
"""A function of a module, and its arguments; both travel as pickles."""


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    Args:
        code: 0, or minus the signal that ended its process; 1 for an exception.
        value: what it returned, or the text of the exception.

    """

    code: int
    value: Any


class Warm:
    """The process, seen from a test."""

    def __init__(self, kind: str = "merges") -> None:
        """Start it; it is ready when it answers."""
        command = [sys.executable, "-c", f"from tests.faults.warm import main; main({kind!r})"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, jobs: Sequence[Job], width: int = 1) -> list[Ended]:
        """Do jobs, each in a copy of the process, `width` at once; return how each ended, in their order."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        _send(self._process.stdin, (list(jobs), width))
        ended: list[Ended] = _receive(self._process.stdout)
        return ended

    def call(self, function: Callable[..., object], *args: object) -> Any:
        """Do one job that must not fail, and return its value."""
        (ended,) = self.run([(function, args)])
        assert ended.code == 0, ended
        return ended.value

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def copied(function: Callable[..., object], *args: object) -> Ended:
    """Do one job in a copy of this process, and wait for it."""
    return join(start(function, *args))


def start(function: Callable[..., object], *args: object) -> tuple[int, IO[bytes]]:
    """Begin a job in a copy of this process; `join` waits for it."""
    return _start((function, args), HANGS)


def join(started: tuple[int, IO[bytes]]) -> Ended:
    """Wait for a job that was begun."""
    process, result = started
    _, status = os.waitpid(process, 0)
    return _ended(status, result)


def _start(job: Job, seconds: int = SECONDS) -> tuple[int, IO[bytes]]:
    result = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it was read
    process = os.fork()
    if process:
        return process, result
    code = 1
    try:
        faulthandler.register(signal.SIGALRM, sys.__stderr__, chain=True)
        signal.alarm(seconds)  # not inherited: each copy has its own
        function, args = job
        try:
            value, code = function(*args), 0
        except BaseException as error:  # noqa: BLE001 - told to the test
            import traceback

            value = "".join(traceback.format_exception(error))
        pickle.dump(value, result)
        result.flush()
    finally:
        os._exit(code)


def _ended(status: int, result: IO[bytes]) -> Ended:
    code = os.waitstatus_to_exitcode(status)
    with result:
        result.seek(0)
        try:
            return Ended(code, pickle.load(result))
        except EOFError:  # it never came to an answer
            return Ended(code, None)


def _send(stream: IO[bytes], value: object) -> None:
    data = pickle.dumps(value)
    stream.write(struct.pack("<Q", len(data)) + data)
    stream.flush()


def _receive(stream: IO[bytes]) -> Any:
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    (length,) = struct.unpack("<Q", head)
    return pickle.loads(stream.read(length))


def _do(jobs: list[Job], width: int) -> list[Ended]:
    ended: dict[int, Ended] = {}
    running: dict[int, tuple[int, IO[bytes]]] = {}
    for number, job in enumerate(jobs):
        if len(running) == width:
            _reap(running, ended)
        process, result = _start(job)
        running[process] = number, result
    while running:
        _reap(running, ended)
    return [ended[number] for number in range(len(jobs))]


def _reap(running: dict[int, tuple[int, IO[bytes]]], ended: dict[int, Ended]) -> None:
    process, status = os.wait()
    number, result = running.pop(process)
    ended[number] = _ended(status, result)


def main(kind: str) -> None:
    """Warm up with a build of merges, or of exports, then do what comes."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what builds print is no answer
    from tests.faults.exports import EXPORTS, know_linear_layers
    from tests.faults.scenes import MERGES, warm_up

    know_linear_layers()
    with tempfile.TemporaryDirectory() as place:
        warm_up(Path(place), EXPORTS if kind == "exports" else MERGES)
    gc.collect()
    gc.freeze()
    while True:
        try:
            jobs, width = _receive(requests)
        except EOFError:
            return
        _send(answers, _do(jobs, width))

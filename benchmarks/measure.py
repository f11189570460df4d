"""Run a program as its users do, in a process of its own, and say what it took; and what the machine is.

The peak of a process's memory counts from before it became another program, so that none is seen below this one's.  That is
why nothing heavy is imported by what measures.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NOT_OURS = {"PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "MODELBUILD_CACHE", "CUDA_VISIBLE_DEVICES"}
"""Variables that would change what is measured."""
FIXED = {"HF_HUB_OFFLINE": "1"}
"""Nobody asks the hub."""


class RunFailedError(Exception):
    """A measured program failed."""


@dataclass(frozen=True)
class Run:
    """What one run of a program, or several one after the other, took.

    Args:
        wall: seconds.
        cpu: seconds of user and system time.
        rss: bytes of the largest resident set.
        written: bytes given to the system to write, or -1 where it does not count them.
        code: exit code; negative, a signal.

    """

    wall: float
    cpu: float
    rss: int
    written: int
    code: int = 0

    def then(self, other: Run) -> Run:
        """Add what came after."""
        written = -1 if -1 in (self.written, other.written) else self.written + other.written
        return Run(self.wall + other.wall, self.cpu + other.cpu, max(self.rss, other.rss), written, self.code or other.code)

    def to_json(self) -> dict[str, float]:
        """Return the figures by name."""
        return asdict(self)


def run(command: Sequence[str], log: Path, cwd: Path, *, may_fail: bool = False) -> Run:
    """Run a program to its end.

    Args:
        command: its words.
        log: takes what it says.
        cwd: where it runs.
        may_fail: leave it to the caller to look at the exit code.

    Raises:
        RunFailedError: it ended with another exit code than 0; the message ends with what it said last.

    """
    environment = {name: value for name, value in os.environ.items() if name not in NOT_OURS} | FIXED
    with log.open("ab") as said:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=cwd, env=environment)
        try:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        wall = time.perf_counter() - started
        written = _written(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and not may_fail:
        last = log.read_text(errors="replace")[-3000:]
        raise RunFailedError(f"exit code {process.returncode} of: {' '.join(command)}\n{last}")
    unit = 1 if platform.system() == "Darwin" else 1024
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit, written, process.returncode)


def _written(pid: int) -> int:
    """Return the bytes that a process which has ended, but was not waited for, gave to the system to write, with its children's."""
    try:
        fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    except OSError:
        return -1
    return int(fields["wchar"])


def settle(empty: Iterable[Path], warm: Iterable[Path]) -> None:
    """Make the machine the same before each run.

    Args:
        empty: directories that are to be there, with nothing in them.
        warm: files that are to be in the page cache.

    """
    for directory in empty:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    os.sync()
    view = memoryview(bytearray(1 << 20))
    for path in warm:
        with path.open("rb", buffering=0) as file:
            while file.readinto(view):
                pass


def touch(count: int) -> None:
    """Have as much free memory at hand as a run will take, as far as there is so much.

    A virtual machine may hand memory that has been free for some seconds back to its host.  The first write to it then costs
    ten times what it costs otherwise (2.5 s instead of 0.2 s for a new file of 1 GB, where this was measured), whoever comes
    first after a pause.
    """
    count = min(count, available() // 2)
    subprocess.run([sys.executable, str(Path(__file__).resolve().parent / "touching.py"), str(count)], check=True)


def forget(path: Path) -> None:
    """Let the page cache drop a file."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


def resident(path: Path) -> int:
    """Return the bytes of a file that are in the page cache, without bringing any there; -1 where that cannot be told."""
    if platform.system() != "Linux":
        return -1
    size = path.stat().st_size
    pages = -(-size // mmap.PAGESIZE)
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), size) as mapped:  # mincore tells only those who may write
        found = (ctypes.c_ubyte * pages)()
        start = ctypes.c_ubyte.from_buffer(mapped)
        failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size), found)
        del start
    return -1 if failed else mmap.PAGESIZE * sum(one & 1 for one in found)


def available() -> int:
    """Return the bytes of memory that programs can have."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))


def machine(place: Path) -> dict[str, str]:
    """Describe what is measured on, and with what; `place` is a directory on the file system in use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "cpu": _processor(),
        "cores": f"{cores} used of {os.cpu_count()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "file system": _file_system(place),
        "python": platform.python_version(),
        "modelbuild": f"{version('modelbuild')}{_commit()}",
        **{package: version(package) for package in ("numpy", "numba", "torch")},
    }


def _commit() -> str:
    """Return which commit of modelbuild is measured, where that is known, and whether it was changed since."""
    here = ["git", "-C", str(Path(__file__).parent.parent)]
    try:
        commit = subprocess.run([*here, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*here, "status", "--porcelain", "--", "modelbuild"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f" of {commit}{', changed' if changed else ''}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _file_system(place: Path) -> str:
    """Return the type of the file system that a directory is on."""
    best, found = "", platform.system()
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return found
    for line in mounts:
        _, point, kind, *_ = line.split()
        if place.is_relative_to(point) and len(point) >= len(best):
            best, found = point, kind
    return found

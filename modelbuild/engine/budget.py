"""Memory: how much there is, and what chunk size and worker count fit into it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from math import ceil
from pathlib import Path

from msgspec import Struct

from modelbuild.checkpoint.dtypes import SIZES
from modelbuild.engine.choosing import Devices, class_of, room
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.kernels import BLOCK
from modelbuild.kernels.masks import KEPT, WHOLE
from modelbuild.names import human_bytes
from modelbuild.plan import Action, Survey

_FILES = 65_536


_SCRATCH = 256 << 20
"""Bytes of intermediates that are held in memory at most, however much there is: beyond that the page cache serves as well."""


class Budget(Struct, frozen=True):
    """How a build uses memory.

    Args:
        jobs: workers.
        chunk: elements per chunk and buffer.
        scratch: bytes that intermediates which are not kept may hold in memory, before they go to disk.

    """

    jobs: int
    chunk: int
    scratch: int


def available() -> int:
    """Return the bytes of memory that are free for use, as the system sees it."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def raise_file_limit() -> None:
    """Let this process open as many files as the system allows, up to 65,536: every pack being written is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def share_out(actions: Iterable[Action], memory: int, jobs: int, devices: Devices) -> Budget:
    """Fit a build into `memory` bytes: smaller chunks first, then fewer workers.

    Args:
        actions: what may run.
        memory: bytes for buffers and intermediates; 0 for half of what is available.
        jobs: workers wanted; 0 for one per core, or as many as a GPU takes that computes everything.
        devices: what computes.

    Raises:
        ModelbuildError: exit 6 if even one worker with the smallest chunk does not fit, or what grows with a tensor.

    """
    memory, jobs = memory or available() // 2, jobs or min(cores(), class_of(devices.chunks).most_jobs)
    actions = tuple(actions)
    held = dict.fromkeys(devices, 0)  # a worker keeps buffers on each device that it works with
    for action in actions:
        name = devices.of(action)
        held[name] = max(held[name], bytes_per_element(action) * class_of(name).depth)
    per_element = sum(held.values()) or 16
    whole, why = max(map(_whole, actions), default=(0, ""))
    if whole > memory:
        raise _too_little(memory, whole, why)
    if per_element * BLOCK > memory:
        most = max(len(action.needs) for action in actions)
        raise _too_little(memory, per_element * BLOCK, f"{most} tensors are read at once")
    if whole:
        jobs = max(1, min(jobs, memory // whole, (room(devices.whole) or memory) // whole))
    while jobs > 1 and jobs * per_element * BLOCK > memory:
        jobs -= 1
    chunk = max(BLOCK, min(*(class_of(name).largest_chunk for name in devices), memory // (2 * jobs * per_element)) // BLOCK * BLOCK)
    return Budget(jobs, chunk, min(_SCRATCH, max(0, memory - jobs * per_element * chunk) // 2))


def buffers(actions: Iterable[Action], budget: Budget) -> int:
    """Return the bytes that the buffers of all workers take at most."""
    return budget.jobs * budget.chunk * max(map(bytes_per_element, actions), default=0)


def bytes_per_element(action: Action) -> int:
    """Return what a worker holds for each element of a chunk: what it reads and writes as it is stored, and what kernels need.

    That is at most a float32 array and a mask for each input, where types differ, and three more where many are combined; and masks that
    one pass keeps for the next.
    """
    if isinstance(action, Survey):
        return max(map(bytes_per_element, action.parts))
    kept = max(WHOLE * len(action.inputs), KEPT) if action.method.random else 0
    return sum(SIZES[need.dtype] + 5 for need in (*action.inputs, action.base) if need) + SIZES[action.dtype] + 12 + kept


def _whole(action: Action) -> tuple[int, str]:
    """Return what a worker holds that grows with the tensor, in bytes, and why."""
    if not action.streaming:
        return (len(action.inputs) + 2) * 4 * action.numel, f"`{action.label}` is merged by a method that needs the whole tensor"
    held = ceil(action.method.holds * len(action.inputs) * action.numel)
    return held, f"so much of all inputs is kept while `{action.label}` is merged"


def _too_little(memory: int, needed: int, why: str) -> ModelbuildError:
    return ModelbuildError(
        Problem(
            "there is too little memory for this build",
            facts=(f"{human_bytes(needed)} needed, {human_bytes(memory)} allowed: {why}",),
            hint="raise --memory",
        ),
        Exit.LOCAL_IO,
    )

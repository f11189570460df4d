"""The same faults on mergekit, for docs/reliability.md: run by its own Python, `make torture-mergekit`.

A merge over an old output is killed at random times, and met by a full disk.  It has an output of several shards, so that there
is a middle; everything is imported before, so that times are those of merging and writing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
from transformers import LlamaConfig, LlamaForCausalLM

from tests.faults.mounts import REMOUNT, mount, mount_own, used

CONFIG = """\
merge_method: linear
models:
  - model: {place}/sources/base
    parameters: {{weight: 0.5}}
  - model: {place}/sources/code
    parameters: {{weight: {weight}}}
dtype: float32
"""
LAYERS, HIDDEN = 8, 192

torch.set_num_threads(1)  # a copy of a process has none of its threads, and waits for them


def merge(place: Path, weight: float) -> None:
    """Merge into `out`, quietly."""
    logging.disable(logging.CRITICAL)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    config = MergeConfiguration.model_validate(__import__("yaml").safe_load(CONFIG.format(place=place, weight=weight)))
    run_merge(config, str(place / "out"), MergeOptions(out_shard_size=1 << 20, quiet=True, write_model_card=False))


def copied(place: Path, weight: float, after: float = -1.0) -> int:
    """Merge in a copy of this process, killed after so many seconds; return its exit code."""
    process = os.fork()
    if not process:
        code = 1
        try:
            os.dup2(os.open(place / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), 2)
            merge(place, weight)
            code = 0
        except BaseException:  # noqa: BLE001 - counted
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    if after >= 0:
        time.sleep(after)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def contents(directory: Path) -> dict[str, bytes]:
    """Read an output."""
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())} if directory.is_dir() else {}


def sources(place: Path) -> None:
    """Write a family of two that is larger than that of the other tests."""
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    model.save_pretrained(place / "sources" / "base")
    with torch.no_grad():
        for values in model.parameters():
            values.add_(0.01)
    model.save_pretrained(place / "sources" / "code")


def states(place: Path) -> tuple[dict[str, bytes], dict[str, bytes], float]:
    """Return the old output, the new one, and the seconds that a merge takes."""
    assert copied(place, 0.5) == 0, (place / "said").read_text()
    old = contents(place / "out")
    started = time.perf_counter()
    assert copied(place, 0.25) == 0
    return old, contents(place / "out"), time.perf_counter() - started


def judged(now: dict[str, bytes], old: dict[str, bytes], new: dict[str, bytes]) -> str:
    """Say what an output is: old, new, or a mixture of them."""
    return "old" if now == old else "new" if now == new else "mixture"


def kills(times: int) -> None:
    """Kill at random times."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        place = Path(directory)
        sources(place)
        old, new, seconds = states(place)
        drawn, found = random.Random(1), Counter[str]()
        for _ in range(times):
            assert copied(place, 0.5) == 0
            copied(place, 0.25, drawn.uniform(0, seconds))
            found[judged(contents(place / "out"), old, new)] += 1
        print(
            f"SIGKILL at {times} random times: {dict(found)}; a merge took {seconds:.2f} s, its output has {len(old)} files",
            file=sys.__stderr__,
        )


def _filled(place: Path, part: float) -> str:
    """Merge on a disk that has room for a part of the new output; return what stands then, the exit code, and whether there was a traceback."""
    mount_own(place, 256 << 20)
    sources(place)
    old, new, _ = states(place)
    assert copied(place, 0.5) == 0
    mount(place, used(place) + int(part * sum(map(len, new.values()))), REMOUNT)
    code = copied(place, 0.25)
    said = (place / "said").read_text(errors="replace")
    return f"{judged(contents(place / 'out'), old, new)} {code} {int('Traceback' in said)}"


def full(sizes: int) -> None:
    """Meet a full disk."""
    drawn, codes, traces = Counter[str](), Counter[int](), 0
    for i in range(sizes):
        reading, writing = os.pipe()
        place = Path(tempfile.mkdtemp(dir="/dev/shm"))
        process = os.fork()
        if not process:
            os.write(writing, _filled(place, i / sizes).encode())
            os._exit(0)
        os.waitpid(process, 0)
        place.rmdir()  # what was mounted there went with the process
        os.close(writing)
        state, code, trace = os.read(reading, 100).decode().split()
        os.close(reading)
        drawn[state] += 1
        codes[int(code)] += 1
        traces += int(trace)
    print(f"disk full at {sizes} sizes: {dict(drawn)}, exit codes {dict(codes)}, tracebacks {traces}", file=sys.__stderr__)


if __name__ == "__main__":
    kills(int(os.environ.get("MODELBUILD_TORTURE_OUTSIDE", "200")))
    full(int(os.environ.get("MODELBUILD_TORTURE_FULL", "40")))

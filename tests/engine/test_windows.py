"""Files looked at where they lie: the same bytes as reading gives, and no way to end the process by cutting one off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from modelbuild.engine import guard, windows
from modelbuild.engine.compute import compute
from modelbuild.engine.regions import FileRegion, digest_of
from modelbuild.engine.windows import LEAST, Part, Window
from modelbuild.engine.workspace import Workspace
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.kernels import BLOCK
from tests.engine.jobs import CPU, region
from tests.methods.values import WAYS, family, uniform

pytestmark = pytest.mark.skipif(not windows.is_possible(), reason="files are not mapped here")

SIZE = 3 * LEAST + 777


@pytest.fixture
def opened(tmp_path):
    """Return the descriptor of a file, for reading and writing, and its bytes."""
    data = np.random.default_rng(0).bytes(SIZE)
    (tmp_path / "file").write_bytes(data)
    fd = os.open(tmp_path / "file", os.O_RDWR)
    yield fd, data
    os.close(fd)


def in_a_file(path, values, dtype):
    """Store a tensor in a file, behind an odd number of bytes, and return where it lies."""
    data = bytes(region(values, dtype).data)
    path.write_bytes(b"head" + data)
    return FileRegion(os.open(path, os.O_RDWR), path, 4, len(data))


@given(offset=st.integers(0, LEAST), start=st.integers(0, LEAST), count=st.integers(1, LEAST + 5), most=st.sampled_from([LEAST, 2 * SIZE]))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_window_shows_what_the_file_holds(opened, offset, start, count, most):
    """From any offset, whether all of a tensor is laid out or a part; fewer bytes than it is worth are not shown."""
    fd, data = opened
    shown = Window(most).over(Part(fd, offset, SIZE - offset), start, count)

    assert shown == data[offset + start : offset + start + count] if LEAST <= count <= most else shown is None or count > most


def test_what_a_file_loses_turns_into_zeros_and_is_counted(opened):
    fd, data = opened
    shown, before = Window(SIZE).over(Part(fd, 0, SIZE), 0, SIZE), windows.faults()
    os.ftruncate(fd, LEAST)

    assert data[:LEAST] + bytes(SIZE - LEAST) == bytes(shown)
    assert windows.faults() > before


@pytest.mark.parametrize(("length", "reads", "lays", "lenient"), [(5000, 4, 0, False), (5000, 4, 0, True), (2 * BLOCK, 0, 4, False)])
def test_each_input_is_read_or_laid_out_once_however_many_passes_there_are(tmp_path, monkeypatch, length, reads, lays, lenient):
    """What fits into a buffer is read once, what fits into a window is laid out once; it is hashed on the way all the same."""
    way = next(way for way in WAYS if way[0].name == "ties")
    case = replace(family(way, uniform(0, length)), lenient=lenient)
    held = tuple(in_a_file(tmp_path / str(i), one, "F32") for i, one in enumerate((case.base, *case.inputs)))
    job = replace(case, regions=held).job(lambda *_: None)
    done, preadv, lay = [], os.preadv, windows._Room.lay
    monkeypatch.setattr(os, "preadv", lambda *given: done.append("read" if len(given) == 3 else "asked") or preadv(*given))
    monkeypatch.setattr(windows._Room, "lay", lambda *given: done.append("lay") or lay(*given))

    computed = compute(replace(job, digests=("",) * len(held)), Workspace(CPU, BLOCK))

    assert (reads, lays) == (done.count("read"), done.count("lay"))
    assert (case.compute(CPU)[0], job.digests) == (computed.digest, computed.needs)


@pytest.mark.parametrize("at", [1, 2, 4])
@pytest.mark.parametrize("name", ["linear", "ties", "slerp"])
def test_a_source_cut_off_while_it_is_merged_is_an_error_that_names_it(tmp_path, name, at):
    """Between two chunks of any pass."""
    way = next(way for way in WAYS if way[0].name == name)
    case = family(way, uniform(0, 4 * BLOCK))
    values = case.inputs if case.base is None else (case.base, *case.inputs)
    held = tuple(in_a_file(tmp_path / str(i), one, "F32") for i, one in enumerate(values))
    calls = iter(range(1, 1000))

    def cut() -> None:
        if next(calls) == at:
            os.ftruncate(held[-1].fd, 100)

    job = replace(case, regions=held).job(lambda start, data: None, cut)
    with pytest.raises(ModelbuildError) as raised:
        compute(job, Workspace(CPU, BLOCK))

    assert Exit.SOURCE == raised.value.exit_code
    assert f"`{held[-1].path}` is shorter than it was" in str(raised.value)


def test_a_fault_of_another_thread_changes_no_byte(tmp_path):
    """Whoever finds that the count moved reads again; the bytes are those of a quiet run."""
    case = family(WAYS[0], uniform(0, 3 * BLOCK))
    written = bytearray(case.action.nbytes)

    def write(start: int, data: memoryview) -> None:
        written[start : start + len(data)] = data

    def move() -> None:
        guard.guard()._table[0] += windows.faults() == before

    quiet, expected = case.compute()
    before = windows.faults()
    job = replace(case, regions=tuple(in_a_file(tmp_path / str(i), one, "F32") for i, one in enumerate(case.inputs))).job(write, move)

    assert quiet == compute(job, Workspace(CPU, BLOCK)).digest
    assert expected == bytes(written)


def test_digests_of_files_that_cannot_be_seen_whole_are_refused(tmp_path):
    """A file that ends before its tensor does is an error as it is read, not zeros."""
    held = in_a_file(tmp_path / "file", np.ones(BLOCK, np.float32), "F32")
    whole = digest_of(held, "F32", (BLOCK,))
    os.ftruncate(held.fd, held.nbytes // 2)

    assert whole == digest_of(region(np.ones(BLOCK, np.float32), "F32"), "F32", (BLOCK,))
    with pytest.raises(ModelbuildError, match="shorter than it was"):
        digest_of(held, "F32", (BLOCK,))


FOREIGN = """
import mmap, os, sys
from modelbuild.engine import windows
assert windows.is_possible()
fd = os.open(sys.argv[1], os.O_RDWR)
mapped = mmap.mmap(fd, 0)
os.ftruncate(fd, 0)
mapped[0]
"""


def test_a_fault_elsewhere_is_not_ours(tmp_path):
    """A program that maps a file of its own and loses it ends as it would have without us."""
    (tmp_path / "file").write_bytes(b"x" * 9999)

    assert -signal.SIGBUS == subprocess.run([sys.executable, "-c", FOREIGN, tmp_path / "file"], check=False).returncode

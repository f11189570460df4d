"""What the engine does around a method: bytes in chunk by chunk, each byte of the result out once, and their digest."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from modelbuild.digest import tensor_hasher
from modelbuild.engine.compute import compute
from modelbuild.engine.devices import Torch
from modelbuild.engine.regions import FileRegion, MemoryRegion, digest_of
from modelbuild.engine.workspace import Interrupted, Workspace
from modelbuild.kernels import BLOCK
from tests.engine.jobs import CPU, DTYPES
from tests.methods.values import WAYS, called, family, uniform

everyway = pytest.mark.parametrize("way", WAYS, ids=called)
bothdevices = pytest.mark.parametrize("device", [CPU, Torch("cpu")], ids=["cpu", "torch"])


@everyway
@bothdevices
def test_the_digest_is_that_of_the_bytes_written(way, device):
    case = family(way, uniform(0, 90_001))
    digest, written = case.compute(device)

    assert digest_of(MemoryRegion(bytearray(written)), "F32", (90_001,)) == digest


@everyway
@bothdevices
@pytest.mark.parametrize("n", [1, 40_000, 3 * BLOCK + 5])
def test_digests_are_learned_as_bytes_pass(way, device, n):
    """However often a method reads, and from wherever first: samples, sweeps, single chunks."""
    case = family(way, uniform(0, n))
    job = case.job(lambda start, data: None)

    learned = compute(replace(job, digests=("",) * len(job.digests)), Workspace(device, BLOCK)).needs

    assert job.digests == learned


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_byte_is_written_once_and_in_order(dtype):
    """So that a file may be written as it comes."""
    case = replace(family(WAYS[0], uniform(0, 3 * BLOCK + 5)), dtype=dtype)
    pieces: list[tuple[int, int]] = []

    def write(start: int, data: memoryview) -> None:
        pieces.append((start, start + len(data)))

    compute(case.job(write), Workspace(CPU, BLOCK))

    assert [0, *(stop for _, stop in pieces)] == [*(start for start, _ in pieces), case.action.nbytes]


@everyway
def test_one_workspace_serves_many_tensors(way):
    """Large and small ones of every type by turns: nothing of one is left in another."""
    workspace = Workspace(CPU, BLOCK)
    cases = [replace(family(way, uniform(seed, n)), dtype=dtype) for seed, n in enumerate((BLOCK + 9, 1, 40_000)) for dtype in DTYPES]

    for case in cases:
        assert case.compute()[0] == compute(case.job(lambda start, data: None), workspace).digest


@everyway
def test_an_empty_tensor_is_merged_to_an_empty_tensor(way):
    assert (tensor_hasher("F32", (0, 5)).hexdigest(), b"") == family(way, uniform(0, 0, 5)).compute()


def test_a_job_is_asked_between_chunks_whether_to_go_on():
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        family(WAYS[0], uniform(0, 5 * BLOCK)).compute(check=check)
    assert 3 == asked


@pytest.mark.parametrize("start", [0, 1, 7])
def test_a_tensor_is_read_where_it_lies_in_its_file(tmp_path, start):
    case = family(WAYS[0], uniform(0, 80_000))
    path = tmp_path / "weights"
    path.write_bytes(b"\xff" * start + b"".join(bytes(one.data) for one in case.held) + b"\xff")
    with path.open("rb") as file:
        regions = tuple(FileRegion(file.fileno(), path, start + i * case.action.nbytes, case.action.nbytes) for i in range(len(case.held)))

        assert case.compute() == replace(case, regions=regions).compute()

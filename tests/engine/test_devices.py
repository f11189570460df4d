"""What the engine may rely on a device for: copies that are over only when they were waited for, and memory that gets full."""

from __future__ import annotations

import numpy as np
import pytest

from modelbuild.engine.choosing import choose
from modelbuild.engine.compute import compute
from modelbuild.engine.devices import Cpu, Torch
from modelbuild.engine.workspace import Workspace
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.kernels import BLOCK
from tests.methods.values import WAYS, called, family, uniform

everyway = pytest.mark.parametrize("way", WAYS, ids=called)


class Lagging(Cpu):
    """A device like a GPU: it has memory of its own, and copies happen as late as they may, which is when they are waited for.

    Whoever refills a buffer too early spoils what is uploaded from it; whoever reads one too early finds what was there.
    """

    depth = 2

    def __init__(self) -> None:
        super().__init__()
        self.begun: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.lines = 0

    def line(self):
        return self

    def __enter__(self) -> None:
        self.lines += 1

    def __exit__(self, *_: object) -> None:
        self.lines -= 1

    def upload(self, staged, nbytes):
        assert self.lines, "work outside of a line"
        assert id(staged) not in self.begun, "a buffer is taken until it was waited for"
        self.begun[id(staged)] = staged.raw[:nbytes], staged.raw[:nbytes].copy()
        return staged.raw[:nbytes].copy()

    def download(self, _staged, nbytes):
        return np.empty(nbytes, np.uint8)

    def landing(self, staged, raw):
        staged.raw[:] = 0xEE
        self.begun[id(staged)] = staged.raw[: raw.size], raw

    def wait(self, staged):
        if id(staged) in self.begun:
            there, copied = self.begun.pop(id(staged))
            assert (there == copied).all() or (there == 0xEE).all(), "a buffer was refilled too early"
            there[:] = copied


class Small(Cpu):
    """A device whose memory is full as soon as a chunk is longer than `most`."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.tidied = most, 0

    def download(self, staged, nbytes):
        if nbytes > 4 * self.most:
            raise MemoryError
        return super().download(staged, nbytes)

    def tidy(self):
        self.tidied += 1


@everyway
def test_two_chunks_under_way_give_the_bytes_of_one(way):
    """Every copy is waited for before its buffer is used again; only what goes to the host lags behind."""
    case = family(way, uniform(0, 5 * BLOCK + 7))
    lagging = Lagging()

    assert case.compute() == case.compute(lagging)
    assert 0 == lagging.lines


@pytest.mark.parametrize("way", [way for way in WAYS if family(way, uniform(0, 9)).action.streaming], ids=called)
def test_full_memory_means_smaller_chunks_and_the_same_bytes(way):
    """It starts again from the first chunk; what was written is written again."""
    case = family(way, uniform(0, 5 * BLOCK + 7))
    small = Small(BLOCK)

    assert case.compute() == case.compute(small, 4 * BLOCK)
    assert 2 == small.tidied


def test_later_tensors_start_with_the_smaller_chunk():
    """Whoever ran out once need not run out again."""
    small = Small(2 * BLOCK)
    workspace = Workspace(small, 5 * BLOCK)
    case = family(WAYS[0], uniform(0, 5 * BLOCK + 7))

    for _ in range(3):
        assert case.job(lambda start, data: None).digests == compute(case.job(lambda start, data: None), workspace).needs

    assert (2 * BLOCK, 1) == (workspace.chunk, small.tidied)


def test_a_device_that_is_not_there_is_told_with_how_many_there_are(monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)

    with pytest.raises(ModelbuildError) as raised:
        choose("cuda:7")

    assert Exit.USAGE == raised.value.exit_code
    expected = f"""\
error: there is no device `cuda:7`
  torch {torch.__version__} sees 1 CUDA device
hint: use --device cpu"""
    assert expected == str(raised.value)


def test_memory_that_is_too_small_even_so_is_an_error():
    """With what was merged, and a way out."""
    case = family(WAYS[0], uniform(0, 2 * BLOCK))

    with pytest.raises(ModelbuildError, match="the memory of cpu is full") as error:
        case.compute(Small(BLOCK - 1), 2 * BLOCK)

    assert Exit.LOCAL_IO == error.value.exit_code
    assert "merged::weight" in str(error.value.problems[0].facts)


@pytest.mark.gpu
def test_auto_is_the_device_that_is_there(cuda):
    assert cuda == choose("auto") == choose("cuda")


@pytest.mark.gpu
def test_full_memory_of_a_gpu_means_smaller_chunks_and_the_same_bytes(cuda):
    """Torch may take so little that a chunk of the whole tensor, 10 MB each, does not fit."""
    import torch

    case = family(WAYS[5], uniform(0, 40 * BLOCK + 7))
    expected = case.compute()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(60e6 / torch.cuda.get_device_properties(cuda).total_memory)
    try:
        workspace = Workspace(Torch(cuda), 41 * BLOCK)
        assert expected[0] == compute(case.job(lambda start, data: None), workspace).digest
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert workspace.chunk < 41 * BLOCK


@pytest.mark.gpu
def test_transfers_overlap_with_kernels(cuda):
    """As the device's own clock has it: of the time that copies take, some is time in which kernels run."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    case, device = family(WAYS[5], uniform(0, 200 * BLOCK + 7)), Torch(cuda)
    case.compute(device, 16 * BLOCK)
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        case.compute(device, 16 * BLOCK)
        torch.cuda.synchronize()

    spans = [
        (event.name.startswith(("Memcpy HtoD", "Memcpy DtoH")), event.time_range.start, event.time_range.end) for event in profiled.events()
    ]
    copies, kernels = ([(start, end) for is_copy, start, end in spans if is_copy is wanted] for wanted in (True, False))
    assert copies
    assert any(start < until and since < end for start, end in copies for since, until in kernels)

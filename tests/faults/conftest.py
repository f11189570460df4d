"""A warm process, a scene in memory, and figures that are printed when the run ends."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults import scenes
from tests.faults.counts import Amounts
from tests.faults.exports import EXPORTS
from tests.faults.scenes import Scene
from tests.faults.warm import Warm

Tell = Callable[[str], None]


@contextmanager
def in_memory() -> Iterator[Path]:
    """Make a directory on a file system in memory, where there is one, that goes afterwards."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as place:
        yield Path(place)


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """A process that has everything imported."""
    process = Warm()
    yield process
    process.close()


@pytest.fixture(scope="session")
def scene(warm: Warm) -> Iterator[Scene]:
    """A scene on a file system in memory, where there is one: what is synced there costs nothing, and is the same to the program."""
    with in_memory() as place:
        yield warm.call(scenes.prepared, place)


@pytest.fixture(scope="session")
def exporting() -> Iterator[Warm]:
    """A process that has what exports need imported, too."""
    pytest.importorskip("gguf")
    process = Warm("exports")
    yield process
    process.close()


@pytest.fixture(scope="session")
def exported(exporting: Warm) -> Iterator[Scene]:
    """A scene of exports, in memory too."""
    with in_memory() as place:
        yield exporting.call(scenes.prepared, place, 1, EXPORTS)


@pytest.fixture(params=[0, pytest.param(1, marks=pytest.mark.slow)], ids=["short", "longer"])
def amount(request: pytest.FixtureRequest) -> Amounts:
    """How many faults there are to be."""
    return Amounts(request.param)


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Have a figure printed at the end of the run."""
    return lambda line: record_property("figure", line)

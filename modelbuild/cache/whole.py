"""A cache directory with everything that stands in it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from msgspec import Struct

from modelbuild.cache import upkeep
from modelbuild.cache.index import Index
from modelbuild.cache.layout import INDEX, STAMPS
from modelbuild.cache.measurements import ANSWER, Measurements
from modelbuild.cache.packs import Packs
from modelbuild.cache.records import Records
from modelbuild.cache.salvage import Salvage
from modelbuild.cache.staging import Staging
from modelbuild.cache.stattable import StatTable


class Cache(Struct, frozen=True):
    """A cache directory and what stands in it.  Losing any of it loses nothing but time."""

    directory: Path
    index: Index
    records: Records
    packs: Packs
    stats: StatTable

    @classmethod
    def open(cls, directory: Path) -> Cache:
        """Name a cache; nothing is opened, read or made before it is needed."""
        index = Index(directory / INDEX)
        return cls(directory, index, Records(index), Packs(directory, index), StatTable(index))

    @property
    def stamps(self) -> Path:
        """The directory of stamps, by which a null build knows that there is nothing to do; it may not be there."""
        return self.directory / STAMPS

    @property
    def measurements(self) -> Measurements:
        """What checks found of models."""
        return Measurements(self.index)

    @property
    def answers(self) -> Measurements:
        """What libraries said that take seconds to be asked."""
        return Measurements(self.index, ANSWER)

    def staging(self) -> Staging:
        """Make a locked directory for the packs of a build."""
        return Staging(self.directory)

    def salvage(self) -> Salvage:
        """Take hold of what builds that died have left."""
        return Salvage(self.directory)

    def collect(self, max_size: int, keep: Collection[str] = ()) -> upkeep.Collected:
        """Remove what no build can use, then packs, least recently used first and never one in `keep`, until they fit."""
        return upkeep.collect(self.directory, self.packs, max_size, keep)

    def verify(self) -> upkeep.Verified:
        """Hash every pack, and remove those that are not what their names say."""
        return upkeep.verify(self.packs)

    def close(self) -> None:
        """Close this thread's connection to the index."""
        self.index.close()

"""Where results are written: packs that fill up in any order and are taken into the cache when they are complete."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import pairwise

from modelbuild.cache import Cache, Location, pack_id
from modelbuild.checkpoint.header import lay_out
from modelbuild.engine.desk import Desk
from modelbuild.engine.drawing import Drawing
from modelbuild.engine.regions import Region, Write
from modelbuild.engine.sealing import Sealer
from modelbuild.engine.shelf import Shelf
from modelbuild.plan import Action


class Shelves:
    """All packs of a build, and the tensors of builds that died.

    Args:
        cache: takes the packs in.
        drawn: where everything belongs.
        sealer: takes in packs of intermediates when they are full.

    """

    def __init__(self, cache: Cache, drawn: Drawing, sealer: Sealer) -> None:
        self._cache, self._desk, self._sealer = cache, Desk(cache), sealer
        self._salvage = cache.salvage()
        self._salvaged = {tensor.entry.key: tensor.entry.digest for tensor in self._salvage.tensors if tensor.entry.key}
        self._found = {tensor.entry.digest: tensor.location for tensor in self._salvage.tensors}
        self.used: set[str] = set()
        """The packs that were taken in or read."""
        self.targets: dict[tuple[str, str], Shelf] = {}
        self._kept: list[Shelf] = []
        self._places: dict[Action, tuple[tuple[Shelf, str], ...]] = {}
        self._scratch: list[Shelf] = []
        for (target, file), layout in drawn.targets.items():
            self.targets[target, file] = Shelf(f"{target}+{file}", layout, self._desk)
        for i, layout in enumerate(drawn.kept):
            self._kept.append(Shelf(f"kept+{i}", layout, self._desk))
        for series in ([*self.targets.values()], self._kept):
            for shelf, after in pairwise(series):
                shelf.next = after
        for action, places in drawn.places.items():
            self._places[action] = tuple(
                (self._kept[where] if isinstance(where, int) else self.targets[where], name) for where, name in places
            )

    def has_place(self, action: Action) -> bool:
        """Tell whether an action's result belongs in a pack."""
        return action in self._places

    def room(self, action: Action) -> tuple[Region, Write]:
        """Return where the result of an action that has a place is read from, and how it is written to all its places."""
        rooms = [shelf.room(name) for shelf, name in self._open_places(action)]
        if len(rooms) == 1:
            return rooms[0]

        def write(at: int, data: memoryview) -> None:
            for _, one in rooms:
                one(at, data)

        return rooms[0][0], write

    def scratch(self, action: Action) -> tuple[Region, Write]:
        """Find room on disk for a result that is not kept and does not fit into memory."""
        shelf = Shelf(f"scratch+{len(self._scratch)}+{id(action):x}", lay_out([(action.tensor, action.dtype, action.shape)]), self._desk)
        self._scratch.append(shelf)
        return shelf.room(action.tensor)

    @property
    def salvages(self) -> bool:
        """Whether there is anything of a build that died."""
        return bool(self._salvaged)

    def salvaged_digest(self, key: str) -> str:
        """Return the digest that an action had in a build that died, or ""."""
        return self._salvaged.get(key, "")

    def located(self, digest: str, dtype: str, shape: tuple[int, ...]) -> Iterator[Location]:
        """Yield where a tensor's bytes are said to stand."""
        location = self._cache.packs.locate(digest, dtype, shape)
        if location:
            self.used.add(location.path.stem)
            yield location
        if digest in self._found and (self._found[digest].dtype, self._found[digest].shape) == (dtype, shape):
            yield self._found[digest]

    def distrust(self, location: Location) -> None:
        """Forget bytes that were not what they should be."""
        if location in self._found.values():
            self._found = {digest: place for digest, place in self._found.items() if place != location}
        else:
            self._cache.packs.discard(location.path.stem)

    def take_in(self, shelf: Shelf) -> str:
        """Bring a full pack to disk and into the cache, and return its id; one that is there already is not kept twice.

        Where somebody removes the cache meanwhile it is not kept: who needs its file will miss it.
        """
        data_start = len(shelf.layout.header)
        offsets = tuple(offset - data_start for offset in shelf.layout.offsets)
        staged = shelf.seal()
        try:
            return self._cache.packs.add(staged, shelf.entries(), offsets, data_start)
        except FileNotFoundError:
            if staged.exists():
                raise
            return pack_id(shelf.entries())

    def begin_again(self, target: str, file: str) -> None:
        """Let a target's file be written once more: somebody removed it from the cache, and what was read of it can still be read."""
        lost = self.targets[target, file]
        if lost.sealed:
            self._scratch.append(lost)
            self.targets[target, file] = Shelf(f"{target}+{file}+{len(self._scratch)}", lost.layout, self._desk)

    def finished(self, action: Action, key: str, digest: str) -> int:
        """Note that an action's result is written in its places; a pack of intermediates that is full now will be taken in.

        Returns:
            The bytes of that pack, else 0.

        """
        return sum(self._filled(shelf) for shelf, name in self._open_places(action) if shelf.finished(name, key, digest))

    def _open_places(self, action: Action) -> tuple[tuple[Shelf, str], ...]:
        """Return an action's places without the packs that are complete: bytes that got lost since are computed once more."""
        first, *others = self._places[action]
        return first, *((shelf, name) for shelf, name in others if not shelf.sealed)

    def copy_in(self, action: Action, key: str, digest: str, region: Region) -> tuple[Region, int]:
        """Copy an action's result, found elsewhere, to the first of its places.

        Returns:
            Its bytes there, and the bytes of the pack of intermediates that is full now, else 0.

        """
        shelf, name = self._places[action][0]
        last = shelf.copy(name, key, digest, region)
        return shelf.room(name)[0], self._filled(shelf) if last else 0

    def _filled(self, shelf: Shelf) -> int:
        if shelf not in self._kept:
            return 0  # a target's: what completes it knows more
        self._sealer.submit(shelf.sync, partial(self.take_in, shelf))
        return shelf.layout.size

    def take_in_kept(self) -> int:
        """Take in the packs of intermediates that were not filled: each is written again without its holes.

        Returns:
            The bytes that were written for them.

        """
        written = 0
        for i, shelf in enumerate(self._kept):
            if shelf.sealed or not shelf.filled:
                continue
            entries = tuple(shelf.filled.values())
            dense = Shelf(f"dense+{i}", lay_out([(entry.name, entry.dtype, entry.shape) for entry in entries]), self._desk)
            self._scratch.append(dense)
            for entry in entries:
                region, _ = shelf.room(entry.name)
                dense.copy(entry.name, entry.key, entry.digest, region)
            shelf.drop()
            self.take_in(dense)
            written += dense.layout.size + sum(entry.nbytes for entry in entries)
        return written

    @property
    def finished_work(self) -> tuple[int, int]:
        """How many tensors are written whole, and their bytes: what is left to the next build where this one ends early."""
        entries = [entry for shelf in (*self.targets.values(), *self._kept) for entry in shelf.filled.values()]
        return len(entries), sum(entry.nbytes for entry in entries)

    def close(self, settled: Callable[[], Collection[str]] | None) -> None:
        """Close files; what a build that did not end well had finished is left for the next, and so is what this one had no use for.

        Args:
            settled: returns the keys of what this one has seen to, asked for where something was left; None if it did not end well.

        """
        for shelf in (*self.targets.values(), *self._kept, *self._scratch):
            shelf.close()
        self._desk.close(keep=settled is None)
        if settled is None:
            self._salvage.release()
            return
        keys, locate = settled() if self._salvage.tensors else (), self._cache.packs.locate
        self._salvage.drop(lambda entry: entry.key in keys or locate(entry.digest, entry.dtype, entry.shape) is not None)

    def leave(self) -> None:
        """Close files and remove what was written; what builds that died have left stays for the next build."""
        for shelf in self._scratch:
            shelf.close()
        self._desk.close(keep=False)
        self._salvage.release()

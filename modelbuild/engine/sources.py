"""The source files of a build: opened once, digested once, and watched for changes while they are read."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from modelbuild.cache import Cache
from modelbuild.cache.stattable import Stat, stat_tuple
from modelbuild.engine.regions import FileRegion, Handles, digest_of
from modelbuild.engine.windows import Window
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.plan import Leaf


class SourceFiles:
    """Digests and bytes of leaves.  Thread-safe."""

    def __init__(self, cache: Cache) -> None:
        """Open nothing yet; `cache` remembers digests from build to build."""
        self._cache = cache
        self._handles = Handles()
        self._stats: dict[Path, Stat] = {}
        self._known: dict[Path, dict[str, str]] = {}
        self._learned: dict[Path, dict[str, str]] = {}
        self._lock = threading.Lock()
        self._leaf_locks: dict[Leaf, threading.Lock] = {}
        self._read: set[Leaf] = set()

    def known(self, leaf: Leaf) -> str:
        """Return a leaf's digest if it can be had without reading the tensor, else ""."""
        path = leaf.info.path
        with self._lock:
            if path not in self._known:
                try:
                    self._stats[path] = stat_tuple(path)
                except FileNotFoundError:  # on a hub, and not fetched yet
                    return ""
                self._known[path] = dict(self._cache.stats.remembered(path, self._stats[path]) or {})
            return self._known[path].get(leaf.info.name, "")

    def digest(self, leaf: Leaf, window: Window | None = None) -> tuple[str, bool]:
        """Return a leaf's digest, and whether its bytes had to be read for it: through a window, if the caller has one."""
        if known := self.known(leaf):
            return known, False
        with self._lock:
            lock = self._leaf_locks.setdefault(leaf, threading.Lock())
        with lock:
            if known := self.known(leaf):
                return known, False
            digest = digest_of(self.region(leaf), leaf.dtype, leaf.shape, window)
            self.unchanged((leaf,))
            with self._lock:
                self._read.add(leaf)
            self.learn(leaf, digest)
            return digest, True

    def learn(self, leaf: Leaf, digest: str) -> None:
        """Take the digest of a leaf that was read whole while its file stayed as it was."""
        with self._lock:
            if self._known[leaf.info.path].get(leaf.info.name) != digest:
                self._known[leaf.info.path][leaf.info.name] = digest
                self._learned.setdefault(leaf.info.path, {})[leaf.info.name] = digest

    def region(self, leaf: Leaf) -> FileRegion:
        """Return a leaf's bytes."""
        info = leaf.info
        return FileRegion(self._handles.fd(info.path), info.path, info.offset, info.nbytes)

    def first_read(self, leaf: Leaf) -> int:
        """Return a leaf's bytes the first time it is read, then 0."""
        with self._lock:
            if leaf in self._read:
                return 0
            self._read.add(leaf)
            return leaf.nbytes

    def unchanged(self, leaves: Iterable[Leaf]) -> None:
        """Check that files are what they were when the build first looked.

        Raises:
            ModelbuildError: exit 5 if one was changed in between.

        """
        for path in {leaf.info.path for leaf in leaves}:
            if path in self._stats and stat_tuple(path) != self._stats[path]:
                raise ModelbuildError(
                    Problem(f"`{path}` changed while it was read", hint="build again when nothing writes to it"), Exit.SOURCE
                )

    def remember(self) -> None:
        """Store the digests that were learned."""
        with self._lock:
            learned, self._learned = self._learned, {}
        for path, digests in learned.items():
            self._cache.stats.remember(path, self._stats[path], digests)

    def close(self) -> None:
        """Close files."""
        self._handles.close()

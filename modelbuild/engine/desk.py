"""Where a build writes its packs before the cache takes them in, made when it is first needed."""

from __future__ import annotations

import errno
import shutil
import threading

from modelbuild.cache import Cache, StagedPack, Staging
from modelbuild.checkpoint.header import Layout
from modelbuild.errors import Exit, ModelbuildError, Problem
from modelbuild.names import human_bytes


class Desk:
    """The staging directory of this build, made when it is first needed."""

    def __init__(self, cache: Cache) -> None:
        """Make nothing yet."""
        self._cache = cache
        self._staging: Staging | None = None
        self._lock = threading.Lock()

    def open(self, name: str, layout: Layout) -> StagedPack:
        """Start a pack.

        Raises:
            ModelbuildError: exit 6 if the disk is full.

        """
        with self._lock:
            if self._staging and not self._staging.path.is_dir():  # somebody removed the cache
                self._staging.close(keep=True)
                self._staging = None
            self._staging = staging = self._staging or self._cache.staging()
        try:
            return staging.open_pack(name, layout.header, layout.size - len(layout.header))
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            free = shutil.disk_usage(self._cache.directory).free
            raise ModelbuildError(
                Problem(
                    f"no pack of {human_bytes(layout.size)} can be made in {self._cache.directory}",
                    facts=(f"{human_bytes(layout.size)} needed, {human_bytes(free)} free: {error.strerror}",),
                    hint="make room: `modelbuild cache gc`",
                ),
                Exit.LOCAL_IO,
            ) from None

    def close(self, *, keep: bool) -> None:
        """Remove the directory, or leave it for the next build to salvage."""
        if self._staging:
            self._staging.close(keep=keep)

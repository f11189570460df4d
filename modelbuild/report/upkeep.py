"""What the commands that tidy up print: the cache, and outputs removed."""

from __future__ import annotations

from modelbuild.cache.upkeep import Collected, Verified
from modelbuild.names import SHORT, human_bytes
from modelbuild.report.page import Look, table
from modelbuild.report.words import ago, counted, listed
from modelbuild.usecases.cleaning import Cleaned
from modelbuild.usecases.housekeeping import CacheListing, CacheSize


def cache_ls(listing: CacheListing, look: Look, now: float) -> str:
    """Show the packs of a cache; `now` is in seconds since 1970."""
    rows = [
        (pack.pack[:SHORT], human_bytes(pack.nbytes), counted(pack.tensors, "tensor"), ago(now - pack.last_used), ", ".join(pack.outputs))
        for pack in listing.packs
    ]
    total = sum(pack.nbytes for pack in listing.packs)
    return "\n".join([*table(rows, look), f"{counted(len(listing.packs), 'pack')} in {listing.directory}, {human_bytes(total)}"])


def cache_size(size: CacheSize) -> str:
    """Say how large a cache is and may be."""
    limit = f"of at most {human_bytes(size.limit)}" if size.limit else "the first build sets a limit"
    packs = f"{counted(size.packs, 'pack')}, {human_bytes(size.pack_bytes)} ({limit})"
    return f"{size.directory}: {packs}, and {human_bytes(size.other_bytes)} besides"


def cache_gc(done: Collected) -> str:
    """Say what a collection removed."""
    line = f"removed {counted(len(done.packs), 'pack')}, {human_bytes(done.freed)}; {human_bytes(done.kept)} kept"
    return f"{line}; {counted(len(done.leftovers), 'leftover')} of dead builds removed" if done.leftovers else line


def cache_verify(done: Verified) -> str:
    """Say what a verification found."""
    read = f"{counted(len(done.sound) + len(done.removed), 'pack')} read, {human_bytes(done.nbytes)}"
    if not done.removed:
        return f"{read}: all sound"
    lines = [f"{read}: {len(done.removed)} not what their names say, and removed:", *(f"  {pack[:SHORT]}" for pack in done.removed)]
    return "\n".join([*lines, "what they held is computed again when it is needed"])


def cache_clean(size: CacheSize) -> str:
    """Say what is about to go."""
    total = size.pack_bytes + size.other_bytes
    if not total:
        return f"{size.directory} holds nothing"
    lines = [f"removing {counted(size.packs, 'pack')} and what else {size.directory} holds, {human_bytes(total)}"]
    lost = [f"the log of {counted(size.builds, 'build')}, which `restore` and `explain` go by"] if size.builds else []
    lost += ["the results of checks"] if size.measured else []
    lost += ["the figures and times for `report` and forecasts"] if size.builds else []
    return "\n".join([*lines, *([f"with them go {'; '.join(lost)}"] if lost else [])])


def clean(done: Cleaned) -> str:
    """Say which outputs were removed."""
    lines = [f"removed {one.path} ({counted(one.files, 'file')}, {human_bytes(one.nbytes)})" for one in done.removed]
    if not lines:
        return f"nothing to remove: no output of {listed(done.absent)} is there" if done.absent else "nothing to remove"
    return "\n".join([*lines, "the cache still holds what it knows: `modelbuild build` links it again"])

"""The log of past builds: `log` lists them, and shows one whole."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from modelbuild.cache import Cache
from modelbuild.cache.builds import Builds, PastBuild
from modelbuild.errors import ModelbuildError, Problem
from modelbuild.usecases import stamp
from modelbuild.usecases.where import Where, cache_setting

_SHORTEST = 4


class LoggedBuild(Struct, frozen=True):
    """A build whole.

    Args:
        build: what is known of it.
        texts: the Modelfile, or each configuration, as it was, by path; one that is lost is "".
        lock: the text of the lock after it, "" where there was none.

    """

    build: PastBuild
    texts: Mapping[str, str]
    lock: str


def log(where: Where) -> tuple[PastBuild, ...]:
    """See `modelbuild.usecases.log`."""
    cache = cache_of(where)
    try:
        return Builds(cache.index, where.file).all()
    finally:
        cache.close()


def logged(where: Where, build: str) -> LoggedBuild:
    """See `modelbuild.usecases.logged`."""
    cache = cache_of(where)
    try:
        builds = Builds(cache.index, where.file)
        found = build_called(builds, build)
        texts = {path: _text(builds, digest) for path, digest in found.files}
        return LoggedBuild(found, texts, _text(builds, found.lock))
    finally:
        cache.close()


def cache_of(where: Where) -> Cache:
    """Open the cache of a project, whatever the state of its Modelfile."""
    text = b"".join(map(stamp.read, where.files))
    return Cache.open(where.cache_directory(cache_setting(where, text)))


def build_called(builds: Builds, name: str) -> PastBuild:
    """Return the build whose id starts with `name`.

    Raises:
        ModelbuildError: exit 2 if there is none, or several.

    """
    known = builds.all()
    found = [one for one in known if one.id.startswith(name)] if len(name) >= _SHORTEST else []
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(one.id for one in found)
        raise ModelbuildError(Problem(f"several builds are called `{name}…`", facts=(ids,), hint="name one of them whole"))
    what = f"its latest is {known[0].id}; `modelbuild log` lists {len(known)}" if known else "it has none: the log is kept in the cache"
    raise ModelbuildError(
        Problem(f"no build in the log is called `{name}`", facts=(what,), hint=f"give {_SHORTEST} digits of an id, or more")
    )


def _text(builds: Builds, digest: str) -> str:
    return (builds.file(digest) or b"").decode("utf-8-sig", "replace")

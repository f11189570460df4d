"""The log of past builds: `log` lists them, and shows one whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from modelbuild.cache import Cache
from modelbuild.cache.builds import Builds, PastBuild, PastOutput
from modelbuild.errors import ModelbuildError, Problem, among, did_you_mean
from modelbuild.graph.targets import picked
from modelbuild.modelfile.misnamed import meant_variant, variants_of
from modelbuild.names import VARIANT, plain
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


def outputs_called(build: PastBuild, words: Sequence[str]) -> tuple[PastOutput, ...]:
    """Return the outputs of a build that are meant by names, sweeps and globs, each once.

    Raises:
        ModelbuildError: exit 2 with each word that means none of them.

    """
    made = {one.name: one for one in build.outputs if one.identity}
    found = {word: picked(word, made) for word in words}
    problems = []
    for word in (word for word, names in found.items() if not names):
        variants = variants_of(word, made) if VARIANT in word else ()
        hint = meant_variant(word, variants) if variants else did_you_mean(word, made)
        facts = (f"it left {among(made) or 'no output'}",)
        hint = hint or "`modelbuild log` lists builds and what they left"
        problems.append(Problem(f"build {build.id} left no output of `{plain(word)}`", facts=facts, hint=hint))
    if problems:
        raise ModelbuildError(problems)
    return tuple(made[name] for name in dict.fromkeys(name for names in found.values() for name in names))


def _text(builds: Builds, digest: str) -> str:
    return (builds.file(digest) or b"").decode("utf-8-sig", "replace")

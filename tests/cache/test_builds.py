"""The log in an index: what is remembered of builds, how many, and what a damaged row comes to."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import to_builtins
from msgspec.structs import replace

from modelbuild.cache import Cache, builds
from modelbuild.cache.builds import Builds, PastBuild, PastOutput, PastSource, digest_of, named

PACK = "a" * 64
TEXT, CONFIG = b"[merge.release]\n", b'{"hidden_size": 16}'


def past(started: float, config: bytes = CONFIG, text: bytes = TEXT) -> PastBuild:
    """Return a build that began then."""
    output = PastOutput(
        "release", "out/release", "built", "e" * 64, "f" * 64, True, {"model.safetensors": PACK}, {"config.json": digest_of(config)}, {"base": "c" * 64}
    )  # fmt: skip
    build = PastBuild(
        "", started, 1.5, "0.1.0", "cpu", ("release",), ("seed=3",), (("Modelfile.toml", digest_of(text)),), "", "",
        36, 12, 100, 200, 300, (), (output,), {"base": PastSource("models/base")}, {"ties": 1},
    )  # fmt: skip
    return replace(build, id=named(build))


@pytest.fixture
def log(cache: Cache) -> Builds:
    return Builds(cache.index, Path("Modelfile.toml"))


def test_builds_come_back_as_they_were_the_latest_first(log: Builds):
    one, other = past(1000.25), past(2000.5)
    log.remember(one, [TEXT, CONFIG])
    log.remember(other, [TEXT, CONFIG])

    assert (other, one) == log.all()
    assert other == log.last_of("release")
    assert log.last_of("skills") is None
    assert CONFIG == log.file(digest_of(CONFIG))
    assert log.file(digest_of(b"another")) is None


def test_a_project_has_the_log_of_its_own_modelfile(cache: Cache, log: Builds):
    log.remember(past(1.0), [TEXT])

    assert () == Builds(cache.index, Path("other.toml")).all()


def test_the_oldest_are_forgotten_with_the_files_that_only_they_speak_of(cache: Cache, log: Builds, monkeypatch: pytest.MonkeyPatch):
    """A file that a later build, or one of another project, speaks of stays."""
    monkeypatch.setattr(builds, "MOST_BUILDS", 2)
    old, shared, other = b'{"old": 1}', b'{"shared": 1}', b'{"other": 1}'
    Builds(cache.index, Path("other.toml")).remember(past(0.5, other), [TEXT, other])
    for started, config in ((1.0, old), (2.0, other), (3.0, shared), (4.0, shared)):
        log.remember(past(started, config), [TEXT, config])

    assert [4.0, 3.0] == [build.started for build in log.all()]
    assert [None, shared, other, TEXT] == [log.file(digest_of(data)) for data in (old, shared, other, TEXT)]


@pytest.mark.parametrize(
    "row",
    [
        None,
        7,
        {"format": 2},
        {**to_builtins(past(1.0)), "format": 1, "started": 1e300},
        {"format": 1},
        {"format": 1, "outputs": 3, "sources": {}, "files": [], "asked": [], "overrides": [], "problems": []},
    ],
)
def test_a_row_that_makes_no_sense_is_no_build(cache: Cache, log: Builds, row: object):
    log.remember(past(1.0), [TEXT])
    (key,) = cache.index.scan("b:")
    cache.index.put_many({key: row})

    assert () == log.all()


@pytest.mark.parametrize("weights", [{"../../x.safetensors": PACK}, {"model.safetensors": "../x"}, {"a/b": PACK}])
def test_a_row_whose_names_lead_elsewhere_is_no_build(cache: Cache, log: Builds, weights: dict[str, str]):
    log.remember(past(1.0), [TEXT])
    ((key, row),) = cache.index.scan("b:").items()
    assert isinstance(row, dict)
    row["outputs"][0]["weights"] = weights  # type: ignore[index,call-overload]
    cache.index.put_many({key: row})

    assert () == log.all()


def test_a_file_whose_bytes_are_others_is_lost(cache: Cache, log: Builds):
    log.remember(past(1.0), [TEXT])
    cache.index.put_many({f"f:{digest_of(TEXT)}": cache.index.get(f"f:{digest_of(CONFIG)}") or "eJwDAAAAAAE="})

    assert log.file(digest_of(TEXT)) is None

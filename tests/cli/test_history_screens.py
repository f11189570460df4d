"""What log, restore, diff and why print, letter by letter, from values made by hand."""

from __future__ import annotations

import json
import math
import time

import pytest

from modelbuild.cache.builds import PastBuild, PastOutput, PastSource
from modelbuild.engine.comparing import Difference
from modelbuild.report import history, json_document
from modelbuild.report.page import Look
from modelbuild.stale import Change
from modelbuild.usecases.diffing import Comparison, UnlikeTensor
from modelbuild.usecases.logbook import LoggedBuild
from modelbuild.usecases.reaching import Reach, Stop
from modelbuild.usecases.restoring import Restored

A, B, C = "1f3a9c2e77aa" + "0" * 52, "77aa01b2c3d4" + "0" * 52, "c0ffee000001" + "0" * 52

RELEASE = PastOutput("release", "out/release", "built", A, B, True, {"model.safetensors": C}, {"config.json": B}, {"base": C, "chat": B})
DEEP = PastOutput("deep", "out/deep", "failed")
BUILD = PastBuild(
    "3c4ca74c", 1_764_202_888.2, 41.24, "0.1.0", "cpu", ("release", "deep"), ("merge.blend.t=0.5", "seed=3"), (("Modelfile.toml", A),), A, B,
    290, 89, 1_200_000_000, 3_100_000_000, 0, ("`talk` holds NaN",), (RELEASE, DEEP),
    {"base": PastSource("models/base"), "chat": PastSource("hf://someone/chat", "9" * 40)}, {"slerp": 1, "ties": 2},
)  # fmt: skip
OTHER = PastBuild(
    "180637dc",
    1_764_202_000.0,
    0.9,
    "0.1.0",
    "cpu",
    (),
    (),
    (("Modelfile.toml", A),),
    A,
    "",
    36,
    36,
    0,
    4_900_000,
    0,
    (),
    (RELEASE,),
    {},
    {},
)

TENSORS = (
    UnlikeTensor("a.weight", ("", ""), Difference(120, 384, 0, 0.01, 0.0367, 0.99932670, 12, 2)),
    UnlikeTensor("b.weight", ("BF16 [4]", "F32 [4]"), Difference(4, 4, 1, 0.5, math.inf, math.nan, -1, 0)),
    UnlikeTensor("c.weight", ("BF16 [40, 16]", "BF16 [8, 16]"), None),
    UnlikeTensor("d.weight", ("", ""), None),
)
COMPARED = Comparison(
    "3c4ca74c::release",
    "release",
    (Change("merge.blend.t", "0.3", "0.5"), Change("source base (tensors)", A, B)),
    TENSORS,
    ("e",),
    (),
    27,
    5_000,
)


@pytest.fixture(autouse=True)
def in_greenwich(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_log():
    expected = """\
3c4ca74c  2025-11-27 00:21:28  89 ran, 201 reused, 3.1 GB written in 41.2s
          release  built   1f3a9c2e77aa  out/release
          deep     failed                out/deep
          build release deep --set merge.blend.t=0.5 --set seed=3
180637dc  2025-11-27 00:06:40  36 ran, 0 reused, 4.9 MB written in 0.90s
          release  built  1f3a9c2e77aa  out/release"""
    assert expected == history.log((BUILD, OTHER), Look())
    assert history.log((), Look()).startswith("no build is in the log")


def test_a_build_whole():
    expected = f"""\
build 3c4ca74c  2025-11-27 00:21:28  modelbuild 0.1.0 on cpu
89 ran, 201 reused, 3.1 GB written in 41.2s
  build release deep --set merge.blend.t=0.5 --set seed=3
failed: `talk` holds NaN

release  built  out/release
  identity  {A}
  root      {B}
  model.safetensors  pack c0ffee000001
  config.json  77aa01b2c3d4

deep  failed  out/deep

sources
  base  models/base, tensors c0ffee000001
  chat  hf://someone/chat at 999999999999, tensors 77aa01b2c3d4
methods
  slerp  revision 1
  ties   revision 2

Modelfile.toml
  [merge.release]
  method = "slerp"

lock
  version = 1"""
    one = LoggedBuild(BUILD, {"Modelfile.toml": '[merge.release]\nmethod = "slerp"\n'}, "version = 1\n")

    assert expected == history.logged(one, Look())
    assert history.logged(LoggedBuild(OTHER, {"Modelfile.toml": ""}, ""), Look()).endswith("Modelfile.toml\n  it is no longer in the cache")


def test_restored():
    done = tuple(Restored("3c4ca74c", "release", "out/release", how, A, 2, 12, 36) for how in ("linked", "built", "fresh"))
    expected = """\
restored release of build 3c4ca74c to out/release: linked from 2 packs of the cache, nothing computed; its identity is 1f3a9c2e77aa, as recorded
restored release of build 3c4ca74c to out/release: built from the Modelfile of then: 12 of 36 actions ran; its identity is 1f3a9c2e77aa, as recorded
restored release of build 3c4ca74c to out/release: it stood there already; its identity is 1f3a9c2e77aa, as recorded"""
    assert expected == history.restored(done)


def test_many_outputs_that_are_restored_in_one_way_are_told_together():
    linked = [Restored("3c4ca74c", f"x@t=0.{i}", f"out/{i}", "linked", A, 2) for i in range(4)]
    built = Restored("3c4ca74c", "release", "out/release", "built", A, 2, 12, 36)

    assert """\
restored 4 variants of x of build 3c4ca74c: linked from 8 packs of the cache, nothing computed; their identities are the recorded ones
restored release of build 3c4ca74c to out/release: built from the Modelfile of then: 12 of 36 actions ran; its identity is 1f3a9c2e77aa, as recorded""" == (
        history.restored([*linked[:2], built, *linked[2:]])
    )


def test_diff():
    expected = """\
asked for otherwise, 3c4ca74c::release -> release:
    merge.blend.t          0.3 -> 0.5
    source base (tensors)  1f3a9c2e77aa -> 77aa01b2c3d4
only in 3c4ca74c::release, 1 tensor:
    e
tensors that differ, 3c4ca74c::release -> release:
              rel. L2  cosine    max ulp  flips  differing
    a.weight  0.0367   0.999327  12       2      120 of 384
    b.weight  -        -         -        0      4 of 4, 1 not finite; BF16 [4] -> F32 [4]
    c.weight                                     BF16 [40, 16] -> BF16 [8, 16]
    d.weight                                     its bytes are nowhere: `restore` brings them back
5 tensors differ, 27 are equal; 5.0 kB read"""
    assert expected == history.diff((COMPARED,), Look())


def test_on_a_narrow_page_no_line_is_longer_than_it():
    """Digests and names excepted, which are never broken."""
    expected = """\
    a.weight
        rel. L2 0.0367, cosine 0.999327, max ulp 12,
        flips 2, differing 120 of 384"""
    narrow = history.diff((COMPARED,), Look(60))

    assert expected in narrow
    assert 60 >= max(map(len, narrow.splitlines()))
    assert 60 >= max(map(len, history.log((BUILD, OTHER), Look(60)).splitlines()))
    assert "\x1b[33m3c4ca74c\x1b[0m  2025" in history.log((BUILD,), Look(60, colour=True))


def test_diff_as_json_has_null_where_there_is_no_number():
    table = json.loads(json_document.document({"compared": (COMPARED,), "equal": False}))

    assert [None, None] == [table["compared"][0]["tensors"][1]["values"][name] for name in ("relative_l2", "cosine")]
    assert 0.0367 == table["compared"][0]["tensors"][0]["values"]["relative_l2"]


def test_why():
    path = (Stop("math", "source", "inputs[1]"), Stop("skills", "ties", "inputs[0]"), Stop("release", "slerp", ""))
    expected = """\
release rests on math:
  math  source  read as inputs[1]
    └─ skills  ties  read as inputs[0]
      └─ release  slerp"""
    assert expected == history.why(Reach("math", "release", path), Look())
    assert "      `- release  slerp" == history.why(Reach("math", "release", path), Look(ascii=True)).splitlines()[-1]
    assert "talk does not rest on skills, nor skills on talk" == history.why(Reach("skills", "talk", ()), Look())

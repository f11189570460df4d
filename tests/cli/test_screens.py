"""What the commands print, letter by letter, from values made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from modelbuild.cache.upkeep import Collected, Verified
from modelbuild.report import drawings, explanations, json_document, screens, upkeep, variants
from modelbuild.report.page import Look, table
from modelbuild.report.words import alike
from modelbuild.stale import Change
from modelbuild.usecases.catalogue import MethodView
from modelbuild.usecases.cleaning import Cleaned, RemovedOutput
from modelbuild.usecases.explaining import Explanation
from modelbuild.usecases.freshness import TargetStatus
from modelbuild.usecases.graphing import GraphNode, GraphView
from modelbuild.usecases.housekeeping import CacheListing, CacheSize, KeptPack
from modelbuild.usecases.inspect import ShownTarget, ShownTensor

A, B = "1f3a9c2e77aa" + "0" * 52, "77aa01b2c3d4" + "0" * 52

STATUS = (
    TargetStatus("release", "out/release", "fresh", 0, 39, ()),
    TargetStatus(
        "deep", "out/deep", "stale", 12, 39, ("params.t: 0.3 -> 0.5", "not built before, as far as anybody who looks at the cache can tell")
    ),
    TargetStatus("gone", "out/gone", "stale", 0, 1, ("its output is not there, or was touched",)),
    TargetStatus("twin", "out/twin", "stale", 0, 39, ("params.t: 0.3 -> 0.5",), shared=12),
)

EXPLAINED = (
    Explanation("skills::a.weight", "fresh", "nothing changed since the last build", ()),
    Explanation("skills::b.weight", "fresh", "nothing changed since the last build", ()),
    Explanation(
        "blend::a.weight", "stale", "these changed:", (Change("params.t", "0.3", "0.5"), Change("inputs[0]", A, B), Change("seed", "", "7"))
    ),
    Explanation("blend::b.weight", "stale", "not built before", ()),
    Explanation("release::b.weight", "pending", "`blend::b.weight` to be built first", ()),
)

SHOWN = ShownTarget(
    "release",
    "out/release",
    {"model-00001-of-00002.safetensors": 1_900_000, "model-00002-of-00002.safetensors": 700},
    (
        ShownTensor("model.embed_tokens.weight", "BF16", (40, 16), "", ("base::model.embed_tokens.weight",), {}, ""),
        ShownTensor(
            "norm",
            "F32",
            (16,),
            "ties",
            ("base::norm", "code::norm", "math::model.norm"),
            {"density": (0.5, 1.0), "normalize": True, "rescale": "l1", "lambda": 1.0},
            A,
        ),
        ShownTensor("bias", "F32", (), "slerp", ("skills::bias", "talk::bias"), {}, ""),
    ),
)

GRAPH = GraphView(
    (
        GraphNode("base", "source", "models/base", ()),
        GraphNode("code", "source", 'models/"code"', ()),
        GraphNode("skills", "merge", "ties", ("base", "code")),
        GraphNode("blend", "merge", "slerp", ("skills", "base")),
        GraphNode("release", "merge", "passthrough", ("base", "blend", "skills")),
    )
)

METHOD = MethodView(
    "ties",
    "delta",
    "required",
    (1, 1 << 30),
    "exact",
    2,
    ("streaming", "short"),
    (("density", "float", "input", "1.0", "from 0 to 1"), ("rescale", "str", "node", "required", "l1 | inverse_density | none")),
    "Merge task vectors.\n\nArgs:\n    density: share of entries that each of them keeps, by magnitude.",
    "TIES: trim, elect, merge.\n\nSource: Yadav et al., 2023.",
)


def test_status():
    expected = """\
release  fresh  out/release
deep     stale  out/deep  12 of 39 actions may run
         params.t: 0.3 -> 0.5
         not built before, as far as anybody who looks at
           the cache can tell
gone     stale  out/gone  only to be written
         its output is not there, or was touched
twin     stale  out/twin  0 of 39 actions may run; 12 run
           for another target
         params.t: 0.3 -> 0.5"""
    assert expected == screens.status(STATUS, Look(60))


def test_status_in_colour_differs_in_colour_alone():
    coloured = screens.status(STATUS, Look(60, colour=True))

    assert "release  \x1b[32mfresh\x1b[0m  out/release\n" in coloured
    assert screens.status(STATUS, Look(60)) == coloured.replace("\x1b[32m", "").replace("\x1b[33m", "").replace("\x1b[0m", "")


def test_explain_counts_that_of_which_there_is_nothing_to_tell():
    expected = """\
blend::a.weight: stale, these changed:
    params.t   0.3 -> 0.5
    inputs[0]  1f3a9c2e77aa -> 77aa01b2c3d4
    seed       nothing -> 7
blend::b.weight: stale, not built before
release::b.weight: pending, `blend::b.weight` to be built first
2 tensors are fresh: nothing changed since the last build"""
    assert expected == explanations.explain(EXPLAINED, Look())


def test_names_that_differ_in_the_number_of_a_layer_are_written_as_one():
    layers = ["norm", *(f"layers.{i}.up" for i in (3, 0, 1, 5)), "layers.7.down", *(f"layers.0.experts.{i}.up" for i in range(2))]

    assert ["norm", "layers.{0-1,3,5}.up", "layers.7.down", "layers.*.experts.*.up"] == alike(layers)


def test_explain_tells_together_what_is_told_of_many_tensors_of_a_merge():
    """By hand: four of five alike but for their own names and the digests; another merge apart; and one by one where that is asked for."""
    names = [f"layers.{i}.up" for i in range(4)]
    similar = [
        Explanation(
            f"blend::{name}",
            "pending",
            f"`skills::{name}` to be built first; so far:",
            (Change("inputs[0]", f"{i:064}", f"(skills::{name})"),),
        )
        for i, name in enumerate(names)
    ]
    told = [
        *similar,
        Explanation("blend::norm", "stale", "not built before", ()),
        *(Explanation(f"skills::{name}", "stale", "these changed:", (Change("seed", A, "7"),)) for name in names),
    ]

    assert """\
blend: 4 of 5 tensors are pending, `skills` to be built first; so far:
    inputs[0]  … -> (skills)
    they are layers.{0-3}.up
blend::norm: stale, not built before
skills: all 4 tensors are stale, these changed:
    seed  1f3a9c2e77aa -> 7""" == explanations.explain(told, Look())
    assert "blend::layers.1.up: pending, `skills::layers.1.up` to be built first; so far:\n    inputs[0]  000000000000 -> " in (
        explanations.explain(told, Look(), each=True)
    )
    assert 5 == len(explanations.explain(told[1:5], Look()).split("\n")) - 2


def test_explain_before_a_build_leaves_out_what_is_fresh():
    assert explanations.explain(EXPLAINED[:2], Look(), stale_only=True) == ""
    assert "fresh" not in explanations.explain(EXPLAINED, Look(), stale_only=True)


def test_explain_of_one_tensor_tells_that_it_is_fresh():
    assert "skills::a.weight: fresh, nothing changed since the last build" == explanations.explain(EXPLAINED[:1], Look())


def test_show():
    expected = """\
release -> out/release
  model-00001-of-00002.safetensors  1.9 MB
  model-00002-of-00002.safetensors  700 B

model.embed_tokens.weight  BF16  [40, 16]
    = base
norm                       F32   [16]
    ties of base, code, math::model.norm
        density = [0.5, 1.0], normalize = true, rescale =
        "l1", lambda = 1.0
        key 1f3a9c2e77aa
bias                       F32   []
    slerp of skills, talk
        key not known before its inputs are built"""
    assert expected == screens.show(SHOWN, Look(60))


def test_methods():
    expected = """\
ties  Merge task vectors.

`modelbuild methods NAME` shows parameters, formula and source of one
no merges of tensors, and on docs/modelfile.md: moe, extract_lora, merge_loras"""
    assert expected == screens.methods((METHOD,), Look())


def test_a_method():
    expected = """\
ties
TIES: trim, elect, merge.

Source: Yadav et al., 2023.

takes 1 or more inputs, and a base
merges differences to the base; exact, revision 2; streaming
and short form

parameters:
  density  float  per input  default 1.0  from 0 to 1
  rescale  str    per node   required     l1 |
                                          inverse_density |
                                          none

Merge task vectors.

Args:
    density: share of entries that each of them keeps, by
    magnitude."""
    assert expected == screens.method(METHOD, Look(60))


def test_a_method_says_what_a_base_is_to_it():
    lines = {base: screens.method(replace(METHOD, base=base), Look(100)) for base in ("first", "optional", "none")}

    assert "takes 1 or more inputs; the base is one of them, the first where none is named\n" in lines["first"]
    assert "takes 1 or more inputs; where a base is named, differences to it are merged\n" in lines["optional"]
    assert "takes 1 or more inputs\n" in lines["none"]


def test_a_tree_names_again_what_it_has_drawn():
    expected = """\
release  passthrough
├── base  models/base
├── blend  slerp
│   ├── skills  ties
│   │   ├── base  models/base
│   │   └── code  models/"code"
│   └── base  models/base
└── skills  see above"""
    assert expected == drawings.tree(GRAPH, Look())


def test_a_tree_in_ascii():
    assert "|   |-- skills  ties\n|   |   |-- base  models/base\n|   |   `-- code" in drawings.tree(GRAPH, Look(ascii=True))


def test_mermaid():
    expected = """\
flowchart LR
    n0[("base<br>models/base")]
    n1[("code<br>models/#34;code#34;")]
    n2["skills<br>ties"]
    n3["blend<br>slerp"]
    n4["release<br>passthrough"]
    n0 --> n2
    n1 --> n2
    n2 --> n3
    n0 --> n3
    n0 --> n4
    n3 --> n4
    n2 --> n4"""
    assert expected == drawings.mermaid(GRAPH)


def test_dot():
    expected = """\
digraph modelfile {
    rankdir=LR;
    node [shape=box];
    "base" [label="base\\nmodels/base", shape=cylinder];
    "code" [label="code\\nmodels/\\"code\\"", shape=cylinder];
    "skills" [label="skills\\nties"];
    "blend" [label="blend\\nslerp"];
    "release" [label="release\\npassthrough"];
    "base" -> "skills";
    "code" -> "skills";
    "skills" -> "blend";
    "base" -> "blend";
    "base" -> "release";
    "blend" -> "release";
    "skills" -> "release";
}"""
    assert expected == drawings.dot(GRAPH)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_every_screen_fits_the_page(width: int):
    look = Look(width)
    shown = (screens.status(STATUS, look), explanations.explain(EXPLAINED, look), screens.show(SHOWN, look), screens.method(METHOD, look))

    assert all(len(line) <= width for screen in shown for line in screen.split("\n") if "pending" not in line)


def test_a_table_breaks_its_last_column_alone():
    assert ["a    one two three four", "     five", "bbb  x"] == table([("a", "one two three four five"), ("bbb", "x")], Look(24))
    assert [] == table([], Look())


def test_a_row_that_does_not_fit_is_told_in_lines_that_do():
    row = ("x@density=0.3,weight=1", "built", "out/x@density=0.3,weight=1")

    assert ["  short", "  x@density=0.3,weight=1", "    built", "    out/x@density=0.3,", "    weight=1"] == [
        *table([("short",)], Look(26), indent=2),
        *table([row], Look(26), indent=2),
    ]
    assert ["  x@density=0.3,weight=1  built  out/x@density=0.3,weight=1"] == table([row], Look(60), indent=2)


def test_a_sweep_wider_than_the_page_is_a_list():
    columns = {"x@t=0.5": {"state": "stale", "to run": "39"}, "x@t=0.7": {"state": "fresh", "to run": "0"}}

    told = variants.sweep("x", [variants.At(name, {"t": float(name[4:])}) for name in columns], columns, Look(18))

    assert (
        """\
x: 2 variants
  t=0.5
    state stale,
      to run 39
  t=0.7
    state fresh,
      to run 0"""
        == told
    )


def test_json_keeps_whole_values():
    assert {
        "name": "release",
        "path": "out/release",
        "state": "fresh",
        "stale": 0,
        "actions": 39,
        "reasons": [],
        "point": {},
        "nbytes": 0,
        "shared": 0,
    } == json.loads(json_document.document({"targets": STATUS}))["targets"][0]
    assert [Path("a")] == [Path(text) for text in json.loads(json_document.document((Path("a"),)))]
    assert [0.5, 1.0] == json.loads(json_document.document(SHOWN))["tensors"][1]["params"]["density"]


def test_the_cache():
    now = 1_800_000_000.0
    packs = (KeptPack(A, 3_100_000_000, now - 20, 39, ("out/release", "out/deep")), KeptPack(B, 900, now - 3 * 86400, 1, ()))

    expected = """\
1f3a9c2e77aa  3.1 GB  39 tensors  just now    out/release, out/deep
77aa01b2c3d4  900 B   1 tensor    3 days ago
2 packs in cache, 3.1 GB"""
    assert expected == upkeep.cache_ls(CacheListing("cache", packs), Look(), now)
    assert "0 packs in cache, 0 B" == upkeep.cache_ls(CacheListing("cache", ()), Look(), now)


def test_upkeep_in_one_line_each():
    size = CacheSize("cache", 2, 3_100_000_000, 90_000, 50_000_000_000)

    assert "cache: 2 packs, 3.1 GB (of at most 50.0 GB), and 90.0 kB besides" == upkeep.cache_size(size)
    assert "cache: 0 packs, 0 B (the first build sets a limit), and 0 B besides" == upkeep.cache_size(CacheSize("cache", 0, 0, 0, 0))
    assert "removing 2 packs and what else cache holds, 3.1 GB" == upkeep.cache_clean(size)
    lost = "with them go the log of 1 build, which `restore` and `explain` go by; the results of checks; the figures and times for `report` and forecasts"
    assert f"removing 2 packs and what else cache holds, 3.1 GB\n{lost}" == upkeep.cache_clean(replace(size, builds=1, measured=True))
    assert "cache holds nothing" == upkeep.cache_clean(CacheSize("cache", 0, 0, 0, 0))
    assert "removed 1 pack, 900 B; 1.0 kB kept" == upkeep.cache_gc(Collected((A,), (), 900, 1000))
    assert "removed 0 packs, 0 B; 0 B kept; 1 leftover of dead builds removed" == upkeep.cache_gc(Collected((), (Path("x"),), 0, 0))
    assert "2 packs read, 900 B: all sound" == upkeep.cache_verify(Verified((A, B), (), 900))


def test_packs_that_were_broken_are_named():
    expected = """\
2 packs read, 900 B: 1 not what their names say, and removed:
  77aa01b2c3d4
what they held is computed again when it is needed"""
    assert expected == upkeep.cache_verify(Verified((A,), (B,), 900))


def test_clean():
    expected = """\
removed out/release (5 files, 3.1 GB)
the cache still holds what it knows: `modelbuild build` links it again"""
    assert expected == upkeep.clean(Cleaned((RemovedOutput("release", "out/release", 5, 3_100_000_000),), ("deep",), 1))
    assert "nothing to remove: no output of deep is there" == upkeep.clean(Cleaned((), ("deep",), 0))

"""Pictures of graphs and traces of builds: well formed, in need of nothing else, legible, and true."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections import defaultdict
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from modelbuild import usecases as use_cases
from modelbuild.engine import engine as engines
from modelbuild.events import Merged, Took
from modelbuild.report import heat, pages
from modelbuild.report.heat import Cell
from modelbuild.report.layered import lay_out
from modelbuild.report.svg import svg
from modelbuild.report.tracing import Trace
from modelbuild.usecases import silent
from modelbuild.usecases.graphing import GraphNode, GraphView
from tests.cli.conftest import Program
from tests.support.pages import read_svg, well_formed
from tests.support.projects import Project

XML = "{http://www.w3.org/2000/svg}"


def large(merges: int = 76, sources: int = 24) -> GraphView:
    """A graph of a hundred nodes."""
    rng = random.Random(3)  # noqa: S311 - to be repeated
    nodes = [
        GraphNode(f"model-{i}", "source", f"hf://org/Model-7B-v{i}@main", (), "", (("commit", "0123456789ab"),)) for i in range(sources)
    ]
    for i in range(merges):
        read = rng.sample([node.name for node in (nodes[-30:] + nodes[:6])], rng.choice([2, 3]))
        read = list(dict.fromkeys(read))
        nodes.append(GraphNode(f"merge-{i}", "merge", "ties", tuple(read), read[0], (("density", "0.5"),)))
    return GraphView(tuple(nodes))


def boxes(drawing: str) -> dict[str, tuple[float, float, float, float]]:
    """Return left, top, right and bottom of each box, by its name."""
    found = {}
    for group in read_svg(drawing).iter(f"{XML}g"):
        box = group.find(f"{XML}rect")
        name = group.find(f"{XML}text")
        assert box is not None
        assert name is not None
        x, y, width, height = (float(box.attrib[key]) for key in ("x", "y", "width", "height"))
        found[str(name.text)] = (x, y, x + width, y + height)
    return found


def test_a_hundred_boxes_stand_apart_and_each_right_of_what_it_reads():
    view = large()

    found = boxes(svg(view))

    assert {node.name for node in view.nodes} == found.keys()
    for one, other in combinations(found.values(), 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    for node in view.nodes:
        assert all(found[name][2] < found[node.name][0] for name in node.inputs)


def test_a_long_chain_runs_downwards():
    chain = [GraphNode("base", "source", "base", ())]
    for i in range(12):
        chain.append(GraphNode(f"merge-{i}", "merge", "slerp", (chain[-1].name, "base")))

    found = boxes(svg(GraphView(tuple(chain))))

    assert all(found[one.name][3] < found[other.name][1] for one, other in pairwise(chain))


def test_what_can_be_drawn_without_crossings_is():
    """Two pairs that are declared crosswise."""
    laid = lay_out({"a": (), "b": (), "c": ("b",), "d": ("a",)}, dict.fromkeys("abcd", 10.0), 5, 5)

    assert (laid.at["a"] < laid.at["b"]) == (laid.at["d"] < laid.at["c"])
    assert {"a": 0, "b": 0, "c": 1, "d": 1} == laid.layers


def test_a_label_of_any_characters_is_drawn_and_a_page_holds_it():
    view = GraphView(
        (GraphNode("a", "source", "models/<\"&'>\x07\u202e日本語" + "x" * 300, ()), GraphNode("b", "merge", "ties", ("a",), "a"))
    )

    assert ["a", "b"] == list(boxes(svg(view)))
    assert {"svg", "table"} <= well_formed(pages.graph(view))
    assert svg(view).isascii()


@pytest.mark.parametrize("form", ["svg", "html", "mermaid", "dot"])
def test_a_picture_is_written_where_it_is_asked_for_and_names_no_place(program: Program, diamond: Project, tmp_path: Path, form: str):
    diamond.edit('from = "math"', f'from = "{diamond.root}/math"')

    ended = program("graph", "--format", form, "-o", "graph", "-C", diamond.root)
    text = (diamond.root / "graph").read_text()

    assert (0, "", f"wrote {diamond.root}/graph\n") == (ended.code, ended.out, ended.err)
    assert str(tmp_path) not in text
    assert all(word in text for word in ("skills", "release", "passthrough"))
    assert "density 0.5" in text or form in ("mermaid", "dot")
    if form == "svg":
        assert 7 == len(boxes(text))
    if form == "html":
        well_formed(text)
    assert 2 == program("graph", "-o", "nowhere/graph", "-C", diamond.root).code
    assert 2 == program("graph", "-o", ".", "-C", diamond.root).code


def test_a_heat_map_writes_each_number_and_paints_more_darker():
    cells = [Cell(f"layers.{i}.{name}", name, i, i / 2 if name == "mlp" else None) for i in range(3) for name in ("mlp", "norm")]

    drawing = read_svg(heat.heat_map([*cells, Cell("embed", "embed", -1, 0.25)], "{:.2f}".format))

    told = {str(group.findtext(f"{XML}title")): str(group.find(f"{XML}rect").attrib["class"]) for group in drawing.iter(f"{XML}g")}  # type: ignore[union-attr]
    assert {"layers.0.mlp: 0.00": "h0", "layers.1.mlp: 0.50": "h3", "layers.2.mlp: 1.00": "h6", "embed: 0.25": "h1"}.items() <= told.items()
    assert "none" == told["layers.0.norm: nothing to measure"]


def test_a_heat_map_of_very_many_modules_gives_those_that_differ_in_a_number_one_row():
    cells = [Cell(f"layers.{i}.experts.{k}.w1", f"experts.{k}.w1", i, float(k)) for i in range(2) for k in range(60)]

    drawing = read_svg(heat.heat_map(cells, str))

    assert ["29.5", "29.5"] == [text.text for text in drawing.iter(f"{XML}text") if text.attrib["class"].startswith("cell")]


def test_report_writes_a_page_or_json(program: Program, built: Project, tmp_path: Path):
    ended = program("report", "release", "-C", built.root)
    page = (built.root / "release.html").read_text()
    table = json.loads(program("report", "release", "--json", "-C", built.root).out)

    assert (0, "") == (ended.code, ended.out)
    assert ended.err.startswith("note: measuring 36 tensors")
    assert ended.err.endswith(f"wrote {built.root}/release.html\n")
    well_formed(page)
    assert str(tmp_path) not in page
    found = {tensor["name"]: tensor["figures"] for tensor in table["merges"][1]["tensors"]}
    one = found["model.layers.1.mlp.up_proj.weight"]
    assert f"{one['conflicts'] / one['touched'] * 100:.1f} %" in page
    assert 2 == program("report", "nothing", "-C", built.root).code


def traced(path: Path) -> list[dict[str, object]]:
    """Read a trace; its events nest on every thread."""
    events = json.loads(path.read_text())["traceEvents"]
    lanes = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            lanes[event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for spans in lanes.values():
        spans.sort(key=lambda span: (span[0], -span[1]))
        for (_, end), (start, other) in pairwise(spans):
            assert other <= end + 1 or end <= start + 1  # microseconds: each is rounded to a tenth
    assert {event["tid"] for event in events if event["name"] == "thread_name"} == lanes.keys()
    return list(events)


def test_a_trace_says_what_each_thread_did(program: Program, diamond: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("modelbuild.report.tracing._LEAST", 0.0)  # of so few tensors a fast machine judges in less

    ended = program("build", "--trace", "trace.json", "-j", 2, "-C", diamond.root)
    events = traced(diamond.root / "trace.json")

    assert 0 == ended.code
    merged = [event for event in events if event.get("cat") == "merge"]
    assert {"plan", "judge", "merge", "seal", "publish", "record"} <= {event.get("cat") for event in events}
    assert 36 == len(merged) == len({event["name"] for event in merged})
    assert {"bytes": 768, "why": "not built before"} == next(
        event["args"] for event in merged if event["name"] == "blend::model.layers.1.mlp.up_proj.weight"
    )
    assert str(tmp_path) not in (diamond.root / "trace.json").read_text()
    program("build", "--trace", "trace.json", "-C", diamond.root)
    assert {"ph"} <= traced(diamond.root / "trace.json")[0].keys()


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left on device"), 6)], ids=["interrupt", "failure"]
)
def test_a_trace_is_whole_however_the_build_ends(
    program: Program, diamond: Project, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
):
    real, left = engines.compute, iter(range(5))

    def failing(*arguments: object) -> object:
        if next(left, None) is None:
            raise error
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(engines, "compute", failing)

    ended = program("build", "--trace", "trace.json", "-j", 1, "-C", diamond.root)

    assert code == ended.code
    assert 5 == sum(event.get("cat") == "merge" for event in traced(diamond.root / "trace.json"))


def test_a_trace_that_cannot_be_written_is_refused_before_the_build(program: Program, diamond: Project):
    assert 2 == program("build", "--trace", "nowhere/trace.json", "-C", diamond.root).code
    assert 2 == program("build", "--trace", "trace.json", "-n", "-C", diamond.root).code
    assert not (diamond.root / "out").exists()


def test_an_events_span_ends_when_it_is_told():
    """By a clock that is set by hand: it starts at 10 s, and 2 s later something ends that took half a second."""
    times = iter([10.0, 12.0, 12.5])
    trace = Trace(silent, lambda: next(times))

    trace(Merged("skills", "a", 8, 0.5, "forced"))
    trace(Took("seal", "release/model.safetensors", 0.25))

    spans = [(event["name"], event["ts"], event["dur"]) for event in json.loads(trace.document())["traceEvents"] if event["ph"] == "X"]
    assert [("skills::a", 1.5e6, 0.5e6), ("seal release/model.safetensors", 2.25e6, 0.25e6)] == spans


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_a_browser_shows_a_report_without_complaint(diamond: Project, tmp_path: Path):
    """It says of what it refuses to load or to run, and of what it does not understand; and it lays all of the page out."""
    diamond.build()
    page = tmp_path / "report.html"
    from modelbuild.report import findings

    page.write_text(findings.report(use_cases.view_report(diamond.where, "release")))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", "--enable-logging=stderr"]

    shown = subprocess.run([*command, "--dump-dom", f"file://{page}"], capture_output=True, text=True, check=True, timeout=120)

    assert "CONSOLE" not in shown.stderr
    assert page.read_text().count("<rect") == shown.stdout.count("<rect")

"""What a report holds: figures of what was built, taken once; parameters, time and lineage; nothing of where it was made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modelbuild import usecases as use_cases
from modelbuild.cache import stattable
from modelbuild.cache.figures import Figures
from modelbuild.engine import sources
from modelbuild.events import Event, Noted
from modelbuild.report import findings
from modelbuild.usecases import measuring
from modelbuild.usecases.reporting import MergeReport, ReportView
from tests.support.checkpoints import read_model
from tests.support.pages import well_formed
from tests.support.projects import Project

FORGETFUL = """\
[source]
base.from = "base"
code.from = "code"
math.from = "math"
[merge.skills]
method = "ties"
base = "base"
inputs = [{ model = "code", density = 0.5, weight = [0.2, 1.0] }, { model = "math", density = 0.5 }]
keep = false
[merge.release]
method = "linear"
inputs = ["base", "skills"]
output = { dtype = "float32" }
"""


def of(view: ReportView, name: str) -> MergeReport:
    """Return the report of one merge."""
    return next(merge for merge in view.merges if merge.name == name)


def figures(merge: MergeReport) -> Iterator[tuple[str, Figures]]:
    """Yield what was measured, by tensor."""
    yield from ((tensor.name, tensor.figures) for tensor in merge.tensors if tensor.figures)


def measured(diamond: Project, target: str = "release") -> tuple[ReportView, list[str]]:
    """Report a target; return what was said meanwhile."""
    told: list[Event] = []
    view = use_cases.view_report(diamond.where, target, told.append)
    return view, [event.text for event in told if isinstance(event, Noted)]


def test_a_merge_is_measured_from_the_base_that_its_graph_starts_from(diamond: Project):
    """Of a slerp of two task-vector merges, by numpy; of slices of it, the same tensors."""
    diamond.build("release", "blend", "skills")

    view, _ = measured(diamond)

    base, blend = (read_model(diamond.root / name) for name in ("base", "out/blend"))
    for name, found in figures(of(view, "blend")):
        r, y = base[name].astype("f8"), blend[name].astype("f8")
        assert np.linalg.norm(y - r) / np.linalg.norm(r) == pytest.approx(found.moved, rel=1e-12)
        assert np.sum(y * r) / np.linalg.norm(y) / np.linalg.norm(r) == pytest.approx(found.cosine_to_base, rel=1e-12)
    handed = dict(figures(of(view, "release")))
    assert handed == {name: found for name, found in figures(of(view, "blend")) if name in handed}
    assert {"model.layers.1.mlp.up_proj.weight", "lm_head.weight"} <= handed.keys()
    assert {"base"} == {tensor.base for merge in view.merges for tensor in merge.tensors if tensor.figures}
    assert ["release", "blend"] == [merge.name for merge in view.merges][:2]
    assert 0 == view.unbuilt


def test_a_second_report_reads_no_weight_and_says_the_same(diamond: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stattable, "RACY_NS", 0)
    diamond.build()
    first, said = measured(diamond)
    monkeypatch.setattr(measuring, "work", lambda *_, **__: pytest.fail("it measures again"))
    monkeypatch.setattr(sources, "digest_of", lambda *_: pytest.fail("it reads a source"))

    again, nothing = measured(diamond)

    assert first == again
    assert ["measuring 36 tensors against what they were merged from, 84.1 kB: once"] == said
    assert [] == nothing


def test_what_is_not_kept_is_computed_again_and_nothing_of_that_stays(project: Project):
    """The intermediate goes through memory, and the target's second rounding is looked through."""
    project.family()
    project.write(FORGETFUL)
    project.build()
    before = {path for path in (project.root / "cache").rglob("*") if path.parent.name != "index"}

    view, _ = measured(project)

    base, code, skills = read_model(project.root / "base"), read_model(project.root / "code"), dict(figures(of(view, "skills")))
    name = "model.layers.1.self_attn.q_proj.weight"
    assert int(np.sum(base[name] != code[name])) == skills[name].differs[0]
    assert ("base", "skills") == next(tensor.parents for tensor in of(view, "release").tensors if tensor.name == name)
    release = read_model(project.root / "out" / "release")
    assert np.linalg.norm(release[name] - base[name]) / np.linalg.norm(base[name]) == pytest.approx(
        dict(figures(of(view, "release")))[name].moved, rel=1e-6
    )
    assert before == {path for path in (project.root / "cache").rglob("*") if path.parent.name != "index"}


def test_parameters_times_and_what_is_handed_on(diamond: Project):
    diamond.build()

    view, _ = measured(diamond)

    skills, release = of(view, "skills"), of(view, "release")
    own = next(tensor for tensor in skills.tensors if tensor.name == "model.layers.1.mlp.up_proj.weight")
    assert ((0.5, 0.5), ("code", "math"), "mlp.up_proj.weight", 1) == (own.params["density"], own.parents, own.module, own.layer)
    assert all(tensor.seconds > 0 for tensor in skills.tensors)
    assert {"base::model.layers.0.mlp.up_proj.weight", "blend::model.layers.1.mlp.up_proj.weight"} <= {
        tensor.origin for tensor in release.tensors
    }
    diamond.edit('inputs = [{ model = "code", density = 0.5 }', 'inputs = [{ model = "code", density = 0.4 }')
    changed, _ = measured(diamond)
    assert not [tensor for tensor in of(changed, "skills").tensors if tensor.seconds > 0 or tensor.figures]
    assert "tensors of these merges are not built as the Modelfile is now" in findings.report(changed)
    assert "" == changed.root


def test_lineage_names_the_licence_and_no_place(diamond: Project, tmp_path: Path):
    (diamond.root / "code" / "README.md").write_text("---\nlicense: other\nlicense_name: a <b>house</b> licence\n---\n# code\n")
    diamond.edit('from = "math"', f'from = "{tmp_path}/math"')
    diamond.build("blend")

    view, _ = measured(diamond, "blend")
    page = findings.report(view)

    found = {source.name: source for source in view.sources}
    assert ("a <b>house</b> licence", "", "…/math") == (found["code"].licence, found["base"].licence, found["math"].location)
    assert 64 == len(found["code"].root) == len(view.root)
    assert str(tmp_path) not in page
    assert "<b>house" not in page
    assert {"section", "svg", "table"} <= well_formed(page)
    assert page == findings.report(measured(diamond, "blend")[0])

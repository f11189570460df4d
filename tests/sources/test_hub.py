"""Sources on a hub, through the real client: what is asked, what is fetched, and what is refused."""

from __future__ import annotations

import json

import numpy as np

from modelbuild import usecases as use_cases
from modelbuild.errors import Exit
from tests.support.checkpoints import from_bfloat16, random_tensors, read_model, to_bfloat16, write_file, write_model
from tests.support.hub import SMALL, Handler, Hub, Request
from tests.support.hubprojects import AVERAGE
from tests.support.hubs import blobs
from tests.support.projects import Project


def test_a_merge_of_sources_on_the_hub_is_the_merge_of_the_same_files_here(family: Project, hub: Hub, tmp_path):
    family.build()
    here = Project(tmp_path / "origin")
    here.write(AVERAGE.replace("hf://lab/", "").replace("@main", ""))
    here.build()

    assert here.hashes() == family.hashes()


def test_a_dry_run_reads_headers_and_fetches_no_weights(family: Project, hub: Hub):
    from modelbuild.usecases import forecast

    outcome = forecast(family.where)

    assert (["stale"], 30, False) == ([target.state for target in outcome.targets], outcome.actions.run, outcome.exact)
    weights = hub.asked("model.safetensors")
    assert [("GET", True)] * 3 == [(request.method, "Range" in request.headers) for request in weights]
    assert all(path.stat().st_size < SMALL for path in blobs(family.root.parent / "home"))


def test_a_second_build_asks_only_what_its_branches_are(family: Project, hub: Hub):
    family.build()
    hub.requests.clear()
    (family.root / "Modelfile.toml").write_text(AVERAGE.replace('"math"]', '{ model = "math", weight = 2.0 }]'))
    family.build()

    assert [f"/api/models/lab/{name}/revision/main?blobs=true" for name in ("base", "code", "math")] == [one.path for one in hub.requests]


def test_ranges_fetch_the_tensors_that_are_read_and_no_whole_file(hub: Hub, project: Project, tmp_path):
    """The embedding, the first layer, the final norm and the head: neighbours in one request; then one more layer."""
    project.model("origin", random_tensors(0))
    hub.put("lab/a", project.root / "origin")
    text = '[source]\na = { from = "hf://lab/a", fetch = "ranges" }\n[merge.out]\nmethod = "passthrough"\n'
    project.write(text + 'slices = [{ model = "a", layers = [0, 1] }]\n')
    project.build()

    origin, out = (read_model(project.root / name) for name in ("origin", "out/out"))
    assert all(np.array_equal(origin[name], out[name]) for name in out)
    assert all(path.stat().st_size < SMALL for path in blobs(tmp_path / "home"))
    before = len(hub.asked("/blobs/"))
    project.write(text + 'slices = [{ model = "a", layers = [0, 1] }, { model = "a", layers = [2, 3] }]\n')
    use_cases.lock(project.where)
    project.build()
    assert 1 == len(hub.asked("/blobs/")) - before
    out = read_model(project.root / "out/out")
    assert np.array_equal(origin["model.layers.2.mlp.up_proj.weight"], out["model.layers.1.mlp.up_proj.weight"])
    assert (Exit.DONE, {"inconclusive"}) == (
        (found := use_cases.verify(project.where)).exit_code, {one.state for one in found.findings}
    )  # fmt: skip


def test_a_range_that_is_cut_off_is_read_again(hub: Hub, project: Project):
    project.model("origin", random_tensors(0))
    hub.put("lab/a", project.root / "origin")
    project.write('[source]\na = { from = "hf://lab/a", fetch = "ranges" }\n[merge.out]\nmethod = "passthrough"\ninputs = ["a"]\n')
    left = [2]

    def cut(handler: Handler, request: Request) -> bool:
        if "/blobs/" not in request.path or not left[0]:
            return False
        left[0] -= 1
        handler.answer(206, bytes(500), {"Content-Length": "1000", "Content-Range": "bytes 0-999/30000"}, send=500)
        return True

    hub.fault = cut
    project.build()

    origin, out = (read_model(project.root / name) for name in ("origin", "out/out"))
    assert origin.keys() == out.keys()
    assert all(np.array_equal(origin[name], out[name]) for name in out)


def test_a_slice_fetches_only_the_shards_that_it_reads(hub: Hub, project: Project, tmp_path):
    """Of the second shard nothing but its header."""
    tensors, weight_map = random_tensors(0), {}
    write_model(tmp_path / "sharded", tensors)
    (tmp_path / "sharded/model.safetensors").unlink()
    for i in range(3):
        file = f"model-0000{i + 1}-of-00003.safetensors"
        own = {name: value for name, value in tensors.items() if f".{i}." in name or (i == 0 and ".layers." not in name)}
        write_file(tmp_path / "sharded" / file, own)
        weight_map |= dict.fromkeys(own, file)
    (tmp_path / "sharded/model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    hub.put("lab/sharded", tmp_path / "sharded")
    project.write(
        '[source]\na.from = "hf://lab/sharded"\n[merge.out]\nmethod = "passthrough"\n'
        'slices = [{ model = "a", layers = [0, 1] }, { model = "a", layers = [2, 3] }]\n'
    )
    project.build()

    assert [True] == ["Range" in request.headers for request in hub.asked("model-00002")]
    assert 2 == sum(path.stat().st_size >= SMALL for path in blobs(tmp_path / "home"))
    out = read_model(project.root / "out/out")
    assert np.array_equal(from_bfloat16(to_bfloat16(tensors["model.norm.weight"])), out["model.norm.weight"])
    assert 21 == len(out)

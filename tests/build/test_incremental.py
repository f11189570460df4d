"""What is built again after which change: exact counts."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from tests.support.checkpoints import random_tensors, read_model, write_model
from tests.support.projects import DIAMOND, Project

TENSORS = 30
"""Of a model of the family: embedding, 9 in each of 3 layers, final norm, head."""
LIVE = 12
"""Of each merging node of the diamond: release takes one layer of it, embedding, norm and head."""


def test_a_first_build_runs_every_action_of_every_node(diamond: Project):
    """Three merging nodes, each for the tensors that release takes; release itself only hands on."""
    outcome = diamond.build()

    assert [("release", "built")] == [(target.name, target.state) for target in outcome.targets]
    assert (3 * LIVE, 3 * LIVE, 0) == (outcome.actions.total, outcome.actions.run, outcome.actions.reused)
    assert outcome.aliased == TENSORS


def test_a_second_build_runs_nothing_and_writes_nothing(diamond: Project):
    diamond.build()
    before = diamond.hashes()

    outcome = diamond.build()

    assert "fresh" == outcome.targets[0].state
    assert (3 * LIVE, 0) == (outcome.actions.total, outcome.actions.run)
    assert outcome.bytes.written == outcome.bytes.linked == 0
    assert before == diamond.hashes()


def test_t_of_mlp_alone_runs_the_mlp_tensors_of_that_node_alone(diamond: Project):
    """The three mlp tensors of the layer that is taken; the merges below come from the cache."""
    diamond.build()
    diamond.edit('{ filter = "mlp", value = 0.3 }', '{ filter = "mlp", value = 0.35 }')

    outcome = diamond.build()

    assert (3, 3 * LIVE - 3) == (outcome.actions.run, outcome.actions.reused)


def test_a_merge_of_the_first_stage_runs_with_all_that_rests_on_it(diamond: Project):
    """Of ties and of slerp every tensor, of dare none."""
    diamond.build()
    diamond.edit('{ model = "math", density = 0.5 }', '{ model = "math", density = 0.4 }')

    assert 2 * LIVE == diamond.build().actions.run


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda text: text.replace("skills", "abilities"), id="rename a node"),
        pytest.param(
            lambda text: text.replace("[source.code]", "[source.c-plus-plus]").replace('model = "code"', 'model = "c-plus-plus"'),
            id="rename a source",
        ),
        pytest.param(lambda text: "# why\n" + text.replace("[merge.talk]", "# what\n[merge.talk]"), id="add comments"),
        pytest.param(lambda text: "".join(reversed(re.split(r"(?m)^(?=\[)", text))), id="reorder tables"),
        pytest.param(lambda text: text.replace("value = 0.6", 'value = "${t}"') + "[vars]\nt = 0.6\n", id="write a value as a variable"),
        pytest.param(
            lambda text: text.replace("density = 0.6, weight = 0.5", "weight = 5e-1, density = 0.60"), id="write a number otherwise"
        ),
    ],
)
def test_an_edit_that_means_the_same_runs_nothing(diamond: Project, edit):
    diamond.build()
    before = diamond.hashes()
    diamond.write(edit(DIAMOND))

    outcome = diamond.build()

    assert 0 == outcome.actions.run
    assert before == diamond.hashes()


def test_a_source_that_is_sharded_anew_runs_nothing(diamond: Project):
    diamond.build()
    tensors = read_model(diamond.root / "math")
    shutil.rmtree(diamond.root / "math")
    diamond.model("math", tensors, shards=3)

    outcome = diamond.build()

    assert 0 == outcome.actions.run
    assert "fresh" == outcome.targets[0].state


def test_a_project_that_moves_runs_nothing(diamond: Project, tmp_path_factory):
    diamond.build()
    before = diamond.hashes()
    moved = tmp_path_factory.mktemp("elsewhere") / "project"
    shutil.move(diamond.root, moved)

    outcome = Project(moved).build()

    assert 0 == outcome.actions.run
    assert before == Project(moved).hashes()


def test_one_tensor_of_one_source_runs_exactly_what_it_reaches_and_back_nothing(diamond: Project):
    """One tensor in each of the three merging nodes."""
    diamond.build()
    before = diamond.hashes()
    original = read_model(diamond.root / "math")
    changed = {**original, "model.layers.1.mlp.up_proj.weight": original["model.layers.1.mlp.up_proj.weight"] + np.float32(0.25)}

    diamond.model("math", changed)
    assert 3 == diamond.build().actions.run
    assert before != diamond.hashes()

    diamond.model("math", original)
    assert 0 == diamond.build().actions.run
    assert before == diamond.hashes()


def test_an_intermediate_that_comes_out_the_same_stops_the_change_there(project: Project):
    """Early cutoff: two sources trade places under a sum that does not mind, so what reads the sum does not run."""
    project.family()
    project.write("""\
[source]
code.from = "code"
math.from = "math"
base.from = "base"
[merge.sum]
method = "linear"
inputs = ["code", "math"]
[merge.release]
method = "slerp"
inputs = ["base", "sum"]
t = 0.5
""")
    assert 2 * TENSORS == project.build().actions.run
    before = project.hashes()
    project.edit('inputs = ["code", "math"]', 'inputs = ["math", "code"]')

    outcome = project.build()

    assert TENSORS == outcome.actions.run
    assert "fresh" == outcome.targets[0].state
    assert before == project.hashes()


def test_force_runs_everything_and_gives_the_same_bytes(diamond: Project):
    diamond.build()
    before = diamond.hashes()

    outcome = diamond.build(force=True)

    assert 3 * LIVE == outcome.actions.run
    assert before == diamond.hashes()


def test_set_edits_the_modelfile_in_memory(diamond: Project):
    diamond.build()
    written = (diamond.root / "Modelfile.toml").read_bytes()

    outcome = diamond.build(overrides=["merge.blend.t=0.5"])

    assert LIVE == outcome.actions.run
    assert written == (diamond.root / "Modelfile.toml").read_bytes()


@pytest.mark.parametrize(
    "options", [{}, {"jobs": 1}, {"jobs": 4}, {"memory": 12_000_000}], ids=["default", "1 job", "4 jobs", "little memory"]
)
@pytest.mark.parametrize("keep", [True, False], ids=["kept", "not kept"])
@pytest.mark.parametrize("warm", [True, False], ids=["warm cache", "empty cache"])
def test_how_a_build_is_done_changes_no_byte(diamond: Project, tmp_path_factory, options, keep, warm):
    """sha256 of every output file."""
    other = Project(tmp_path_factory.mktemp("reference"))
    other.family()
    other.write(DIAMOND)
    other.build()
    text = DIAMOND if keep else DIAMOND.replace('method = "', 'keep = false\nmethod = "')
    diamond.write(text)
    if warm:
        diamond.build("talk")

    diamond.build(**options)

    assert other.hashes() == diamond.hashes()


def test_a_node_that_is_not_kept_is_not_run_again_for_a_lost_output(diamond: Project):
    """Its records stay: the key of what rests on it is found by walking them."""
    diamond.write(DIAMOND.replace('method = "ties"', 'method = "ties"\nkeep = false'))
    diamond.build()
    (diamond.root / "out" / "release" / "config.json").unlink()

    outcome = diamond.build()

    assert 0 == outcome.actions.run
    assert "built" == outcome.targets[0].state


def test_a_lost_index_costs_no_action(diamond: Project):
    """Records are rebuilt from what stands beside the packs."""
    diamond.build()
    shutil.rmtree(diamond.root / "cache" / "index")

    assert 0 == diamond.build().actions.run


def test_a_lost_cache_and_a_lost_output_are_built_anew_with_the_same_bytes(diamond: Project):
    diamond.build()
    before = diamond.hashes()
    shutil.rmtree(diamond.root / "cache")
    shutil.rmtree(diamond.root / "out")

    assert 3 * LIVE == diamond.build().actions.run
    assert before == diamond.hashes()


def test_a_pack_with_a_flipped_bit_heals_itself(diamond: Project):
    """Every read that feeds a computation is verified; a bad entry is a miss."""
    diamond.build()
    before = diamond.hashes()
    shutil.rmtree(diamond.root / "out")
    for pack in (diamond.root / "cache" / "packs").glob("*.safetensors"):
        data = bytearray(pack.read_bytes())
        data[-1] ^= 1
        pack.unlink()
        pack.write_bytes(data)

    diamond.build()

    assert before == diamond.hashes()


def test_a_target_that_was_an_intermediate_is_linked_and_not_written_again(diamond: Project):
    diamond.build("blend")
    packs = set((diamond.root / "cache" / "packs").iterdir())

    outcome = diamond.build("skills")

    assert 0 == outcome.actions.run
    assert (diamond.root / "out" / "skills" / "model.safetensors").stat().st_size == outcome.bytes.linked
    assert packs == set((diamond.root / "cache" / "packs").iterdir())


def test_a_target_that_is_to_hold_what_an_intermediate_holds_is_written_once(project: Project):
    """The file of a stack whose layers are those of what it is stacked from is the pack that is kept of that."""
    project.family()
    project.write("""\
[source]
code.from = "code"
math.from = "math"
[merge.blend]
method = "linear"
inputs = ["code", "math"]
[merge.release]
method = "passthrough"
slices = [{ model = "blend", layers = [0, 1] }, { model = "blend", layers = [1, 3] }]
""")

    outcome = project.build()

    (pack,) = (project.root / "cache" / "packs").glob("*.safetensors")
    assert pack.samefile(project.root / "out" / "release" / "model.safetensors")
    assert sum(path.stat().st_size for path in (project.root / "out" / "release").iterdir()) == outcome.bytes.written
    assert 0 == project.build("blend").actions.run
    assert pack.samefile(project.root / "out" / "blend" / "model.safetensors")


def test_seeds_change_random_merges_alone(diamond: Project):
    """Of dare and of slerp every tensor, of ties none."""
    diamond.build()
    diamond.write("seed = 7\n" + DIAMOND)

    assert 2 * LIVE == diamond.build().actions.run


def test_a_shorter_model_among_the_sources_is_found_before_work(diamond: Project):
    write_model(diamond.root / "math", random_tensors(9, layers=2))

    with pytest.raises(Exception, match="different numbers of layers"):
        diamond.build()

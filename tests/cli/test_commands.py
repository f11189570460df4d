"""Each command, run on a small project: what it prints where, and the code it ends with."""

from __future__ import annotations

import json
import re
import shutil

import pytest

import modelbuild
from modelbuild.cli.app import COMMANDS
from tests.cli.conftest import Program
from tests.support.projects import Project

CACHE = ("ls", "size", "gc", "verify", "clean")


@pytest.mark.parametrize("command", [*((name,) for name in COMMANDS), *(("cache", name) for name in CACHE)], ids="-".join)
def test_every_command_has_help_and_the_common_options(program: Program, command: tuple[str, ...]):
    ended = program(*command, "--help")

    assert 0 == ended.code
    assert ended.out.startswith(f"Usage: modelbuild {' '.join(command)}")
    assert len(command) > 1 or f"\n\n  {COMMANDS[command[0]]}\n" in ended.out
    for option in ("--file", "--directory", "--quiet", "--verbose", "--color", "--debug"):
        assert option in ended.out


def test_the_help_names_every_command_and_its_one_line_is_not_cut(program: Program):
    ended = program("--help")

    assert all(f"\n  {name} " in ended.out for name in COMMANDS)
    assert "..." not in ended.out.partition("Commands:")[2]


def test_version(program: Program):
    assert f"modelbuild {modelbuild.__version__}\n" == program("--version").out


@pytest.mark.parametrize(
    "arguments",
    [
        ("buld",),
        ("build", "--nope"),
        ("build", "--memory", "3X"),
        ("build", "-j", "-1"),
        ("build", "-j", "x"),
        ("status", "--color", "red"),
        ("show",),
    ],
    ids=" ".join,
)
def test_a_usage_error_ends_with_2(program: Program, arguments: tuple[str, ...]):
    ended = program(*arguments)

    assert 2 == ended.code
    assert "" == ended.out
    assert "Error: " in ended.err


def test_a_misspelt_command_is_told_the_nearest(program: Program):
    assert "No such command 'stauts'. Did you mean 'status'?" in program("stauts").err


def test_build_says_what_was_saved_on_stderr_and_nothing_on_stdout(program: Program, diamond: Project):
    first, second = program("build", "-C", diamond.root), program("-C", diamond.root, "build")

    assert (0, "") == (first.code, first.out)
    assert first.err.startswith("building release: up to 36 of 36 actions to run, ")
    assert f"wrote {diamond.root}/out/release (4 files)\n" in first.err
    assert first.err.splitlines()[-1].startswith("built release in ")
    assert ": 36 tensors, 0 reused, 36 merged, " in first.err.splitlines()[-1]
    assert (0, "") == (second.code, second.out)
    assert second.err.splitlines()[-1].startswith("release is fresh: 30 tensors, nothing to do (")


def test_build_quiet_says_nothing(program: Program, diamond: Project):
    ended = program("build", "-q", "-C", diamond.root)

    assert (0, "", "") == (ended.code, ended.out, ended.err)


def test_build_json_is_one_document_on_stdout(program: Program, diamond: Project):
    ended = program("build", "--json", "-C", diamond.root)

    table = json.loads(ended.out)
    target = {"name": "release", "path": f"{diamond.root}/out/release", "state": "built", "tensors": 30}
    assert [{**target, "point": {}, "run": 36, "reused": 0, "nbytes": 21_024}] == table["targets"]
    assert {"total": 36, "run": 36, "reused": 0} == table["actions"]
    assert {"read", "written", "linked"} == set(table["bytes"])
    assert {"aliased", "seconds", "peak_rss_bytes", "warnings", "exact", "problems"} <= set(table)


def test_build_verbose_has_a_line_for_every_action(program: Program, diamond: Project):
    ended = program("build", "-v", "-C", diamond.root)

    assert 36 == sum(line.startswith("merged ") and line.endswith(": not built before") for line in ended.err.splitlines())


def test_a_dry_run_is_data_and_changes_nothing(program: Program, diamond: Project):
    ended = program("build", "-n", "-C", diamond.root)

    assert 0 == ended.code
    assert ended.out.startswith("would run at most 36 of 36 actions, read at most ")
    assert not (diamond.root / "out").exists()


def test_a_dry_run_of_what_is_known_is_exact_and_explained(program: Program, built: Project):
    """t is another for every tensor of the slerp: twelve are live."""
    ended = program("build", "-n", "--explain", "--set", "merge.blend.t=0.5", "-C", built.root)

    *told, forecast, _ = ended.out.splitlines()
    recipe, told = told[:5], told[5:]
    assert re.fullmatch("release: stale, of its recipe these changed since build [0-9a-f]{8}:", recipe[0])
    assert "    merge.blend.t            nothing -> 0.5" == recipe[1]
    assert ["blend: 9 of 12 tensors are stale, these changed:", "    params.t  0.6 -> 0.5"] == told[:2]
    assert "    params.t  0.3 -> 0.5" in told
    assert forecast.startswith("would run 12 of 36 actions, read ")
    assert "note: with --set merge.blend.t=0.5\n" == ended.err
    each = program("build", "-n", "--explain", "-v", "--set", "merge.blend.t=0.5", "-C", built.root).out.splitlines()
    assert 9 == each.count("    params.t  0.6 -> 0.5")
    assert "blend::model.embed_tokens.weight: stale, these changed:" in each


def test_explain_talks_where_stdout_is_json(program: Program, diamond: Project):
    ended = program("build", "-n", "--explain", "--json", "-C", diamond.root)

    assert "stale" == json.loads(ended.out)["targets"][0]["state"]
    assert "blend: all 12 tensors are pending, `skills`, `talk` to be built first\n" in ended.err


def test_status_ends_with_1_where_asked_to_and_stale(program: Program, built: Project):
    fresh = program("status", "--exit-code", "-C", built.root)
    stale = program("status", "--exit-code", "-C", built.root, "--set", "seed=3")

    assert (0, 1, 0) == (fresh.code, stale.code, program("status", "-C", built.root, "--set", "seed=3").code)
    assert f"release  fresh  {built.root}/out/release\n" == fresh.out
    assert "note: with --set seed=3\n" == stale.err


def test_status_json(program: Program, diamond: Project):
    (target,) = json.loads(program("status", "--json", "-C", diamond.root).out)["targets"]

    assert ("release", "stale", 36, 36) == (target["name"], target["state"], target["stale"], target["actions"])


def test_explain_takes_a_target_or_one_of_its_tensors(program: Program, built: Project):
    one = program("explain", "release::model.norm.weight", "-C", built.root, "--set", "merge.blend.t=0.5")
    table = json.loads(program("explain", "release", "--json", "-C", built.root).out)

    expected = """\
blend::model.norm.weight: stale, these changed:
    params.t  0.6 -> 0.5
2 tensors are fresh: nothing changed since the last build
"""
    assert expected == one.out
    assert 36 == len(table["tensors"])
    assert {"tensor", "state", "why", "changes"} == set(table["tensors"][0])


def test_show_json_has_whole_keys(program: Program, built: Project):
    table = json.loads(program("show", "blend", "--json", "-C", built.root).out)

    tensor = table["tensors"][0]
    assert ("slerp", [40, 16], 64) == (tensor["method"], tensor["shape"], len(tensor["key"]))


@pytest.mark.parametrize(
    ("form", "start"),
    [("text", "release  passthrough\n"), ("mermaid", "flowchart LR\n"), ("dot", "digraph modelfile {\n"), ("json", "{\n")],
)
def test_graph_draws_in_four_ways(program: Program, diamond: Project, form: str, start: str):
    ended = program("graph", "--format", form, "-C", diamond.root)

    assert 0 == ended.code
    assert ended.out.startswith(start)


def test_methods_json_has_null_for_any_number_of_inputs(program: Program):
    (ties,) = json.loads(program("methods", "ties", "--json").out)["methods"]

    assert [1, None] == ties["inputs"]
    assert {"name": "density", "kind": "float", "per": "input", "default": "1.0", "range": "from 0 to 1"} == ties["params"][0]


def test_clean_removes_outputs_and_their_stamps_alone(program: Program, built: Project):
    stamps = built.root / "cache" / "stamps"
    shutil.rmtree(stamps, ignore_errors=True)
    stamps.mkdir()
    (stamps / "ours.json").write_text(json.dumps({"outputs": {str((built.root / "out/release/config.json").resolve()): []}}))
    (stamps / "other.json").write_text(json.dumps({"outputs": {"/elsewhere/config.json": []}}))

    ended = program("clean", "-C", built.root)

    assert ended.out.startswith(f"removed {built.root}/out/release (4 files, ")
    assert not (built.root / "out/release").exists()
    assert ["other.json"] == [path.name for path in stamps.iterdir()]
    assert 0 == built.build().actions.run


def test_clean_quiet_json_and_nothing_there(program: Program, diamond: Project):
    quiet, table = program("clean", "-q", "-C", diamond.root), json.loads(program("clean", "--json", "-C", diamond.root).out)

    assert "" == quiet.out
    assert {"removed": [], "absent": ["skills", "talk", "blend", "release"], "stamps": 0} == table


def test_cache_commands_work_where_the_modelfile_is_broken(program: Program, built: Project):
    built.write('[cache]\nmax_size = "1KB"\n[merge.release]\nmethod = "nope"\n')

    size = json.loads(program("cache", "size", "--json", "-C", built.root).out)
    listing = json.loads(program("cache", "ls", "--json", "-C", built.root).out)
    collected = json.loads(program("cache", "gc", "--json", "-C", built.root).out)

    assert (4, 1000) == (size["packs"], size["limit"])
    assert [()] * 4 == [tuple(pack["outputs"]) for pack in listing["packs"]]
    assert 4 == len(collected["packs"])


def test_cache_ls_names_the_outputs_that_a_pack_is_part_of(program: Program, built: Project):
    ended = program("cache", "ls", "-C", built.root)

    assert 1 == ended.out.count(f"{built.root}/out/release\n")
    assert ended.out.splitlines()[-1].startswith(f"4 packs in {built.root}/cache, ")


def test_cache_verify_ends_with_4_where_something_was_wrong(program: Program, built: Project):
    sound = program("cache", "verify", "-C", built.root)
    pack = min((built.root / "cache/packs").glob("*.safetensors"))
    pack.chmod(0o644)
    pack.write_bytes(pack.read_bytes()[:-1] + b"\xee")

    broken = program("cache", "verify", "-C", built.root)

    assert (0, 4) == (sound.code, broken.code)
    assert sound.out.endswith(": all sound\n")
    assert f"  {pack.stem[:12]}\n" in broken.out


def test_cache_clean_says_how_much_goes_and_leaves_what_is_not_its_own(program: Program, built: Project):
    (built.root / "cache/README.md").write_text("mine")

    ended = program("cache", "clean", "-C", built.root)

    assert ended.out.startswith(f"removing 4 packs and what else {built.root}/cache holds, ")
    assert "\nwith them go the log of 1 build, which `restore`" in ended.out
    assert {"README.md", "CACHEDIR.TAG", ".gitignore"} == {path.name for path in (built.root / "cache").iterdir()}
    assert (built.root / "out/release/model.safetensors").is_file()


def test_the_environment_says_where_the_cache_is(program: Program, diamond: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MODELBUILD_CACHE", str(diamond.root / "elsewhere"))

    program("build", "-C", diamond.root)

    assert (diamond.root / "elsewhere/packs").is_dir()
    assert not (diamond.root / "cache").exists()


def test_init_writes_one_modelfile_and_no_second(program: Program, project: Project):
    first, second = program("init", project.root / "new"), program("init", project.root / "new")

    assert (0, 2) == (first.code, second.code)
    assert first.out.startswith(f"wrote {project.root}/new/Modelfile.toml: ")
    assert second.err.startswith("error: there is a Modelfile already at ")


def test_init_takes_the_common_options(program: Program, project: Project):
    program("init", "new", "-C", project.root, "-f", "mine.toml", "-q")

    assert (project.root / "new/mine.toml").is_file()


def test_the_log_lists_builds_and_restore_makes_the_first_again(program: Program, built: Project):
    program("build", "-q", "-C", built.root, "--set", "merge.blend.t=0.5")
    table = json.loads(program("log", "--json", "-C", built.root).out)
    last, first = (build["id"] for build in table["builds"])

    listed, whole = program("log", "-C", built.root), json.loads(program("log", first, "--json", "-C", built.root).out)
    differ = program("diff", first, "release", "--exit-code", "-C", built.root)
    restored = json.loads(program("restore", first, "--json", "-C", built.root).out)["restored"]
    same = program("diff", first, "release", "--exit-code", "--json", "-C", built.root)

    assert [last, first] == [line.split()[0] for line in listed.out.splitlines() if not line.startswith(" ")]
    assert (first, (built.root / "Modelfile.toml").read_text()) == (whole["build"]["id"], *whole["texts"].values())
    assert (1, "linked") == (differ.code, restored[0]["how"])
    assert differ.out.splitlines()[-1].startswith("12 tensors differ, 18 are equal; ")
    assert (0, {"equal", "compared"}, True) == (same.code, set(json.loads(same.out)), json.loads(same.out)["equal"])
    assert "    merge.blend.t            nothing -> 0.5" in differ.out.splitlines()
    assert 2 == program("restore", "ffff0000", "-C", built.root).code


def test_why_ends_with_1_where_neither_rests_on_the_other(program: Program, built: Project):
    path, none = program("why", "math", "release", "-C", built.root), program("why", "skills", "talk", "-C", built.root)

    assert (0, 1) == (path.code, none.code)
    assert ["math", "skills", "blend", "release"] == [line.split()[min(i, 1)] for i, line in enumerate(path.out.splitlines()[1:])]
    assert "talk does not rest on skills, nor skills on talk\n" == none.out

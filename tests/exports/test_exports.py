"""Exports as targets: made where something changed and only there, published whole, never over what is somebody else's."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from modelbuild import usecases as use_cases
from modelbuild.cache import stattable
from modelbuild.errors import Exit, ModelbuildError
from modelbuild.events import Event, Warned
from modelbuild.report.summary import forecast
from modelbuild.usecases import Options, stamp
from tests.cli.test_start_up import HEAVY, imported
from tests.support.checkpoints import random_tensors
from tests.support.projects import Project

EXPORT = """\
[export.copy]
of = "release"
format = "command"
converter = ["python", "convert.py", "{model}", "{out}"]
[check.loads]
kind = "loads"
of = "blend"
"""
"""What it is made of need not load, which takes seconds."""

FIT = """[check.fit]
kind = "command"
run = ["sh", "-c", "cp {root}/score.json {scores}"]
files = ["score.json"]
min = 1
"""

CONVERT = """\
import pathlib, sys
model, out = map(pathlib.Path, sys.argv[1:])
print("converting")
out.write_bytes(b"made of " + (model / "config.json").read_bytes() + (model / "model.safetensors").read_bytes())
"""

FAILING = "import sys\nprint('no such tensor')\nsys.exit(3)\n"


@pytest.fixture
def aged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what was read of files be believed although they are young."""
    monkeypatch.setattr(stattable, "RACY_NS", 0)
    monkeypatch.setattr(stamp, "_RACY_NS", 0)


@pytest.fixture
def exported(diamond: Project) -> Project:
    """A project with an export that a small program makes."""
    diamond.write((diamond.root / "Modelfile.toml").read_text() + EXPORT)
    (diamond.root / "convert.py").write_text(CONVERT)
    return diamond


def states(project: Project, *targets: str) -> list[str]:
    return [target.state for target in project.build(*targets).targets]


def told(project: Project) -> dict[str, tuple[str, ...]]:
    """What `status` says of each target that is stale."""
    return {one.name: one.reasons for one in use_cases.status(project.where, ("copy",)) if one.state == "stale"}


@pytest.mark.usefixtures("aged")
def test_an_export_is_made_where_its_target_its_definition_or_its_maker_changed(exported: Project):
    assert ["built", "built"] == states(exported, "copy")
    assert (exported.root / "out/copy").read_bytes().startswith(b"made of {")
    assert ["fresh", "fresh"] == states(exported, "copy")
    assert {} == told(exported)

    exported.edit("value = 0.6 }]", "value = 0.7 }]")
    assert ("`release` is stale",) == told(exported)["copy"]
    assert ["built", "built"] == states(exported, "copy")

    (exported.root / "convert.py").write_text(CONVERT + "# another\n")
    assert {"copy": ("`release`, its own definition or what makes it changed",)} == told(exported)
    assert ["fresh", "built"] == states(exported, "copy")

    exported.edit('"{out}"]', '"{out}"]\npath = "elsewhere"')
    assert {"copy": ("it is not there, or was touched",)} == told(exported)
    assert ["fresh", "built"] == states(exported, "copy")
    assert (exported.root / "elsewhere").read_bytes() == (exported.root / "out/copy").read_bytes()


@pytest.mark.usefixtures("aged")
def test_a_forecast_says_which_exports_would_be_made(exported: Project):
    exported.build("release")

    told = use_cases.forecast(exported.where, ("copy",))

    assert ["fresh", "stale"] == [target.state for target in told.targets]
    assert told.bytes.written > 0
    assert not (exported.root / "out/copy").exists()


def test_renaming_a_target_or_an_export_makes_nothing_new(exported: Project):
    exported.build("copy")
    before = (exported.root / "out/copy").stat().st_mtime_ns
    exported.edit("[export.copy]", '[export.twin]\npath = "out/copy"')

    assert ["fresh", "fresh"] == states(exported, "twin")
    assert before == (exported.root / "out/copy").stat().st_mtime_ns


def test_exports_are_built_by_default_where_the_default_names_them(exported: Project):
    assert ["built"] == states(exported)

    exported.write('default = ["copy"]\n' + (exported.root / "Modelfile.toml").read_text())

    assert ["fresh", "built"] == states(exported)


@pytest.mark.usefixtures("aged")
def test_a_null_build_with_an_export_imports_nothing_heavy(exported: Project):
    exported.build("copy")

    assert set() == imported("-C", str(exported.root), "build", "copy") & {*HEAVY, "gguf"}


@pytest.mark.slow
@pytest.mark.usefixtures("aged")
def test_a_build_that_finds_an_export_of_floats_fresh_imports_no_torch(exported: Project):
    """Also without a stamp: what the architecture said of linear layers is remembered."""
    from tests.exports.models import write_project

    write_project(exported, '[export.small]\nof = "release"\nformat = "fp8"\n[check.loads]\nkind = "loads"\nof = "release"\n')
    assert ["built", "built"] == states(exported, "small")
    shutil.rmtree(exported.root / "cache/stamps")

    assert set() == imported("-C", str(exported.root), "build", "-n", "small") & {"torch", "transformers"}
    assert set() == imported("-C", str(exported.root), "build", "small") & {"torch", "transformers"}
    assert set() == imported("-C", str(exported.root), "build", "small") & {*HEAVY}


def test_a_converter_that_fails_is_quoted_and_the_old_file_stands(exported: Project):
    exported.build("copy")
    before = (exported.root / "out/copy").read_bytes()
    (exported.root / "convert.py").write_text(FAILING)

    outcome = exported.build("copy")

    assert Exit.ACTION_FAILED == outcome.exit_code
    assert ["fresh", "failed"] == [target.state for target in outcome.targets]
    assert ("no such tensor",) == outcome.problems[0].facts
    assert before == (exported.root / "out/copy").read_bytes()
    assert [] == [path.name for path in (exported.root / "out").glob(".*")]


@pytest.fixture
def fitting(exported: Project) -> Project:
    """One whose release has to pass a check, and does."""
    exported.write((exported.root / "Modelfile.toml").read_text() + FIT)
    (exported.root / "score.json").write_text('{"score": 1}')
    return exported


def test_no_export_is_made_of_what_fails_its_checks(fitting: Project):
    """Unless it is asked for, and then that is said."""
    told: list[Event] = []
    passed = states(fitting, "copy")
    before = (fitting.root / "out/copy").read_bytes()
    (fitting.root / "score.json").write_text('{"score": 0}')
    (fitting.root / "convert.py").write_text(CONVERT + "# another\n")

    refused = fitting.build("copy")

    assert ["built", "built"] == passed
    assert Exit.ACTION_FAILED == refused.exit_code
    assert ["fresh", "failed"] == [target.state for target in refused.targets]
    assert ["`release` fails its check `fit`"] == [problem.what for problem in refused.problems]
    assert before == (fitting.root / "out/copy").read_bytes()

    unchecked = use_cases.build(fitting.where, ("copy",), Options(no_check=True), told.append)

    assert Exit.DONE == unchecked.exit_code
    assert Warned("--no-check: nothing was checked of release") in told


@pytest.mark.usefixtures("aged")
@pytest.mark.parametrize("by", ["its bound", "what it reads", "what is new there"])
def test_an_export_that_stands_is_asked_about_again_when_a_check_changes(fitting: Project, by: str):
    """As if it were new, whatever the last build left; it is not removed, and that is said."""
    (fitting.root / "data").mkdir()
    (fitting.root / "data/one").write_text("1")
    fitting.edit('["score.json"]', '["score.json", "data/*"]')
    fitting.edit("cp {root}/score.json {scores}", "cp {root}/data/two {scores} || cp {root}/score.json {scores}")
    fitting.build("copy")
    before = (fitting.root / "out/copy").read_bytes()
    assert list((fitting.root / "cache/stamps").iterdir())
    if by == "its bound":
        fitting.edit("min = 1", "min = 2")
    elif by == "what is new there":
        (fitting.root / "data/two").write_text('{"score": 0}')
    else:
        (fitting.root / "score.json").write_text('{"score": 0}')

    refused, again = fitting.build("copy"), fitting.build("copy")
    unchecked, still = fitting.build("copy", no_check=True), fitting.build("copy")

    stands = f"`copy` stands as it was made before: {fitting.root / 'out/copy'}"
    for one in (refused, again, still):
        assert (Exit.ACTION_FAILED, ["fresh", "failed"]) == (one.exit_code, [target.state for target in one.targets])
        assert ["`release` fails its check `fit`"] == [problem.what for problem in one.problems]
        assert stands in one.warnings
    assert (Exit.DONE, ["fresh", "fresh"]) == (unchecked.exit_code, [target.state for target in unchecked.targets])
    assert before == (fitting.root / "out/copy").read_bytes()


@pytest.mark.usefixtures("aged")
def test_a_forecast_names_what_would_be_made_and_the_check_that_would_not_let_it(fitting: Project):
    """From records: nothing is measured, and of what no record tells nothing is said."""
    new = forecast(use_cases.forecast(fitting.where, ("copy",))).splitlines()[2:]
    fitting.build("copy")
    fresh = forecast(use_cases.forecast(fitting.where, ("copy",))).splitlines()[1:]
    fitting.edit("min = 1", "min = 2")
    standing = forecast(use_cases.forecast(fitting.where, ("copy",))).splitlines()[1:]
    (fitting.root / "convert.py").write_text(CONVERT + "# another\n")
    doomed = forecast(use_cases.forecast(fitting.where, ("copy",))).splitlines()[2:]
    unchecked = forecast(use_cases.forecast(fitting.where, ("copy",), Options(no_check=True))).splitlines()[2:]
    (fitting.root / "score.json").write_text('{"score": 3}')
    unmeasured = forecast(use_cases.forecast(fitting.where, ("copy",))).splitlines()[2:]

    changed = "would make copy: `release`, its own definition or what makes it changed"
    assert ["would make copy: `release` is stale"] == new
    assert [] == fresh
    assert ["  `release` fails its check `fit`, so copy stands, and the build would fail: score 1; not at least 2"] == standing
    assert [changed, "  `release` fails its check `fit`, so copy would not be made: score 1; not at least 2"] == doomed
    assert [changed] == unchecked == unmeasured


def test_two_exports_of_a_merge_that_cannot_be_measured_ask_once(fitting: Project):
    fitting.write(
        (fitting.root / "Modelfile.toml").read_text().replace("cp {root}", "echo x >> {root}/asked; exit 1; cp {root}")
        + EXPORT.partition("[check")[0].replace("export.copy", "export.twin")
    )

    outcome = fitting.build("copy", "twin", keep_going=True)

    assert (Exit.ACTION_FAILED, ["built", "failed", "failed"]) == (outcome.exit_code, [target.state for target in outcome.targets])
    assert 1 == len(outcome.problems)
    assert "x\n" == (fitting.root / "asked").read_text()


@pytest.mark.parametrize("use", [use_cases.card, partial(use_cases.push, to="hf://lab/copy"), use_cases.view_report])
def test_an_export_is_not_taken_for_its_merge_where_one_merge_is_meant(exported: Project, use: Callable[..., object]):
    """Who publishes `copy` means what the converter made, which is not what would be sent."""
    with pytest.raises(ModelbuildError, match=r"`copy` is no merge\n.*\n  it is an export of `release`") as error:
        use(exported.where, "copy")

    assert Exit.USAGE == error.value.exit_code


def test_a_converter_that_leaves_nothing_has_failed(exported: Project):
    (exported.root / "convert.py").write_text("")

    assert 'the converter of `copy` left nothing at "{out}"' == exported.build("copy").problems[0].what


def test_a_converter_that_is_not_there_is_an_error_with_a_way_out(exported: Project):
    exported.edit('"python", ', '"no-such-program", ')

    outcome = exported.build("copy")

    assert "the converter `no-such-program` does not run" == outcome.problems[0].what
    assert Exit.USAGE == outcome.exit_code


def test_a_converter_may_leave_a_directory_that_is_replaced_as_a_whole(exported: Project):
    (exported.root / "convert.py").write_text(
        "import pathlib, sys\nout = pathlib.Path(sys.argv[2])\nout.mkdir()\n(out / 'one').write_text('1')\n"
    )
    exported.build("copy")
    (exported.root / "convert.py").write_text(
        "import pathlib, sys\nout = pathlib.Path(sys.argv[2])\nout.mkdir()\n(out / 'two').write_text('2')\n"
    )
    exported.build("copy")

    assert ["modelbuild.json", "two"] == sorted(path.name for path in (exported.root / "out/copy").iterdir())


def test_ctrl_c_while_a_converter_is_being_started_ends_it_too(exported: Project, monkeypatch: pytest.MonkeyPatch):
    """It waits until it is known what there is to end."""
    started: list[subprocess.Popen[str]] = []

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)
            signal.raise_signal(signal.SIGINT)

    exported.build("release")
    (exported.root / "convert.py").write_text("import time\ntime.sleep(300)\n")
    monkeypatch.setattr(subprocess, "Popen", Interrupted)

    with pytest.raises(KeyboardInterrupt):
        exported.build("copy", no_check=True)

    assert [-signal.SIGTERM] == [process.returncode for process in started]
    assert signal.default_int_handler is signal.getsignal(signal.SIGINT)


def test_links_out_of_what_a_converter_leaves_are_refused(exported: Project):
    (exported.root / "convert.py").write_text("import os, sys\nos.symlink('/etc/passwd', sys.argv[2])\n")

    assert Exit.UNSAFE == exported.build("copy").exit_code
    assert not (exported.root / "out/copy").is_symlink()


def test_a_file_that_modelbuild_did_not_write_is_not_replaced(exported: Project):
    (exported.root / "out").mkdir()
    (exported.root / "out/copy").write_text("mine")

    with pytest.raises(ModelbuildError, match="is a file that modelbuild did not write") as error:
        exported.build("copy")

    assert Exit.UNSAFE == error.value.exit_code
    assert "mine" == (exported.root / "out/copy").read_text()
    assert not (exported.root / "out/release").exists()


def test_a_file_of_a_converter_is_known_without_the_cache(exported: Project):
    """By the receipt beside it, which speaks of this file and of no other."""
    exported.build("copy", no_check=True)
    shutil.rmtree(exported.root / "cache")

    assert ["built", "built"] == [target.state for target in exported.build("copy", no_check=True).targets]

    shutil.rmtree(exported.root / "cache")
    (exported.root / "out/copy").write_text("mine")
    with pytest.raises(ModelbuildError, match=r"`.*/out/copy` is a file that modelbuild did not write"):
        exported.build("copy", no_check=True)


def test_a_receipt_that_is_none_is_somebody_elses(exported: Project):
    (exported.root / "out").mkdir()
    (exported.root / "out/copy.modelbuild.json").write_text('{"mine": 1}')

    with pytest.raises(ModelbuildError, match=r"copy\.modelbuild\.json` is a file that modelbuild did not write"):
        exported.build("copy", no_check=True)


def test_an_export_changes_from_a_file_to_a_directory_and_back(exported: Project):
    """And nothing is left of what it was."""
    exported.build("copy", no_check=True)
    (exported.root / "convert.py").write_text(
        "import pathlib, sys\nout = pathlib.Path(sys.argv[2])\nout.mkdir()\n(out / 'one').write_text('1')\n"
    )
    exported.build("copy", no_check=True)

    assert ["modelbuild.json", "one"] == sorted(path.name for path in (exported.root / "out/copy").iterdir())
    assert ["copy", "release"] == sorted(path.name for path in (exported.root / "out").iterdir())

    (exported.root / "convert.py").write_text(CONVERT)
    exported.build("copy", no_check=True)

    assert (exported.root / "out/copy").is_file()
    assert ["copy", "copy.modelbuild.json", "release"] == sorted(path.name for path in (exported.root / "out").iterdir())


def test_what_a_killed_build_moved_aside_is_back_although_the_next_one_fails(exported: Project):
    """An export, and an output; which is first of all."""
    exported.build("copy", no_check=True)
    before = (exported.root / "out/copy").read_bytes()
    (exported.root / "out/copy").rename(exported.root / "out/.copy.old-01234567")
    (exported.root / "out/release").rename(exported.root / "out/.release.old-01234567")
    broken = random_tensors(1)
    for values in broken.values():
        values.fill(np.nan)
    exported.model("code", broken)

    assert Exit.ACTION_FAILED == exported.build("copy", no_check=True).exit_code

    assert before == (exported.root / "out/copy").read_bytes()
    assert (exported.root / "out/release/modelbuild.json").is_file()


def test_an_export_that_may_be_made_of_two_models_is_none(exported: Project):
    """Another build replaces the output while the converter reads it."""
    (exported.root / "convert.py").write_text(
        CONVERT
        + "import shutil\nshutil.copytree(model, str(model) + '2')\nshutil.rmtree(model)\npathlib.Path(str(model) + '2').rename(model)\n"
    )

    outcome = exported.build("copy", no_check=True)

    assert Exit.SOURCE == outcome.exit_code
    assert ["`release` was replaced while `copy` was made of it"] == [problem.what for problem in outcome.problems]
    assert ["release"] == [path.name for path in (exported.root / "out").iterdir()]


def test_exports_are_cleaned_with_the_outputs(exported: Project):
    exported.build("copy")

    cleaned = use_cases.clean(exported.where, ("copy",))

    assert ["copy"] == [one.target for one in cleaned.removed]
    assert ["release"] == [path.name for path in (exported.root / "out").iterdir()]
    assert ["fresh", "built"] == states(exported, "copy")
    assert ["release", "copy"] == [one.target for one in use_cases.clean(exported.where).removed]


def test_a_file_of_gguf_is_known_without_the_cache(exported: Project):
    pytest.importorskip("gguf")
    from tests.exports.models import write_project

    write_project(exported, '[export.small]\nof = "release"\nformat = "gguf"\n')
    exported.build("small", no_check=True)
    shutil.rmtree(exported.root / "cache")

    assert ["built", "built"] == [target.state for target in exported.build("small", no_check=True).targets]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('of = "release"', 'of = "releas"', "no merge is called `releas`"),
        ('of = "release"', 'of = "base"', "no merge is called `base`"),
        ("[export.copy]", "[export.blend]", "`blend` is both a merge and an export"),
        ('format = "command"', 'format = "ggml"', "`format` must be one of gguf, fp8, int8, int4, command"),
        ('format = "command"', 'format = "fp8"', "`converter` has no meaning for the format fp8"),
        (', "{out}"]', "]", "the converter is not told where to write"),
        ('"{out}"]', '"{out}"]\ntype = "q8_0"', "`type` has no meaning for the format command"),
        ('"{out}"]', '"{out}"]\npath = "base"', "the export `copy` would overwrite source `base`"),
        ('"{out}"]', '"{out}"]\npath = "out/blend/x"', "the export `copy` would lie within the output of `blend`"),
        ('"{out}"]', '"{out}"]\nto = "x"', "unknown key `to`"),
    ],
)
def test_what_is_wrong_with_an_export_is_said_with_its_place(exported: Project, old: str, new: str, message: str):
    exported.write((exported.root / "Modelfile.toml").read_text().replace(old, new))

    with pytest.raises(ModelbuildError) as error:
        exported.build(*_named(exported))

    assert message in str(error.value)
    assert "Modelfile.toml:" in str(error.value)
    assert Exit.USAGE == error.value.exit_code


def _named(project: Project) -> tuple[str, ...]:
    return ("copy",) if "[export.copy]" in (project.root / "Modelfile.toml").read_text() else ()


def test_the_program_prints_what_it_exports_on_stderr(exported: Project):
    done = subprocess.run(
        [sys.executable, "-m", "modelbuild", "-C", str(exported.root), "build", "copy"], capture_output=True, text=True, check=True
    )

    assert "" == done.stdout
    assert f"exporting release as copy (command) wrote {exported.root / 'out/copy'} (1 file)" in " ".join(done.stderr.split())

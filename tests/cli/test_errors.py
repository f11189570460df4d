"""What errors a user meets say, letter by letter, at 60, 80 and 120 columns: tests/cli/screens/errors-GROUP-COLUMNS.txt.

To add one, add to `ERRORS` what is wrong and the command that finds it; `screens.py` says how its text is written.
"""

from __future__ import annotations

import ast
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelbuild import usecases as use_cases
from modelbuild.cache.builds import Builds
from modelbuild.usecases.logbook import cache_of
from tests.build.test_broken_modelfiles import BROKEN, SOUND
from tests.cli.conftest import Program
from tests.cli.screens import Screens
from tests.support.checkpoints import random_tensors
from tests.support.projects import Project

Wrong = Callable[[Project], None]

ROOT = Path(__file__).parent.parent.parent


def edit(*changes: tuple[str, str]) -> Wrong:
    """Change the sound Modelfile."""

    def wrong(project: Project) -> None:
        for old, new in changes:
            project.edit(old, new)

    return wrong


def more(text: str) -> Wrong:
    """Add to the sound Modelfile."""
    return lambda project: project.write(SOUND + text)


def files(**texts: str | bytes) -> Wrong:
    """Write files: `base__config_json` is base/config.json."""

    def wrong(project: Project) -> None:
        for name, text in texts.items():
            path = project.root / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text.encode() if isinstance(text, str) else text)

    return wrong


def gone(*names: str) -> Wrong:
    def wrong(project: Project) -> None:
        for name in names:
            (project.root / name).unlink()

    return wrong


def both(*wrongs: Wrong) -> Wrong:
    def wrong(project: Project) -> None:
        for one in wrongs:
            one(project)

    return wrong


def taller(project: Project) -> None:
    project.model("code", random_tensors(1, 4))


def other_names(project: Project) -> None:
    tensors = dict(random_tensors(1, 3))
    tensors["model.layers.0.mlp.extra.weight"] = tensors.pop("model.layers.0.mlp.up_proj.weight")
    project.model("code", tensors)


def narrower(project: Project) -> None:
    project.model("code", {name: values[:, :-1] if name == "lm_head.weight" else values for name, values in random_tensors(1).items()})


def truncated(project: Project) -> None:
    path = project.root / "code/model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def foreign(project: Project) -> None:
    project.build()
    (project.root / "out/release/mine.txt").write_text("mine")


def in_the_way(project: Project) -> None:
    (project.root / "out").mkdir()
    (project.root / "out/release").write_text("mine")


def locked(then: Wrong) -> Wrong:
    """Lock the sound project first."""

    def wrong(project: Project) -> None:
        use_cases.lock(project.where)
        then(project)

    return wrong


def twice(project: Project) -> None:
    """Build one merge, then both."""
    project.build("release")
    project.build("skills", "release", overrides=["merge.skills.density=0.6"])


def another(project: Project) -> None:
    """Build a merge that the Modelfile did not have."""
    project.write(SOUND + '[merge.other]\nmethod = "linear"\ninputs = ["base", "code"]\n')
    project.build("other")


def twice_and(then: Wrong) -> Wrong:
    return both(twice, then)


def misremembered(project: Project) -> None:
    """Have the log say that a build left an output which its packs are not."""
    project.build()
    cache = cache_of(project.where)
    builds = Builds(cache.index, project.where.file)
    past = builds.all()[0]
    builds.remember(replace(past, id="c0000001", outputs=(replace(past.outputs[0], identity="0" * 64),)), [])
    cache.close()


TOKENIZER = 'tokenizer = { source = "union" }\n'

ERRORS: dict[str, dict[str, tuple[Wrong, str]]] = {
    "modelfile": {
        **{kind: (edit(change), "status") for kind, (change, _, _) in BROKEN.items()},
        "several at once": (edit(("density = 0.5", "densitee = 0.5"), ('"code", "math"]', '"cod", "math"]')), "status"),
        "no base": (edit(('base = "base"\n', "")), "status"),
        "a value of another type": (edit(("density = 0.5", 'density = "half"')), "status"),
        "a parameter of one input": (edit(('"code", "math"]', '{ model = "code", normalize = true }, "math"]')), "status"),
        "a name that is taken": (more('[source.skills]\nfrom = "code"\n'), "status"),
        "a version of the future": (edit(("[source.base]", "version = 2\n[source.base]")), "status"),
        "a variable that is not there": (edit(("density = 0.5", 'density = "${half}"')), "status"),
        "a default that is no merge": (edit(("[source.base]", 'default = ["nope"]\n[source.base]')), "status"),
        "both tokenizer and vocabulary": (more(f'vocabulary = "common"\n{TOKENIZER}'), "status"),
        "a base that is not among the inputs": (
            edit(('inputs = ["base", "skills"]', 'inputs = ["base", "skills"]\nbase = "code"')),
            "status",
        ),
        "a Modelfile that is too large": (files(Modelfile_toml="#" * (1 << 25)), "status"),
        "a Modelfile that is no text": (files(Modelfile_toml=b"\xff\xfe"), "status"),
        "no Modelfile": (gone("Modelfile.toml"), "status"),
        "another Modelfile": (lambda project: None, "status -f nope.toml"),
        "a directory for a Modelfile": (lambda project: None, "status -f base"),
        "--set of nothing": (lambda project: None, "status --set merge.nope"),
        "--set of what is not there": (lambda project: None, "status --set merge.skills.densitee=0.5"),
    },
    "models": {
        "shapes that differ": (narrower, "status"),
        "names that differ": (other_names, "status"),
        "numbers of layers that differ": (taller, "status"),
        "slices of unlike length": (
            edit(
                (
                    'method = "slerp"\ninputs = ["base", "skills"]\nt = [{ filter = "mlp", value = 0.3 }, { value = 0.6 }]',
                    'method = "slerp"\nt = 0.5\nslices = [{ inputs = [{ model = "base", layers = [0, 3] }, { model = "skills", layers = [0, 2] }] }]',
                )
            ),
            "status",
        ),
        "a union of tokens without a tokenizer": (more(TOKENIZER), "status"),
        "NaN in a source": (
            lambda project: project.model("code", {name: values * float("nan") for name, values in random_tensors(1, 3).items()}),
            "build -j 1",
        ),
        "an overflow": (edit(("density = 0.5", 'density = 0.5\nlambda = 1e30\ndtype = "float16"')), "build -j 1"),
    },
    "sources": {
        "a directory without weights": (gone("code/model.safetensors"), "status"),
        "pickles": (both(gone("code/model.safetensors"), files(code__pytorch_bin=b"x")), "status"),
        "GGUF": (both(edit(('from = "code"', 'from = "code.gguf"')), files(code_gguf=b"GGUF")), "status"),
        "no safetensors": (files(code__model_safetensors=b"not one"), "status"),
        "a truncated file": (truncated, "status"),
        "a shard that is missing": (
            both(
                gone("code/model.safetensors"), files(code__model_safetensors_index_json='{"weight_map": {"a": "model-00001.safetensors"}}')
            ),
            "status",
        ),
        "a shard outside": (
            both(
                gone("code/model.safetensors"),
                files(code__model_safetensors_index_json='{"weight_map": {"a": "../base/model.safetensors"}}'),
            ),
            "status",
        ),
        "no place on the hub": (edit(('from = "code"', 'from = "hf://code"')), "status"),
        "a hub that may not be asked": (edit(('from = "code"', 'from = "hf://someone/code"')), "build --offline"),
        "a config.json that is none": (files(code__config_json="{"), "status"),
    },
    "commands": {
        "a target that is none": (lambda project: None, "build nope"),
        "a target that is a source": (lambda project: None, "build base"),
        "a source to be read elsewhere that is none": (lambda project: None, "build --source nope=base"),
        "a device that is none": (lambda project: None, "build --device abacus"),
        "too little memory": (lambda project: None, "build --memory 1KB"),
        "files of others in an output": (foreign, "build --force"),
        "a file where an output would be": (in_the_way, "build"),
        "an output where a source is": (edit(('method = "slerp"', 'method = "slerp"\noutput.path = "base"')), "build"),
        "clean where a source is": (edit(('method = "slerp"', 'method = "slerp"\noutput.path = "base"')), "clean"),
        "no lock": (lambda project: None, "build --locked"),
        "a lock that is not there": (lambda project: None, "lock --check"),
        "a lock of another Modelfile": (locked(edit(("density = 0.5", "density = 0.6"))), "build --locked"),
        "a source other than locked": (locked(lambda project: project.model("code", random_tensors(7, 3))), "build --locked"),
        "a lock that is none": (files(Modelfile_lock="{"), "build"),
        "a configuration with what nobody knows": (
            files(merge_yml="merge_method: slurp\nmodels: [{model: base, wieght: 1}]\ndtipe: bfloat16\n"),
            "build merge.yml",
        ),
        "a file that is there already": (
            both(files(merge_yml="merge_method: linear\nmodels: [{model: base}, {model: code}]\n"), files(there_toml="")),
            "import merge.yml -o there.toml",
        ),
        "two merges of one name": (
            files(
                merge_yml="name: a\nmerge_method: linear\nmodels: [{model: base}]\n---\nname: a\nmerge_method: linear\nmodels: [{model: base}]\n"
            ),
            "import merge.yml",
        ),
        "YAML that merges what is no table": (files(merge_yml="<<: 3\nmerge_method: linear\n"), "import merge.yml"),
        "rules by layers, for mergekit": (
            edit(('{ filter = "mlp", value = 0.3 }', '{ filter = "mlp", layers = [0, 2], value = 0.3 }')),
            "export release",
        ),
        "a second rounding, for mergekit": (edit(('method = "slerp"', 'method = "slerp"\noutput.dtype = "float16"')), "export release"),
        "a file that stands, for mergekit": (files(there_yml=""), "export release -o there.yml"),
        "no YAML": (files(merge_yml="a: [\n"), "import merge.yml"),
        "YAML that makes objects": (files(merge_yml="a: !!python/object:os.system {}\n"), "import merge.yml"),
    },
    "history": {
        "several builds of one beginning": (twice, "log b0000"),
        "two outputs for one directory": (twice, "restore b0000002 -o there"),
        "a merge that is no longer": (twice_and(edit(("merge.release", "merge.renamed"))), "restore b0000001"),
        "a Modelfile that is no longer sound": (twice_and(edit(("density = 0.5", "density = = 0.5"))), "restore b0000001"),
        "a log that misremembers": (misremembered, "restore c0000001"),
        "outputs that are not of one merge": (twice_and(another), "diff b0000002 b0000003"),
        "a model that is not there": (lambda project: None, "diff base ./nope"),
        "a file where there is no directory": (lambda project: None, "graph --format svg -o nowhere/graph.svg"),
    },
}


@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("width", [pytest.param(60, marks=pytest.mark.slow), 80, pytest.param(120, marks=pytest.mark.slow)])
@pytest.mark.parametrize("group", [pytest.param(name, marks=pytest.mark.slow) if name == "history" else name for name in ERRORS])
def test_errors_of(group: str, width: int, project: Project, program: Program, screens: Screens, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", str(width))
    printed = []
    for i, (name, (wrong, command)) in enumerate(ERRORS[group].items()):
        one = Project(project.root / str(i))
        one.root.mkdir()
        one.family()
        one.write(SOUND)
        wrong(one)
        monkeypatch.chdir(one.root)
        ended = program(*shlex.split(command))
        assert 0 != ended.code, name
        printed.append(f"--- {name}\n$ modelbuild {command}\n{ended.out}{ended.err}[{ended.code}]\n".replace(str(one.root), "…"))

    screens.hold(f"errors-{group}-{width}", "\n".join(printed))


UNSHOWN = {
    "a converter may leave files alone, and no links",
    "a lock is of the Modelfile as it stands",
    "a mixture has the tokens of its base",
    "a token has more experts than there are",
    "came out other than locked",
    "can be made in",
    "cannot be checked",
    "cannot be one",
    "cannot be read as a task",
    "cannot be said in mergekit",
    "cannot be stored as asked",
    "cannot be the name of a directory",
    "cannot have this adapter",
    "cannot read these tokens",
    "changed while it was copied",
    "changed while it was read",
    "checks of kind `lm_eval` need lm-eval, which is not installed",
    "does not hold what was sent",
    "for this merge wherever it stands",
    "had another header before it was fetched",
    "has another number of shared experts",
    "has changed while it was sent",
    "has links out of its directory",
    "has no `intermediate_size",
    "has no layers that become experts",
    "has no place for biases",
    "has no such weights",
    "holds another model",
    "holds no text",
    "holds no weights",
    "is a mixture of experts among other merges",
    "is a sampler of Optuna, which is not installed",
    "is no file of a model",
    "is no model",
    "is no pattern",
    "is not what the lock says",
    "is there, and everyone can read it",
    "is there, and may not be seen with this token",
    "keys and entries, those that aliases repeat included",
    "lm-eval has no task",
    "mergekit has no `mean` for a token",
    "mergekit has no `seed` in its configurations",
    "mergekit looks for parts of names, and",
    "mergekit merges every slice by",
    "mergekit takes no chat template of a model or a file",
    "no config.json says what these layers are",
    "no file is called",
    "no mixture of experts is made of such models",
    "passthrough` has no base in mergekit",
    "pins are moved to what the hub has now",
    "publishing asks the hub",
    "stands here twice",
    "takes 1 input, not",
    "the Modelfile names places of this machine that cannot be taken out of it",
    "the adapter would hold nothing",
    "the adapters change",
    "the base cannot be run to find gates",
    "the hub did not give",
    "the hub does not let you read",
    "the hub names no commit of",
    "the result would have",
    "the search has no candidate",
    "the tokenizer of the base cannot be read",
    "there is no device",
    "there is too little memory to find gates",
    "these are not the locked files",
    "these came out other than locked",
    "what is published is the Modelfile as it stands",
    "which merge is meant?",
    "which splits the prompts",
}
"""Pieces of the words of errors that neither a screen nor a test holds: each is a gap, and the list may only get shorter."""

SAYS = {"Problem", "problem", "say", "refuse"}


@pytest.mark.slow
def test_every_error_is_held_by_a_screen_or_a_test():
    """By the longest piece of its words that stands in the code as it is said."""
    held = "\n".join(
        path.read_text() for pattern in ("*.py", "*-80.txt") for path in sorted((ROOT / "tests").rglob(pattern)) if path != Path(__file__)
    )
    words = " ".join(held.split())

    found = {piece for _, piece in sites() if " ".join(piece.split()) not in words}
    assert set() == found - UNSHOWN, "errors that nothing holds: add them to ERRORS"
    assert set() == UNSHOWN - found, "errors that something holds by now: take them out of UNSHOWN"


def sites() -> Iterator[tuple[str, str]]:
    """Yield where an error is worded, and the longest piece of its words that stands in the code as it is said."""
    for path in sorted((ROOT / "modelbuild").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and call.args and _name(call.func) in SAYS and "/cli/" not in str(path):
                pieces = [node.value for node in ast.walk(call.args[0]) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
                longest = max((piece.strip(" `,.:") for piece in pieces), key=len, default="")
                if len(longest) > 5:
                    yield str(path.relative_to(ROOT)), longest


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""

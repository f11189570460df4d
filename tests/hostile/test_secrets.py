"""What is published says nothing of who built it, where, or by which token."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelbuild import usecases as use_cases
from modelbuild.report import findings
from modelbuild.report.svg import svg
from tests.support.hub import Hub
from tests.support.projects import DIAMOND, Project

SECRETS = {
    "user": "zebulonuser", "home": "quokkahome", "host": "narwhalhost", "token": "hf_" + "wombattoken" * 3, "directory": "axolotldirectory",
    "temporary": "pangolintmp", "cache": "ocelothub", "variable": "capybaravariable",
}  # fmt: skip

PATCH = f"""\
import os, platform, socket, getpass
socket.gethostname = socket.getfqdn = platform.node = lambda *_: {SECRETS["host"]!r}
getpass.getuser = os.getlogin = lambda: {SECRETS["user"]!r}
real = os.uname
os.uname = lambda: os.uname_result(({"Linux"!r}, {SECRETS["host"]!r}, *tuple(real())[2:]))
"""

MORE = """\
[merge.lora]
method = "extract_lora"
base = "base"
inputs = ["code"]
rank = 2
output = { path = "out/lora" }
[merge.shards]
method = "linear"
inputs = ["base", "math"]
tokenizer = { chat_template = "chatml" }
output = { path = "out/shards", shard_size = "20kB", dtype = "float16" }
"""

ARGUMENTS = (
    ["lock"], ["build", "release", "lora", "shards"], ["build", "release", "lora", "shards", "--json", "-B"], ["build", "-n", "--json"],
    ["status"], ["show", "release", "--json"], ["explain", "release"], ["graph", "--format", "json"], ["graph", "--format", "mermaid"],
    ["graph", "--format", "dot"], ["graph", "--format", "svg", "-o", "graph.svg"], ["graph", "--format", "html", "-o", "graph.html"],
    ["report", "release"], ["report", "release", "--json"], ["build", "release", "-B", "--trace", "trace.json"], ["lock", "--json"], ["verify", "--json"], ["cache", "ls", "--json"], ["cache", "size"], ["methods", "ties", "--json"],
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A project in a directory that would be known again, with a home, a temporary directory and patches beside it."""
    root = tmp_path / SECRETS["directory"] / "project"
    project = Project(root)
    root.mkdir(parents=True)
    project.family()
    project.write(DIAMOND + MORE)
    for name in ("home", "temporary"):
        (tmp_path / SECRETS[name]).mkdir()
    (tmp_path / "sitecustomize.py").write_text(PATCH)
    return root


def environment(beside: Path) -> dict[str, str]:
    """Return an environment in which everything that could be told would be known again."""
    package = str(Path(use_cases.__file__).parents[2])
    home = str(beside / SECRETS["home"])
    return {
        "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(beside), package]), "HOME": home, "USER": SECRETS["user"], "LOGNAME": SECRETS["user"],
        "HOSTNAME": SECRETS["host"], "HF_TOKEN": SECRETS["token"], "HUGGING_FACE_HUB_TOKEN": SECRETS["token"], "SECRET": SECRETS["variable"],
        "TMPDIR": str(beside / SECRETS["temporary"]), "HF_HOME": f"{home}/{SECRETS['cache']}",
    }  # fmt: skip


def told(data: bytes) -> set[str]:
    """Return what some bytes give away."""
    return {name for name, secret in SECRETS.items() if re.search(re.escape(secret).encode(), data, re.IGNORECASE)}


def artefacts(root: Path) -> Iterator[Path]:
    """Yield what a project publishes or keeps in version control, and the packs, which outputs are linked to."""
    yield root / "Modelfile.lock"
    yield from root.glob("*.html")
    yield from root.glob("*.svg")
    yield from root.glob("trace.json")
    for directory in (root / "out", root / "cache" / "packs"):
        yield from (path for path in directory.rglob("*") if path.is_file())


@pytest.mark.slow
def test_no_artefact_and_nothing_printed_gives_away_who_built_it_and_where(place: Path):
    """Outputs, lock, manifest, environment, packs; and what each command prints of them, where the project is named by no path."""
    printed = b""
    for arguments in ARGUMENTS:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "modelbuild", *arguments],
            cwd=place,
            env=environment(place.parents[1]),
            capture_output=True,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        printed += done.stdout + done.stderr
    found = list(artefacts(place))

    assert set() == told(printed)
    assert {} == {path.name: what for path in found if (what := told(path.read_bytes()))}
    assert {} == {path.name: what for path in found if (what := told(path.name.encode()))}
    assert {
        "Modelfile.lock",
        "modelbuild.json",
        "adapter_config.json",
        "release.environment.json",
        "model.safetensors",
        "release.html",
        "graph.svg",
        "graph.html",
        "trace.json",
    } <= {path.name for path in found}


def test_no_artefact_of_models_from_a_hub_holds_the_token_or_the_hubs_cache(family: Project, hub: Hub, tmp_path: Path, monkeypatch):
    """Of a hub that gives nothing without it."""
    hub.token = SECRETS["token"]
    hub.repository("lab/base").gated = True
    monkeypatch.setenv("HF_TOKEN", SECRETS["token"])
    use_cases.lock(family.where)
    family.build()
    view = use_cases.view_report(family.where)
    (family.root / "release.html").write_text(findings.report(view))
    (family.root / "graph.svg").write_text(svg(view.graph))

    found = list(artefacts(family.root))
    held = [path.name for path in found if told(path.read_bytes()) or str(tmp_path).encode() in path.read_bytes()]

    assert [] == held
    assert [("hf://lab/base", 40, 64)] == [(one.location, len(one.commit), len(one.root)) for one in view.sources if one.name == "base"]
    assert view.sources[0].commit[:12] in (family.root / "graph.svg").read_text()
    assert any(SECRETS["token"] in " ".join(request.headers.values()) for request in hub.requests)

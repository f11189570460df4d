"""Modelfiles that were not meant: tokens, lines and bytes of a sound one changed, and texts made to hurt."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random

from modelbuild import usecases as use_cases
from modelbuild.usecases import Options, Where
from tests.fuzz.mutation import NUMBERS, STRINGS, bytes_changed, tokens_changed
from tests.support.checkpoints import VOCAB, random_tensors, write_model

SOUND = """\
version = 1
default = ["release"]
seed = 3
[vars]
blend = 0.4
who = "code"
[cache]
path = "cache"
max_size = "1GB"
[source.base]
from = "base"
[source.code]
from = "code"
[source.chat]
from = "base"
adapters = [{ from = "lora", scale = 1.0 }]
[merge.skills]
method = "ties"
base = "base"
inputs = [{ model = "${who}", weight = 1.0, density = [0.2, 0.8] }, "base"]
normalize = true
lambda = 0.7
[merge.talk]
method = "dare_ties"
base = "base"
inputs = [{ model = "code", weight = 0.6, density = 0.5 }]
dtype = "float32"
keep = false
seed = 7
nonfinite = "error"
[merge.blend]
method = "slerp"
inputs = ["skills", "talk"]
t = [{ filter = "self_attn", value = 0.3 }, { filter = "mlp", layers = [0, 2], value = [0.0, 0.7] }, { value = "${blend}" }]
[merge.release]
method = "linear"
slices = [{ model = "base", layers = [0, 1], scale = 0.5 }, { inputs = [{ model = "blend", layers = [1, 2] }, { model = "code", layers = [0, 1] }], weight = 0.5 }]
embed = "base"
head = "blend"
tokenizer = { source = "base", chat_template = "chatml", tokens = { "t3" = { source = "code", force = true } } }
output = { path = "out/release", shard_size = "5GB", dtype = "bfloat16" }
[merge.swept]
method = "ties"
base = "base"
inputs = ["code", { model = "chat", weight = 0.5 }]
output.path = "out/{variant}"
[merge.swept.matrix]
density = [0.3, 0.5]
inputs.code.weight = [0.5, [0.1, 1.0]]
include = [{ density = 0.7, "inputs.chat.weight" = 1 }, { density = 0.3, seed = 5 }]
exclude = [{ density = 0.5, inputs.code.weight = 0.5 }]
[group]
some = ["release", "swept@*"]
most = ["some", "blend"]
"""

ELSEWHERE = ("/", "//", "..", "x/..", "a/../../x")
"""Directories that there are: what a Modelfile names as a source is listed, wherever it is."""

TOKENS = re.findall(r'"[^"]*"|[\w.]+|\s+|.', SOUND)
OTHERS = [
    *("nan", "inf", "[]", "{}", "[[1]]", "[1, 'a', {}]", "-1", "true", "''", "'${v}'", "'${who}'", "1979-05-27", "07:32:00", "'''", '"""', "#", "\n", "0x10", "1_0"),
    *("cache", "merge.release", "[merge.x]", "[[merge]]", "method", "'moe'", "'extract_lora'", "'merge_loras'", "'union'", "'common'", "pickles = 'weights_only'\n"),
    *("experts = ['base']\n", "scope = 'text'\n", "vocabulary = 'common'\n", "fetch = 'ranges'\n", "'hf://a/b'", "'linear'", "'karcher'", "rank = 3\n"),
    *(str(number) for number in NUMBERS if abs(number) < 10**400),
    *(repr(text) for text in STRINGS if text.isprintable() and len(text) < 400 and text not in ELSEWHERE),
    *('"' + text.encode("unicode_escape", "surrogatepass").decode().replace("\\x", "\\u00").replace('"', "") + '"' for text in STRINGS[:12]),
]  # fmt: skip

KEYS = (
    "merge.blend.t",
    "vars.blend",
    "merge.release.slices[0].layers",
    "merge.swept.matrix.density",
    "group.some",
    "merge.skills.inputs[0].weight",
    "source",
    "seed",
    "cache.path",
    "a.b.c[3]",
    "",
    "[0]",
)


def prepare(root: Path) -> None:
    """Write two models of two layers, an adapter's directory without one, and the Modelfile's neighbours."""
    base = random_tensors(0, 2)
    write_model(root / "base", base)
    write_model(root / "code", random_tensors(1, 2, near=base))
    for name in ("base", "code"):
        (root / name / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {f"t{i}": i for i in range(VOCAB)}}}))
    (root / "lora").mkdir()


def case(root: Path, rng: Random) -> Callable[[], object]:
    """Write a mutated Modelfile; ask of it whatever opens no more than it names, and changes nothing."""
    (root / "Modelfile.toml").write_bytes(mutated(rng))
    edits = tuple(f"{rng.choice(KEYS)}={rng.choice(OTHERS)}" for _ in range(rng.choice([0, 0, 0, 1, 2])))
    where = Where(root / "Modelfile.toml", overrides=edits)
    calls: tuple[Callable[[], object], ...] = (
        lambda: use_cases.show(where, "release"),
        lambda: use_cases.forecast(where, (), Options(jobs=1, device="cpu")),
        lambda: use_cases.view_graph(where),
        lambda: use_cases.status(where),
        lambda: use_cases.explain(where, "blend"),
        lambda: use_cases.cache_size(where),
        lambda: use_cases.cache_ls(where),
        lambda: use_cases.verify(where),
    )
    return rng.choice(calls)


def mutated(rng: Random) -> bytes:
    """Return a Modelfile that says something else than it should."""
    how = rng.random()
    if how < 0.06:
        return hurting(rng).encode("utf-8", "surrogatepass")
    if how < 0.2:
        lines = SOUND.splitlines(keepends=True)
        return tokens_changed(lines, [*lines, "[merge.release]\n", "x = 1\n", "[merge]\n"], rng).encode()
    text = tokens_changed(TOKENS, [*TOKENS, *OTHERS], rng).encode("utf-8", "surrogatepass")
    return bytes_changed(text, rng) if how < 0.35 else text


def hurting(rng: Random) -> str:
    """Return a text made to take long: deep, wide, or of long words."""
    count = rng.choice([1000, 10_000, 60_000])
    merge = '[merge.x]\nmethod = "linear"\ninputs = ["base"]\n'
    return rng.choice(
        [
            "a = " + "[" * count, "a = " + "{ a = " * count, f"{merge}weight = " + "[" * 300 + "]" * 300, ".".join("a" * count) + " = 1", "a" * count + " = 1",
            "[merge." + "a" * count + "]", f"{merge}seed = {'9' * count}", f"seed = 0x{'f' * count}", f"{merge}weight = {'9' * count}.0", "a = " + '"""' * count,
            "".join(f"key{i} = 1\n" for i in range(count // 10)), "".join(f"[merge.m{i}]\n" for i in range(count // 10)),
            "".join(f'[merge.m{i}]\nmethod = "linear"\ninputs = ["m{i + 1}"]\n' for i in range(count // 60)),
            "".join(f'[merge.m{i}]\nmethod = "linear"\ninputs = ["m{(i + 1) % 200}"]\n' for i in range(200)),
            f"{merge}weight = [" + "{ value = 1 }, " * (count // 20) + "]", "[vars]\n" + "".join(f'v{i} = "${{v{i + 1}}}"\n' for i in range(count // 20)),
            f"{merge}weight = [{{ filter = '{'*' * (count // 100)}x', value = 1 }}]", f"{merge}weight = [{{ filter = '{'*a' * (count // 200)}', value = 1 }}]",
            "[source]\nbase.from = 'base'\n" + merge + "weight = [{ filter = '" + "*a" * 30 + "', value = 1 }]", "\ufeff" + SOUND, SOUND.replace("\n", "\r\n"),
            SOUND.replace("\n", "\r"), "\0" * count, "#" * count, '"' + "\\u0041" * (count // 6) + '" = 1', SOUND + "\n" * count, "x = [" + "1," * count + "]",
        ]
    )  # fmt: skip

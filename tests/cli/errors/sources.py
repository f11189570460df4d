"""Sources that are not there, not whole, or not to be read."""

from __future__ import annotations

import os

from tests.cli.errors.scene import Case, Scene, both, edit, files, gone, link

INDEX = "code/model.safetensors.index.json"
UNPICKLED = edit(('from = "code"', 'from = "code"\npickles = "weights_only"'))


def truncated(project: Scene) -> None:
    path = project.root / "code/model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def doubled(project: Scene) -> None:
    """Have each of two shards hold everything."""
    whole = project.root / "code/model.safetensors"
    for name in ("one", "two"):
        (project.root / f"code/{name}.safetensors").write_bytes(whole.read_bytes())
    whole.unlink()
    (project.root / INDEX).write_text('{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}')


CASES: dict[str, Case] = {
    "a directory without weights": (gone("code/model.safetensors"), "status"),
    "pickles": (both(gone("code/model.safetensors"), files({"code/pytorch.bin": b"x"})), "status"),
    "pickles that are not there": (both(UNPICKLED, gone("code/model.safetensors")), "status"),
    "a pickle that is missing": (
        both(
            UNPICKLED,
            gone("code/model.safetensors"),
            files({"code/pytorch_model.bin.index.json": '{"weight_map": {"a": "pytorch_model-1.bin"}}'}),
        ),
        "status",
    ),
    "GGUF": (both(edit(('from = "code"', 'from = "code.gguf"')), files({"code.gguf": b"GGUF"})), "status"),
    "no safetensors": (files({"code/model.safetensors": b"not one"}), "status"),
    "a truncated file": (truncated, "status"),
    "a shard that is missing": (
        both(
            gone("code/model.safetensors"), files({"code/model.safetensors.index.json": '{"weight_map": {"a": "model-00001.safetensors"}}'})
        ),
        "status",
    ),
    "a shard outside": (
        both(
            gone("code/model.safetensors"),
            files({"code/model.safetensors.index.json": '{"weight_map": {"a": "../base/model.safetensors"}}'}),
        ),
        "status",
    ),
    "an index of nothing": (both(gone("code/model.safetensors"), files({INDEX: "{}"})), "status"),
    "a tensor in two shards": (doubled, "status"),
    "two files without an index": (both(doubled, gone(INDEX)), "status"),
    "a name that cannot be shown": (
        lambda project: (project.root / "code/model.safetensors").rename(project.root / "code/\x1b.safetensors"),
        "status",
    ),
    "a small file that is large": (lambda project: os.truncate(project.root / "code/generation_config.json", 1 << 40), "status"),
    "a link to elsewhere": (link("code/config.json", "/etc/passwd"), "status"),
    "no place on the hub": (edit(('from = "code"', 'from = "hf://code"')), "status"),
    "a name that no hub has": (edit(('from = "code"', 'from = "hf://someone/code--2"')), "status"),
    "a hub that may not be asked": (edit(('from = "code"', 'from = "hf://someone/code"')), "build --offline"),
    "a config.json that is none": (files({"code/config.json": "{"}), "status"),
}

"""Sources that are not there, not whole, or not to be read."""

from __future__ import annotations

from tests.cli.errors.scene import Case, Scene, both, edit, files, gone, link

UNPICKLED = edit(('from = "code"', 'from = "code"\npickles = "weights_only"'))


def truncated(project: Scene) -> None:
    path = project.root / "code/model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


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
    "a link to elsewhere": (link("code/config.json", "/etc/passwd"), "status"),
    "no place on the hub": (edit(('from = "code"', 'from = "hf://code"')), "status"),
    "a name that no hub has": (edit(('from = "code"', 'from = "hf://someone/code--2"')), "status"),
    "a hub that may not be asked": (edit(('from = "code"', 'from = "hf://someone/code"')), "build --offline"),
    "a config.json that is none": (files({"code/config.json": "{"}), "status"),
}

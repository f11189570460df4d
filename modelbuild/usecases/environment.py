"""What built an output: written beside it where there is a lock, and never part of its bytes."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import modelbuild
from modelbuild import files

_PACKAGES = ("blake3", "huggingface_hub", "llvmlite", "numba", "numpy", "safetensors", "torch")


def environment_path(output: Path) -> Path:
    """Return where the environment of the build of an output stands."""
    return output.with_name(f"{output.name}.environment.json")


def write_environment(output: Path, device: str) -> None:
    """Write the versions and the machine of this process beside an output.

    Args:
        output: the directory.
        device: what computed: cpu or cuda:N.

    """
    from importlib import metadata

    table = {
        "modelbuild": modelbuild.__version__,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "system": platform.platform(),
        "machine": platform.machine(),
        "device": device,
    }
    files.write_atomic(environment_path(output), (json.dumps(table, indent=2) + "\n").encode())

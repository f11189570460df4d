"""Machine code: compiled once, kept, and never trusted blindly."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from modelbuild.kernels import machine
from modelbuild.kernels.machine import Loop

COPY = """
import sys, numpy as np
from modelbuild.kernels.machine import Loop
x, out = np.arange(5, dtype=np.float32), np.empty(5, np.float32)
Loop("combine.copy")(x, out, 5)
print(out.tolist() == x.tolist(), "numba" in sys.modules)
"""


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Return the only directory in which machine code is looked for; it is not there yet."""
    monkeypatch.setattr(machine, "_directories", lambda: (tmp_path / "code",))
    return tmp_path / "code"


def copied() -> list[float]:
    """Copy three numbers by a loop that has nothing loaded yet, nor what calls it."""
    machine._caller.cache_clear()
    x, out = np.arange(3, dtype=np.float32), np.empty(3, np.float32)
    Loop("combine.copy")(x, out, 3)
    return out.tolist()


def test_what_was_compiled_once_is_called_without_the_compiler():
    """The second process runs the same loop and never imports numba."""
    code = [sys.executable, "-c", COPY]
    subprocess.run(code, check=True, capture_output=True)

    assert ["True", "False"] == subprocess.run(code, check=True, capture_output=True, text=True).stdout.split()


def test_machine_code_is_kept_and_found_again(kept, monkeypatch):
    """A file for the loop and one for what calls it, which is all that the next needs."""
    assert [0.0, 1.0, 2.0] == copied()
    assert 2 == len(list(kept.iterdir()))

    monkeypatch.setattr(machine, "import_module", None)
    assert [0.0, 1.0, 2.0] == copied()


@pytest.mark.parametrize("name", ["combine.copy", "caller"])
@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-1], lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:]])
def test_damaged_machine_code_is_compiled_anew(kept, damage, name):
    """An empty, a short and a changed file: none is ever linked, and a sound one takes its place."""
    copied()
    (file,) = kept.glob(f"{name}-*")
    sound = file.read_bytes()
    file.write_bytes(damage(sound))

    assert [0.0, 1.0, 2.0] == copied()
    assert len(sound) == len(file.read_bytes())


def test_without_a_place_to_keep_it_it_is_compiled_each_time(tmp_path, monkeypatch):
    """A file stands where both directories would be made."""
    (tmp_path / "taken").write_text("")
    monkeypatch.setattr(machine, "_directories", lambda: (tmp_path / "taken" / "code", tmp_path / "taken"))

    assert [0.0, 1.0, 2.0] == copied()


def test_an_array_with_gaps_is_refused():
    """Loops run over contiguous arrays alone."""
    with pytest.raises(ValueError, match="not contiguous"):
        Loop("combine.copy")(np.zeros(6, np.float32)[::2], np.empty(3, np.float32), 3)

"""Screens held against what was printed before, as text files in tests/cli/screens.

Where a screen is meant to change, look at the difference and write them anew:

    pytest -m '' tests/cli/test_live.py tests/cli/test_transcripts.py tests/cli/test_errors.py --rewrite-screens
    git diff tests/cli/screens
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).with_suffix("")


@dataclass(frozen=True)
class Screens:
    """The files, and whether they are to be written anew."""

    rewrite: bool

    def hold(self, name: str, printed: str) -> None:
        """Hold what was printed against a file."""
        path = HOME / f"{name}.txt"
        if self.rewrite:
            HOME.mkdir(exist_ok=True)
            path.write_text(printed)
        assert path.is_file(), f"there is no {path.name}: see `screens.py`"
        assert path.read_text() == printed

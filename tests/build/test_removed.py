"""The cache removed, or emptied, under a build."""

from __future__ import annotations

import shutil

import pytest

from modelbuild import usecases as use_cases
from modelbuild.events import Event, Merged
from modelbuild.usecases import Options
from tests.support.projects import DIAMOND, Project


@pytest.mark.parametrize("after", [1, 10, 35, 36])
@pytest.mark.parametrize("name", ["cache", "cache/packs", "cache/staging"])
def test_a_build_whose_cache_goes_away_comes_out_as_any_other(diamond: Project, tmp_path_factory, name: str, after: int):
    """After so many tensors; what was written and is gone is written again, from the files that are open still."""
    clean = Project(tmp_path_factory.mktemp("clean"))
    clean.family()
    clean.write(DIAMOND)
    clean.build()
    seen = 0

    def remove(event: Event) -> None:
        nonlocal seen
        seen += isinstance(event, Merged)
        if isinstance(event, Merged) and seen == after:
            shutil.rmtree(diamond.root / name, ignore_errors=True)

    outcome = use_cases.build(diamond.where, (), Options(jobs=1), remove)

    assert 0 == outcome.exit_code
    assert clean.hashes() == diamond.hashes()
    assert 0 == diamond.build().exit_code
    assert clean.hashes() == diamond.hashes()

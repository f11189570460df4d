"""What `verify` finds: a byte flipped anywhere, and outputs that are not what their sources give."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from modelbuild import usecases as use_cases
from modelbuild.cache import stattable
from modelbuild.checkpoint.header import read_header
from modelbuild.errors import Exit
from tests.support.hub import Hub
from tests.support.hubs import blobs
from tests.support.projects import DIAMOND, Project

NORM = "model.norm.weight"


@pytest.fixture
def locked(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The diamond, locked and built, its sources trusted although they are young."""
    monkeypatch.setattr(stattable, "RACY_NS", 0)
    project.family()
    project.write(DIAMOND)
    use_cases.lock(project.where)
    project.build()
    return project


def flip(path: Path, tensor: str = NORM) -> None:
    """Flip the lowest bit of a tensor's first byte; the file's own, where it has other names."""
    info = next(info for info in read_header(path) if info.name == tensor)
    flip_at(path, info.offset)


def flip_at(path: Path, offset: int) -> None:
    mode = path.stat().st_mode
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    path.chmod(mode)


def test_all_is_as_it_should_be_after_a_build(locked: Project):
    found = use_cases.verify(locked.where, rebuild=True, full=True)

    assert (Exit.DONE, ()) == (found.exit_code, found.findings)
    assert 30 == found.checked["tensor"]


def test_a_byte_flipped_in_a_source_is_found_with_its_tensor(locked: Project):
    flip(locked.root / "code/model.safetensors")
    found = use_cases.verify(locked.where)

    assert Exit.DIGEST == found.exit_code
    assert ("code::model.safetensors", "differs", (f"tensor `{NORM}`",)) in [(one.what, one.state, one.facts) for one in found.findings]


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_a_byte_flipped_in_a_small_file_of_an_output_is_found_and_healed(locked: Project, name):
    before = locked.hashes()
    flip_at(locked.root / "out/release" / name, 5)

    assert [f"release::{name}"] == [one.what for one in use_cases.verify(locked.where).findings]
    locked.build()
    assert before == locked.hashes()
    assert () == use_cases.verify(locked.where).findings


def test_a_byte_flipped_in_an_output_is_found_with_its_tensor_and_healed(locked: Project):
    before = locked.hashes()
    flip(locked.root / "out/release/model.safetensors")
    found = use_cases.verify(locked.where)

    assert Exit.DIGEST == found.exit_code
    assert ("release::model.safetensors", "differs", (f"tensor `{NORM}`",)) in [(one.what, one.state, one.facts) for one in found.findings]
    locked.build()
    assert before == locked.hashes()
    assert () == use_cases.verify(locked.where).findings


def test_a_byte_flipped_in_a_pack_is_found_with_its_tensor(locked: Project):
    """Whether the output is a link to it or a copy."""
    for pack in (locked.root / "cache/packs").glob("*.safetensors"):
        if any(info.name == "lm_head.weight" for info in read_header(pack)):
            flip(pack, "lm_head.weight")
    found = use_cases.verify(locked.where)

    assert Exit.DIGEST == found.exit_code
    assert any(one.what.startswith("pack ") and one.facts == ("tensor `lm_head.weight`",) for one in found.findings)


def test_a_digit_changed_in_the_lock_is_found(locked: Project):
    text = locked.where.lock.read_text()
    at = text.index('[merge.blend]\ngraph = "') + len('[merge.blend]\ngraph = "')
    locked.where.lock.write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :])
    found = use_cases.verify(locked.where)

    assert Exit.DIGEST == found.exit_code
    assert [locked.where.lock.name] == [Path(one.what).name for one in found.findings]
    locked.where.lock.write_text(text.replace("[merge", "[mer\x00ge"))
    assert Exit.DIGEST == use_cases.verify(locked.where).exit_code


def test_a_file_that_is_gone_is_missing(locked: Project):
    (locked.root / "out/release/generation_config.json").unlink()

    assert [("release::generation_config.json", "missing")] == [(one.what, one.state) for one in use_cases.verify(locked.where).findings]


def test_rebuilding_names_the_first_tensor_that_differs_and_by_how_much(locked: Project):
    """Nothing says so but the recomputation: the output's own manifest and the lock agree with it."""
    flip(locked.root / "out/release/model.safetensors")
    locked.where.lock.unlink()
    found = use_cases.verify(locked.where, rebuild=True)
    rebuilt = [one for one in found.findings if one.what == f"release::{NORM}"]

    assert 1 == len(rebuilt)
    assert rebuilt[0].facts[0].startswith("it differs from what is computed now in 1 of 16 elements, by at most ")


def test_a_sample_computes_so_many_tensors_and_leaves_nothing_behind(locked: Project):
    before = sorted(path for path in locked.root.rglob("*") if "index" not in path.parts)
    found = use_cases.verify(locked.where, rebuild=True, sample=4)

    assert (4, ()) == (found.checked["tensor"], found.findings)
    assert before == sorted(path for path in locked.root.rglob("*") if "index" not in path.parts)


def test_a_source_that_was_not_fetched_is_inconclusive(family: Project, hub: Hub):
    use_cases.lock(family.where)
    found = use_cases.verify(family.where)

    assert Exit.DONE == found.exit_code
    assert {"inconclusive"} == {one.state for one in found.findings}


def test_a_byte_flipped_in_the_hubs_cache_is_found_and_healed(family: Project, hub: Hub):
    use_cases.lock(family.where)
    family.build()
    before = family.hashes()
    large = max(blobs(family.root.parent / "home"), key=lambda path: path.stat().st_size)
    flip_at(large, large.stat().st_size - 1)

    assert Exit.DIGEST == use_cases.verify(replace(family.where, offline=True)).exit_code
    family.build(force=True)
    assert before == family.hashes()
    assert () == use_cases.verify(family.where).findings

"""An index that anybody may have written: rows of every kind that hold what they should not, through a whole build."""

from __future__ import annotations

import json
import pickle
import sqlite3
from pathlib import Path

import pytest

from modelbuild import usecases as use_cases
from modelbuild.errors import Exit
from modelbuild.usecases import Options
from tests.fuzz.judge import judge
from tests.fuzz.mutation import NUMBERS, STRINGS
from tests.hostile.bombs import pickled, ran
from tests.support.projects import Project

MODELFILE = """\
[source]
base.from = "base"
code.from = "code"
[merge.half]
method = "linear"
inputs = ["base", "code"]
[merge.out]
method = "slerp"
inputs = ["base", "half"]
t = 0.3
"""
QUICK = Options(jobs=1, device="cpu")

KINDS = ("r:", "e:", "d:", "p:", "u:", "s:", "o:", "n:", "max_size", "")
"""What keys of the index start with; "" is all of them."""

TEXTS = (
    *(json.dumps(text) for text in STRINGS), *(json.dumps(number) for number in NUMBERS), *STRINGS[:40], "{}", "[]", "null", "true", '""', "[[]]",
    '{"stat": [0, 0, 0, 0, 0], "digests": {"x": "../x"}}', '{"pack": "../../x", "offset": -1}', '["../../x", 0]', '["' + "0" * 64 + '", -5]',
    '["' + "0" * 64 + '", 1e999]', '{"identity": "x", "stats": {"../../x": [1]}, "packs": ["../x"]}', "[" * 900 + "]" * 900, "1" * 4000, "9" * 5000, "x" * 300_000,
)  # fmt: skip
"""Values as text: JSON of another kind, and no JSON."""


@pytest.fixture
def built(project: Project) -> Project:
    """A built project whose next build asks the index everything."""
    project.family(1, ("code",))
    project.write(MODELFILE)
    project.build(jobs=1, device="cpu")
    return project


def spoil(project: Project, statement: str, *values: object) -> int:
    """Change rows behind the index's back, and have no stamp spare the next build the asking; return how many rows changed."""
    for stamp in (project.root / "cache" / "stamps").glob("*"):
        stamp.unlink()
    connection = sqlite3.connect(project.root / "cache" / "index" / "cache.db")
    changed = connection.execute(statement, values).rowcount
    connection.commit()
    connection.close()
    return changed


@pytest.mark.parametrize("texts", [TEXTS[::25], pytest.param(TEXTS, marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_any_kind_that_say_something_else_are_misses(built: Project, kind: str, texts: tuple[str, ...]):
    """More than a hundred texts in each: the same bytes come out, nothing is run, and nothing beyond the project is opened."""
    before = built.hashes("out")
    wrong = []
    for text in texts:
        spoil(
            built,
            "UPDATE Cache SET value = ? WHERE substr(key, 1, ?) = ?",
            text.encode("utf-8", "surrogatepass").decode("utf-8", "replace"),
            len(kind),
            kind,
        )

        verdict = judge(lambda: use_cases.build(built.where, options=QUICK), built.root, bounded=False)

        if verdict.faults or verdict.code != Exit.DONE or built.hashes("out") != before:
            wrong.append((text[:60], verdict))

    assert [] == wrong


ROWS = {
    "a pickle": ("UPDATE Cache SET mode = 4, value = ?", "bomb"),
    "a pickle under a key that is one": ("UPDATE Cache SET raw = 0, key = CAST(? || rowid AS BLOB)", "bomb"),
    "a file of a pickle": ("UPDATE Cache SET mode = 4, value = NULL, filename = ?", "../../stolen"),
    "a file of text": ("UPDATE Cache SET mode = 3, value = NULL, filename = ?", "../../stolen"),
    "a file of bytes": ("UPDATE Cache SET mode = 2, value = NULL, filename = ?", "/etc/passwd"),
    "a file and a value": ("UPDATE Cache SET filename = ?", "../../../secret"),
    "bytes": ("UPDATE Cache SET value = ?", b"\xff\xfe\0"),
    "a number": ("UPDATE Cache SET value = ?", 7),
    "a mode that is none": ("UPDATE Cache SET mode = ?", "x"),
    "a time to expire": ("UPDATE Cache SET expire_time = ?", 1.0),
    "a size": ("UPDATE Cache SET size = ?", -(1 << 62)),
    "a tag": ("UPDATE Cache SET tag = ?", "x" * 100_000),
    "no key": ("UPDATE Cache SET key = NULL || ?", "x"),
    "a trigger": ("CREATE TRIGGER t AFTER UPDATE ON Cache BEGIN UPDATE Cache SET filename = '../../stolen'; END", None),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_as_diskcache_would_read_and_run_them_are_misses(built: Project, name: str):
    """Modes of pickles, names of files, columns of the wrong kind: built twice, by the same bytes."""
    before = built.hashes("out")
    statement, value = ROWS[name]
    bystanders = [built.root / "stolen", built.root.parent / "secret"]
    for path in bystanders:
        path.write_bytes(pickle.dumps("stolen"))
    spoil(built, statement, *([] if value is None else [pickled(built.root) if value == "bomb" else value]))

    verdicts = [judge(lambda: use_cases.build(built.where, options=QUICK), built.root, bounded=False) for _ in range(2)]

    assert [(Exit.DONE, ())] * 2 == [(verdict.code, verdict.faults) for verdict in verdicts]
    assert before == built.hashes("out")
    assert not ran(built.root)
    assert all(pickle.dumps("stolen") == path.read_bytes() for path in bystanders)
    Path(bystanders[1]).unlink()

"""What is wrong with the text of a Modelfile, or with how it is named."""

from __future__ import annotations

from tests.build.test_broken_modelfiles import BROKEN
from tests.cli.errors.models import TOKENIZER
from tests.cli.errors.scene import Case, edit, files, gone, more, sound

CASES: dict[str, Case] = {
    **{kind: (edit(change), "status") for kind, (change, _, _) in BROKEN.items()},
    "several at once": (edit(("density = 0.5", "densitee = 0.5"), ('"code", "math"]', '"cod", "math"]')), "status"),
    "no base": (edit(('base = "base"\n', "")), "status"),
    "a value of another type": (edit(("density = 0.5", 'density = "half"')), "status"),
    "a parameter of one input": (edit(('"code", "math"]', '{ model = "code", normalize = true }, "math"]')), "status"),
    "a name that is taken": (more('[source.skills]\nfrom = "code"\n'), "status"),
    "a version of the future": (edit(("[source.base]", "version = 2\n[source.base]")), "status"),
    "a variable that is not there": (edit(("density = 0.5", 'density = "${half}"')), "status"),
    "a default that is no merge": (edit(("[source.base]", 'default = ["nope"]\n[source.base]')), "status"),
    "both tokenizer and vocabulary": (more(f'vocabulary = "common"\n{TOKENIZER}'), "status"),
    "a base that is not among the inputs": (
        edit(('inputs = ["base", "skills"]', 'inputs = ["base", "skills"]\nbase = "code"')),
        "status",
    ),
    "a Modelfile that is too large": (files({"Modelfile.toml": "#" * (1 << 25)}), "status"),
    "a Modelfile that is no text": (files({"Modelfile.toml": b"\xff\xfe"}), "status"),
    "no Modelfile": (gone("Modelfile.toml"), "status"),
    "another Modelfile": (sound, "status -f nope.toml"),
    "a directory for a Modelfile": (sound, "status -f base"),
    "--set of nothing": (sound, "status --set merge.nope"),
    "--set of what is not there": (sound, "status --set merge.skills.densitee=0.5"),
}

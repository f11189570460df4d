"""Commands that ask for what is not there, or would harm what is."""

from __future__ import annotations

from tests.cli.errors.scene import Case, Scene, edit, more, sound

OVER_A_SOURCE = edit(('method = "slerp"', 'method = "slerp"\noutput.path = "base"'))


def foreign(project: Scene) -> None:
    project.build()
    (project.root / "out/release/mine.txt").write_text("mine")


def in_the_way(project: Scene) -> None:
    (project.root / "out").mkdir()
    (project.root / "out/release").write_text("mine")


CASES: dict[str, Case] = {
    "a target that is none": (sound, "build nope"),
    "a target that is a source": (sound, "build base"),
    "several targets where one is meant": (edit(("[source.base]", 'default = ["skills", "release"]\n[source.base]')), "report"),
    "a source to be read elsewhere that is none": (sound, "build --source nope=base"),
    "a device that is none": (sound, "build --device abacus"),
    "a device of no number": (sound, "build --device cuda:\N{SUPERSCRIPT TWO}"),
    "a size that is none": (sound, "build --memory lots"),
    "a source to be read nowhere": (sound, "build --source base"),
    "a forecast to be traced": (sound, "build -n --trace trace.json"),
    "a recipe to be edited": (sound, "build hf://someone/release --set seed=1"),
    "sources to be locked by name": (sound, "lock base"),
    "a sample of nothing": (sound, "verify --sample 3"),
    "too little memory": (sound, "build --memory 1KB"),
    "files of others in an output": (foreign, "build --force"),
    "a file where an output would be": (in_the_way, "build"),
    "an output where a source is": (OVER_A_SOURCE, "build"),
    "clean where a source is": (OVER_A_SOURCE, "clean"),
    "a card of what only this machine has": (
        more('[vars]\nhere = "/data"\n[source.far]\nfrom = "${here}/far"\n[check.fit]\nkind = "command"\nrun = "${here}/fit {model}"\n'),
        "card",
    ),
}

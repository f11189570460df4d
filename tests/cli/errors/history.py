"""Past builds that are not what they were, and documents that have nowhere to go."""

from __future__ import annotations

from msgspec.structs import replace

from modelbuild.cache.builds import Builds
from modelbuild.usecases.logbook import cache_of
from tests.build.test_broken_modelfiles import SOUND
from tests.cli.errors.scene import Case, Scene, both, edit, sound


def twice(project: Scene) -> None:
    """Build one merge, then both."""
    project.build("release")
    project.build("skills", "release", overrides=["merge.skills.density=0.6"])


def another(project: Scene) -> None:
    """Build a merge that the Modelfile did not have."""
    project.write(SOUND + '[merge.other]\nmethod = "linear"\ninputs = ["base", "code"]\n')
    project.build("other")


def misremembered(project: Scene) -> None:
    """Have the log say that a build left an output which its packs are not."""
    project.build()
    cache = cache_of(project.where)
    builds = Builds(cache.index, project.where.file)
    past = builds.all()[0]
    builds.remember(replace(past, id="c0000001", outputs=(replace(past.outputs[0], identity="0" * 64),)), [])
    cache.close()


CASES: dict[str, Case] = {
    "several builds of one beginning": (twice, "log b0000"),
    "two outputs for one directory": (twice, "restore b0000002 -o there"),
    "a merge that is no longer": (both(twice, edit(("merge.release", "merge.renamed"))), "restore b0000001"),
    "a Modelfile that is no longer sound": (both(twice, edit(("density = 0.5", "density = = 0.5"))), "restore b0000001"),
    "a log that misremembers": (misremembered, "restore c0000001"),
    "outputs that are not of one merge": (both(twice, another), "diff b0000002 b0000003"),
    "a model that is not there": (sound, "diff base ./nope"),
    "a file where there is no directory": (sound, "graph --format svg -o nowhere/graph.svg"),
}

"""Merge the example family by every method, and score each merge on held-out text.

    python benchmarks/quality.py [--write]

Everything is built by one Modelfile.  Where a method has a `lambda`, it is the one of LAMBDAS with the least loss on the
validation text; what is shown is the loss on the test text.  With --write the table replaces the one in examples/README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from modelbuild.methods import installed, load
from modelbuild.usecases import Options, Where, build

ROOT = Path(__file__).resolve().parents[1]
FAMILY, README = ROOT / "examples" / "family", ROOT / "examples" / "README.md"
sys.path.insert(0, str(FAMILY))
import evaluate  # noqa: E402 - it lies with the models

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modelbuild.method import Method

SPECIALISTS = ("code", "prose", "math")
LAMBDAS = (0.1, 0.3, 0.5, 0.7, 1.0)
GIVEN: dict[str, dict[str, object]] = {
    "ema": {"decay": 0.6},
    "nearswap": {"t": 0.01},
    "slerp": {"t": 0.5},
}
"""What must be given.  Apart from `lambda` and DENSITY everything else is the method's default."""
DENSITY = 0.5
"""Where a method keeps a share of entries and keeps all by default."""
START, END = "<!-- quality: made by benchmarks/quality.py -->\n", "<!-- end of quality -->\n"

Losses = dict[str, float]


@dataclass(frozen=True)
class Candidate:
    """A merge to be scored.

    Args:
        method: its name.
        inputs: models.
        parameters: as in the Modelfile.
        target: its name there.
        test: losses on the test text, once it is known.

    """

    method: str
    inputs: tuple[str, ...]
    parameters: dict[str, object]
    target: str
    test: Losses | None = None

    @property
    def mean(self) -> float:
        """The mean loss over the three specialties."""
        return mean(self.test or {})

    @property
    def said(self) -> str:
        """Its parameters, in words."""
        return ", ".join(f"`{name}` {value}" for name, value in self.parameters.items())


def mean(losses: Losses) -> float:
    """Return the mean over the three specialties."""
    return fmean(losses[domain] for domain in SPECIALISTS)


def candidates(method: Method) -> Iterator[Candidate]:
    """Yield the merges of a method; none of one that takes a single model."""
    _, high = method.inputs
    if high == 1:
        return
    inputs = SPECIALISTS if high >= len(SPECIALISTS) else ("code", "math")
    parameters = dict(GIVEN.get(method.name, {}))
    density = method.param("density")
    if density and density.default == 1.0:
        parameters["density"] = DENSITY
    if method.param("lambda"):
        for factor in LAMBDAS:
            yield Candidate(method.name, inputs, {**parameters, "lambda": factor}, f"{method.name}-{factor:g}".replace(".", "_"))
    else:
        yield Candidate(method.name, inputs, parameters, method.name)


def modelfile(found: Sequence[Candidate]) -> str:
    """Write the merges down."""
    lines = [f"[source.{name}]\nfrom = {json.dumps(str(FAMILY / name))}" for name in ("base", *SPECIALISTS)]
    for one in found:
        lines += [f"[merge.{one.target}]", f"method = {json.dumps(one.method)}", f"inputs = {json.dumps(list(one.inputs))}"]
        lines += ['base = "base"'] if load(one.method).base == "required" else []
        lines += [f"{name} = {json.dumps(value)}" for name, value in one.parameters.items()]
    return "\n".join(lines) + "\n"


def scores(path: Path, split: str, windows: dict[str, Any]) -> Losses:
    """Return the losses of a model by domain."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, local_files_only=True)
    return evaluate.held_out_losses(model, windows, split)


def chosen(root: Path, found: Sequence[Candidate], windows: dict[str, Any]) -> list[Candidate]:
    """Return one merge for each method: the one with the least validation loss, with its test losses."""
    best: dict[str, tuple[float, Candidate]] = {}
    rivals = {one.method: sum(other.method == one.method for other in found) for one in found}
    for one in found:
        loss = mean(scores(root / "out" / one.target, "validation", windows)) if rivals[one.method] > 1 else 0.0
        if one.method not in best or loss < best[one.method][0]:
            best[one.method] = loss, one
    return [replace(one, test=scores(root / "out" / one.target, "test", windows)) for _, one in best.values()]


def table(parents: dict[str, Losses], found: Sequence[Candidate]) -> str:
    """Write the table, the best mean first, and what it says."""
    average = fmean(mean(parents[name]) for name in SPECIALISTS)
    single = min(mean(parents[name]) for name in SPECIALISTS)
    rows = [(mean(losses), f"*{name}*", "", losses) for name, losses in parents.items()]
    rows += [
        (one.mean, f"`{one.method}`" + ("" if len(one.inputs) > 2 else " of code and math"), one.said, one.test or {}) for one in found
    ]
    lines = ["| merge | parameters | code | prose | math | mean of these | general |", "|---|---|---|---|---|---|---|"]
    for at, name, said, losses in sorted(rows, key=lambda row: row[0]):
        cells = [f"{losses[domain]:.2f}" for domain in SPECIALISTS]
        lines.append(f"| {name} | {said} | {' | '.join(cells)} | {at:.2f} | {losses['general']:.2f} |")
    below = [f"`{one.method}`" for one in sorted(found, key=lambda one: one.mean) if one.mean >= average]
    best = [f"`{one.method}`" for one in sorted(found, key=lambda one: one.mean) if one.mean < single]
    says = [
        f"The specialists come to {average:.2f} on average. {len(found) - len(below)} of {len(found)} methods beat that"
        + (f"; {', '.join(below)} {'does' if len(below) == 1 else 'do'} not." if below else "."),
        f"Better than the best specialist, {single:.2f}, {'is' if len(best) == 1 else 'are'} {', '.join(best) or 'none'}.",
    ]
    return "\n".join(lines) + "\n\n" + "\n".join(says) + "\n"


def main() -> None:
    """Build, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into examples/README.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    windows = load_file(evaluate.HELD_OUT)
    methods = [load(name) for name, point in sorted(installed().items()) if point.module.startswith("modelbuild.")]
    found = [one for method in methods for one in candidates(method)]
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "Modelfile.toml").write_text(modelfile(found))
        build(Where(root / "Modelfile.toml"), [one.target for one in found], Options())
        parents = {name: scores(FAMILY / name, "test", windows) for name in ("base", *SPECIALISTS)}
        written = table(parents, chosen(root, found, windows))
    print(written)
    if arguments.write:
        before, _, rest = README.read_text().partition(START)
        README.write_text(before + START + written + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()

"""Tell whether something became slower, fatter or chattier, by ratios: seconds of one machine say nothing about another.

    python benchmarks/run.py --output /tmp/now [--no-mergekit] [--only linear ties]
    python benchmarks/check.py /tmp/now/results.json

Every ratio of the new results is compared with the committed ones; what must hold on any machine must hold.  Ends with 1
if a ratio is worse by more than the tolerance, with 2 if there is nothing to compare.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import figures

COMMITTED = Path(__file__).resolve().parent / "results.json"
TOLERANCE = 0.25


def regressions(new: figures.Results, old: figures.Results, tolerance: float) -> tuple[list[str], int]:
    """Return a line for each figure that became worse, and how many were compared."""
    lines, compared = [], 0
    for shape in new["shapes"]:
        known = {figure.key: figure.value for figure in figures.of(old, shape)} if shape in old["shapes"] else {}
        for figure in figures.of(new, shape):
            if figure.kind == "ratio" and figure.key in known:
                compared += 1
                before = known[figure.key]
                if figure.worse(before) > 1 + tolerance:
                    share = f"{figure.worse(before) - 1:.0%} worse than {before:.3g}, {tolerance:.0%} allowed"
                    lines.append(f"{shape}: {figure.key} is {figure.value:.3g}: {share}")
            elif figure.kind == "bound" and figure.wanted:
                compared += 1
                if not figure.reaches(figure.wanted.must):
                    limit = "least" if figure.more else "most"
                    lines.append(f"{shape}: {figure.key} is {figure.value:.3g}: at {limit} {figure.wanted.must:g} allowed")
    return lines, compared


def main() -> None:
    """Check from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("new", type=Path, help="results.json of a run with the code as it is now")
    parser.add_argument(
        "committed", type=Path, nargs="?", default=COMMITTED, help="results.json to compare with; default: the committed one"
    )
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, metavar="SHARE", help=f"default {TOLERANCE}")
    arguments = parser.parse_args()
    for path in (arguments.new, arguments.committed):
        if not path.is_file():
            parser.error(f"there is no {path}")
    new, old = figures.read(arguments.new), figures.read(arguments.committed)
    if not set(new["shapes"]) & set(old["shapes"]):
        parser.error(f"nothing to compare: {arguments.new} and {arguments.committed} have no shape in common")
    lines, compared = regressions(new, old, arguments.tolerance)
    for line in lines:
        print(line)
    print(f"{compared} figures compared, {len(lines)} worse")
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()

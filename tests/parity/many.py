"""Run by the Python that mergekit is installed for: does the merges of a JSON file, configs by the directory to write."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(asked: Path) -> None:
    """Merge one after another."""
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    options = MergeOptions(copy_tokenizer=False, write_model_card=False, quiet=True)
    for out, config in json.loads(asked.read_text()).items():
        run_merge(MergeConfiguration.model_validate(config), out, options=options)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

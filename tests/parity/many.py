"""Run by the Python that mergekit is installed for: does the merges of a JSON file, configs by the directory to write.

many.py ASKED         all of them
many.py ASKED N       until N are done; those that it refuses are told, by their directory, as JSON on the last line
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(asked: Path, wanted: int = 0) -> None:
    """Merge one after another."""
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    options = MergeOptions(copy_tokenizer=False, write_model_card=False, quiet=True)
    refused: dict[str, str] = {}
    for done, (out, config) in enumerate(json.loads(asked.read_text()).items()):
        if wanted and done - len(refused) == wanted:
            break
        try:
            run_merge(MergeConfiguration.model_validate(config), out, options=options)
        except Exception as error:
            if not wanted:
                raise
            refused[out] = f"{type(error).__name__}: {error}"
    print(json.dumps(refused))  # noqa: T201 - who asked reads it


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))

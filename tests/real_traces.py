"""Rows of the shared traces, which are data and nothing else."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def rows(folder: Path, pattern: str = "*") -> Iterator[dict[str, Any]]:
    """The traces of the files that a pattern names, resamples left out."""
    for path in sorted(folder.glob(f"{pattern}.jsonl.gz")):
        with gzip.open(path, "rt") as lines:
            for row in map(json.loads, lines):
                if "problem_id" in row:
                    yield row

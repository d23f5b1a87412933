"""The outs of the pipeline, from DVC's own index."""

import os
from pathlib import Path

from lifeboat.proof.expected import opened, readable


def paths(root: Path) -> list[str]:
    """Every out of the pipeline, relative to `root`, with or without bytes.

    Raises:
        UserError: where dvc.yaml cannot be read.
    """
    with opened(root) as repo, readable("The pipeline"):
        return sorted(os.path.relpath(str(out.fs_path), root) for out in repo.index.outs)

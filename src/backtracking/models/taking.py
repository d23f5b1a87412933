"""A model from elsewhere, brought into a folder of the study: checked first, then copied."""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from backtracking.models import dequantised, folders, holdable, hub, sources
from backtracking.models.formats import DESCRIPTION_FILES
from lifeboat.stage import artifacts


def take(source: str, revision: str | None, dtype: str, root: Path, folder: Path) -> None:
    """Writes a model into a folder.

    Args:
        source: see `sources`.
        revision: likewise; of the hub a commit (`runtime/pins.py` refuses others before any stage).
        dtype: that a GGUF file is unpacked to.
        root: the folder that paths are relative to.
        folder: of the study; replaced as a whole.

    Raises:
        UserError: for a source that is not there or may not be had, for what the engines of a
            study cannot hold, and for a disk that is too small.
    """
    found = sources.find(source, revision, root)
    if isinstance(found, Path) and sources.is_gguf(found):
        with artifacts.new_folder(folder) as fresh:
            dequantised.write(found, fresh, dtype)
        return
    if isinstance(found, Path):
        place = folders.locate(found)
        holdable.require(place, str(found))
    else:
        accept = partial(holdable.require, named=found.hub_id)
        place = folders.require_files(hub.fetch(found.hub_id, found.revision, accept, folder))
    weights = [path.name for path in place.glob("*.safetensors")]
    with artifacts.new_folder(folder) as fresh:
        copy(place, fresh, (*weights, *DESCRIPTION_FILES))


def copy(source: Path, target: Path, names: Sequence[str]) -> None:
    """Copies those of the files that are there."""
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)

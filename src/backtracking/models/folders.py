"""The files of a model: where they are, which of them are read, and what is wrong with a folder."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from safetensors import safe_open

from backtracking.models import hub
from backtracking.models.formats import (
    CONFIG,
    INDEX,
    TOKENIZER_FILES,
    VOCABULARY_FILES,
    WEIGHTS,
    first_line,
    foreign,
)
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

_LFS = b"version https://git-lfs"
_CURE = "A model folder is what `save_pretrained` of a model writes."


def model_sha256(folder: Path) -> str:
    """Hash of a model folder's weights and config.json, whatever else stands beside them."""
    return _hash([*folder.glob("*.safetensors"), folder / CONFIG])


def tokenizer_sha256(folder: Path) -> str:
    """Hash of a model folder's tokenizer files."""
    return _hash([folder / name for name in TOKENIZER_FILES if (folder / name).is_file()])


def hashes(folder: Path) -> tuple[str, str]:
    """Those of the model and of its tokenizer."""
    return model_sha256(folder), tokenizer_sha256(folder)


def _hash(paths: list[Path]) -> str:
    return artifacts.sha256_json({path.name: artifacts.sha256_file(path) for path in paths})


def locate(source: Path | str, revision: str | None = None) -> Path:
    """The folder of a model, fetched from the hub where `source` is a hub id.

    Raises:
        UserError: for a folder that is missing, lacks config or weights, has pointers in place of
            files, or two sets of weights.
    """
    return require_files(_folder(source, revision))


def require_tokenizer(folder: Path) -> None:
    """Checks that a vocabulary is there.

    Raises:
        UserError: where none is.
    """
    if not any((folder / name).is_file() for name in VOCABULARY_FILES):
        raise UserError(
            f"The model folder {folder} has no tokenizer (tokenizer.json), and texts are to be "
            "read or written.",
            "A tokenizer's `save_pretrained` writes one. Token ids are extracted without.",
        )


def _folder(source: Path | str, revision: str | None) -> Path:
    if Path(source).is_dir():
        if revision is not None:
            raise UserError(
                f"{source} is a folder, and revision {revision!r} was asked for.",
                "A revision belongs to a hub id; leave it out.",
            )
        return Path(source)
    if isinstance(source, Path) or not re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", source):
        raise UserError(
            f"The model folder {source} does not exist.",
            "Make it with `dvc --wait-for-lock repro`, or fetch it with `dvc pull`.",
        )
    return hub.fetch(source, revision)


def require_files(folder: Path) -> Path:
    """Checks that a folder has config and weights that can be read; returns it.

    Raises:
        UserError: as `locate`.
    """
    for path in sorted(folder.iterdir()):
        _require_content(path)
    if not (folder / CONFIG).is_file():
        raise UserError(f"The model folder {folder} has no {CONFIG}.", _foreign(folder) or _CURE)
    sharded, single = _sharded(folder), folder / WEIGHTS
    missing = [name for name in sharded if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder / INDEX} names {len(sharded)} files of weights, and {len(missing)} are not "
            f"there: {missing[0]}.",
            "Fetch them as well, or make the folder again.",
        )
    if not sharded and not single.is_file():
        raise UserError(
            f"The model folder {folder} has no weights (*.safetensors).", _foreign(folder) or _CURE
        )
    if sharded and single.is_file() and WEIGHTS not in sharded:
        _require_same(folder, sharded)
    return folder


def _require_content(path: Path) -> None:
    """Refuses a file of git-lfs that stands for another."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        start = file.read(200)
    if start.startswith(_LFS):
        size = re.search(rb"^size (\d+)", start, re.MULTILINE)
        of = f" of {int(size[1]) / 1e9:,.1f} GB" if size else ""
        raise UserError(
            f"{path} is a pointer of git-lfs: the file{of} that it stands for was not fetched.",
            f"Run `git lfs install && git lfs pull` in {path.parent}, or take the hub id.",
        )


def _sharded(folder: Path) -> list[str]:
    """The files that the index names; empty without one."""
    if not (folder / INDEX).is_file():
        return []
    try:
        names = json.loads((folder / INDEX).read_text())["weight_map"].values()
        return sorted(set(names))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{folder / INDEX} is no index of weights: {first_line(error)}",
            "Fetch it or make the folder again.",
        ) from None


def _require_same(folder: Path, sharded: list[str]) -> None:
    """Refuses a single file and shards beside it that do not hold the same: which is meant?"""
    whole = dict(_tensors(folder, [WEIGHTS]))
    parts = dict(_tensors(folder, sharded))
    if whole != parts:
        raise UserError(
            f"{folder} holds two sets of weights that differ: {WEIGHTS}, and the {len(sharded)} "
            f"files of {INDEX}. transformers would read the first and not look at the others.",
            f"Move away the one that is not meant: {WEIGHTS}, or {INDEX} and its files.",
        )


def _tensors(folder: Path, names: list[str]) -> Iterator[tuple[str, str]]:
    """Name and hash of every tensor."""
    import hashlib

    import torch

    for name in names:
        with safe_open(folder / name, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 (not a dictionary)
                tensor = file.get_tensor(key).contiguous()
                described = f"{tensor.dtype} {tuple(tensor.shape)}".encode()
                content = tensor.flatten().view(torch.uint8).numpy()
                yield key, hashlib.sha256(described + content.tobytes()).hexdigest()


def _foreign(folder: Path) -> str | None:
    return foreign([path.name for path in folder.iterdir()])

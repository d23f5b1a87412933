"""Rows of a data set: JSON Lines (also gzipped), JSON or Parquet, on this machine or on the hub.

No data set is part of this repository. A file on the hub is named by a commit, and any file may be
named by its SHA-256, so that a study says which rows it read.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backtracking.records.imported import rows_of
from backtracking.runtime.pins import COMMIT
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

_CURE = "Files are .jsonl, .jsonl.gz, .json (an array of objects) or .parquet."


@dataclass(frozen=True)
class DataSet:
    """Where the rows of a data set stand.

    Attributes:
        source: a folder, from that of params.yaml, or a data set's id on the hub.
        revision: its commit there; None for a folder.
        files: within it, in this order.
        sha256: of each file; empty where nobody has written them down.
        licence: of the data, for who reads the study.
    """

    source: str
    revision: str | None
    files: tuple[str, ...]
    sha256: tuple[str, ...]
    licence: str

    def __post_init__(self) -> None:
        if not self.files:
            raise ValueError("`files` names none.")
        if self.sha256 and len(self.sha256) != len(self.files):
            raise ValueError(f"{len(self.sha256)} hashes for {len(self.files)} files.")

    def rows(self, root: Path) -> Iterator[dict[str, Any]]:
        """All rows.

        Args:
            root: the folder of params.yaml.

        Raises:
            UserError: for a file that is missing, is another one or cannot be read, and for a data
                set on the hub without a commit.
        """
        for path, expected in zip(self._paths(root), self._hashes, strict=True):
            found = artifacts.sha256_file(path)
            if expected and found != expected:
                raise UserError(
                    f"{path} is another file: expected the SHA-256 {expected}, found {found}.",
                    "Take the file that the study names, or write the new hash into params.yaml.",
                )
            yield from read_rows(path)

    def pinned(self, root: Path) -> "DataSet":
        """Itself with what it lacks: the commit that `main` is now, and the hashes of its files.

        Args:
            root: the folder of params.yaml.

        Raises:
            UserError: where the hub does not let it be read.
        """
        is_loose = not (root / self.source).is_dir() and not self._is_pinned
        found = replace(self, revision=self._latest()) if is_loose else self
        hashes = self.sha256 or tuple(map(artifacts.sha256_file, found._paths(root)))
        return replace(found, sha256=hashes)

    @property
    def _is_pinned(self) -> bool:
        return bool(COMMIT.fullmatch(self.revision or ""))

    def _latest(self) -> str | None:
        from httpx2 import HTTPError
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        from backtracking.models import refused

        try:
            url = hf_hub_url(self.source, self.files[0], repo_type="dataset")
            return get_hf_file_metadata(url).commit_hash
        except (HTTPError, OSError, ValueError) as error:
            raise refused.told(error, f"datasets/{self.source}", None) from error

    @property
    def _hashes(self) -> Sequence[str]:
        return self.sha256 or [""] * len(self.files)

    def _paths(self, root: Path) -> list[Path]:
        folder = root / self.source
        if folder.is_dir():
            return [_existing(folder / name) for name in self.files]
        if not self._is_pinned:
            raise UserError(
                f"{folder} is no folder, and a data set on the hub needs a commit: expected 40 "
                f"hexadecimal digits as the revision of {self.source}, found {self.revision!r}.",
                "Put the files into the folder, or have `backtracking profile pin` ask the hub for "
                "the commit.",
            )
        return [self._fetched(name) for name in self.files]

    def _fetched(self, name: str) -> Path:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        try:
            found = hf_hub_download(self.source, name, repo_type="dataset", revision=self.revision)
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            raise UserError(
                f"{name} of the data set {self.source} could not be fetched: {error}",
                "Look at its name, at the network, and at HF_TOKEN where access is asked for.",
            ) from error
        return Path(found)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one file.

    Raises:
        UserError: where it is missing, or of another format.
    """
    name = _existing(path).name
    if name.endswith(".parquet"):
        yield from _parquet_rows(path)
    elif name.endswith((".jsonl", ".jsonl.gz")):
        yield from (row for _, row in rows_of(path, _CURE))
    elif name.endswith(".json"):
        yield from (_object(row, path) for row in json.loads(path.read_text("utf-8")))
    else:
        raise UserError(f"{path} is of an unknown format.", _CURE)


def _parquet_rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path} is no Parquet file: {error}.", _CURE) from None


def _object(row: Any, path: Path) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise UserError(f"{path}: expected objects, found {row!r:.60}.", _CURE)
    return row


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"{path} does not exist.", "Put it there, or name another file.")
    return path

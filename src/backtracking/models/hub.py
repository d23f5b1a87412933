"""A model of the Hugging Face Hub, brought whole into the hub's cache.

What it is comes first, its weights last: access, commit, files, configuration and the room on the
disk are looked at before anything large is asked for. A large file goes on at the byte at which it
broke off, which the hub's own client does not do, and counts only when its hash is the one that the
hub lists. No pickle is fetched, and no code of a repository.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import httpx2
from huggingface_hub import (
    HfApi,
    constants,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from backtracking.models.formats import (
    CONFIG,
    DESCRIPTION_FILES,
    INDEX,
    WEIGHTS,
    foreign,
    is_wanted,
)
from backtracking.models.refused import told
from lifeboat.stage import artifacts, interruption, progress
from lifeboat.stage.claims import claimed
from lifeboat.stage.errors import UserError

_WANTED, _UNWANTED = ["*.safetensors", *DESCRIPTION_FILES], ["*/*", "consolidated*"]
_CHUNK = 2**20
_N_TRIES = 5
_TIMEOUT_S = 30.0


def fetch(
    hub_id: str,
    revision: str | None = None,
    accept: Callable[[Path], object] = lambda _folder: None,
    copied_to: Path | None = None,
) -> Path:
    """The folder of a model in the hub's cache, with every file of it that is read.

    Args:
        hub_id: such as `Qwen/Qwen3-8B-Base`.
        revision: branch, tag or commit [main].
        accept: called with a folder that holds config.json alone, before weights are asked for.
        copied_to: a folder on whose disk there has to be room for a copy.

    Raises:
        UserError: for what the hub does not give, with the cure; for a repository without
            safetensors; for a disk that is too small; for a file that is not what the hub lists.
    """
    if (cached := _in_cache(hub_id, revision)) is not None:
        accept(cached)
        return cached
    try:
        commit = commit_of(hub_id, revision)
        files = _files(hub_id, commit)
        _require_weights(hub_id, commit, [file.path for file in files])
        accept(Path(_snapshot(hub_id, commit, [CONFIG])))
        blobs = _folder(hub_id) / "blobs"
        large = [file for file in files if is_wanted(file.path) and file.lfs is not None]
        missing = [file for file in large if not (blobs / _sha256(file)).exists()]
        _require_room(hub_id, blobs, missing, copied_to, sum(file.size for file in large))
        n_bytes = sum(file.size for file in missing)
        with progress.bar(f"fetching {hub_id}", n_bytes, "bytes", shown=bool(missing)) as advance:
            for file in missing:
                _download(hub_id, commit, file, blobs, advance)
        names = [file.path for file in files if is_wanted(file.path)]
        return Path(_snapshot(hub_id, commit, names))
    except (OSError, ValueError, httpx2.HTTPError) as error:
        raise told(error, hub_id, revision) from None


def commit_of(hub_id: str, revision: str | None) -> str:
    """The commit that a branch or tag stands at; a commit itself, which nobody is asked about.

    Raises:
        OSError, ValueError, httpx2.HTTPError: as the hub's client does.
    """
    if revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    return str(HfApi().model_info(hub_id, revision=revision, timeout=_TIMEOUT_S).sha)


def _folder(hub_id: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}"


def _in_cache(hub_id: str, revision: str | None) -> Path | None:
    """The folder of a model that was fetched before, whole."""
    try:
        found = Path(
            snapshot_download(
                hub_id,
                revision=revision,
                local_files_only=True,
                allow_patterns=_WANTED,
                ignore_patterns=_UNWANTED,
            )
        )
    except (LocalEntryNotFoundError, ValueError):
        return None
    has_weights = (found / WEIGHTS).is_file() or (found / INDEX).is_file()
    return found if has_weights and (found / CONFIG).is_file() else None


def _snapshot(hub_id: str, commit: str, names: list[str]) -> str:
    """The folder of a commit with these files, those that are there already linked."""
    return snapshot_download(hub_id, revision=commit, allow_patterns=names)


def _files(hub_id: str, commit: str) -> list[RepoFile]:
    found = HfApi().list_repo_tree(hub_id, revision=commit, recursive=False)
    return [one for one in found if isinstance(one, RepoFile)]


def _require_weights(hub_id: str, commit: str, names: list[str]) -> None:
    """Refuses a repository without config or safetensors, before anything of it is fetched."""
    where = f"{hub_id!r} at {commit[:12]}"
    cure = foreign(names) or "Take a repository of a model in transformers format."
    if CONFIG not in names:
        raise UserError(f"{where} has no {CONFIG}.", cure)
    if WEIGHTS not in names and INDEX not in names:
        raise UserError(f"{where} has no weights (*.safetensors).", cure)


def _require_room(
    hub_id: str, blobs: Path, missing: list[RepoFile], copied_to: Path | None, n_copied: int
) -> None:
    """Checks that what is to come, and a copy of the model, fit on their disks."""
    n_missing = sum(file.size - _n_there(blobs, file) for file in missing)
    wanted = [(blobs, n_missing), *([(copied_to, n_copied)] if copied_to else [])]
    by_disk: dict[int, int] = {}
    for folder, n_bytes in wanted:
        place = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        disk = place.stat().st_dev
        by_disk[disk] = by_disk.get(disk, 0) + n_bytes
        what = f"{hub_id} (its files, and a copy in {copied_to})" if copied_to else hub_id
        artifacts.require_free_space(place, by_disk[disk], what)


def _sha256(file: RepoFile) -> str:
    assert file.lfs is not None
    return file.lfs.sha256


def _part(blobs: Path, file: RepoFile) -> Path:
    return blobs.parent / "parts" / _sha256(file)


def _n_there(blobs: Path, file: RepoFile) -> int:
    part = _part(blobs, file)
    return part.stat().st_size if part.exists() else 0


def _download(
    hub_id: str, commit: str, file: RepoFile, blobs: Path, advance: Callable[[int], None]
) -> None:
    """Brings one large file to where the hub's own client looks for it.

    Raises:
        UserError: where its hash is not the one that the hub lists; it is removed.
    """
    part, target = _part(blobs, file), blobs / _sha256(file)
    with claimed(part.parent, part.name):
        if target.exists():  # another process brought it meanwhile
            return
        advance(_n_there(blobs, file))
        _go_on(hf_hub_url(hub_id, file.path, revision=commit), part, file.size, advance)
        if (found := artifacts.sha256_file(part)) != target.name:
            part.unlink()
            raise UserError(
                f"{file.path} of {hub_id!r} came with the SHA-256 {found[:12]}..., and the hub "
                f"lists {target.name[:12]}... for it: what came was removed.",
                "Start it again; where it happens twice, something on the way changes files.",
            )
        artifacts.make_folder(blobs)
        os.replace(part, target)


def _go_on(url: str, part: Path, size: int, advance: Callable[[int], None]) -> None:
    """Reads a file from where the part that is there ends; a broken connection is taken up."""
    for n_left in reversed(range(_N_TRIES)):
        try:
            _stream(url, part, size, advance)
            return
        except httpx2.TransportError:
            if not n_left:
                raise


def _stream(url: str, part: Path, size: int, advance: Callable[[int], None]) -> None:
    """One connection's bytes, appended to the part; a stop between two of them loses nothing."""
    there = part.stat().st_size if part.exists() else 0
    if there >= size > 0:
        return
    headers = build_hf_headers() | {"Range": f"bytes={there}-", "Accept-Encoding": "identity"}
    with get_session().stream("GET", url, headers=headers, timeout=_TIMEOUT_S) as response:
        hf_raise_for_status(response)
        # A server that knows no ranges sends it all again.
        with part.open("ab" if response.status_code == 206 else "wb") as file:
            for chunk in response.iter_bytes(_CHUNK):
                file.write(chunk)
                advance(len(chunk))
                interruption.checkpoint()

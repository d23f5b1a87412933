"""The manifest of an activation store, read with distrust."""

from pathlib import Path
from typing import Any

from backtracking.activations.format import FORMAT, MANIFEST, Shard
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

CURE = (
    "Fetch the folder again with `dvc checkout` or `dvc pull`, or make it again with "
    "`dvc --wait-for-lock repro` or `backtracking extract --repair`."
)

_KEYS = {
    "hook", "layers", "positions", "dtype", "d_model", "model_sha256", "tokenizer_sha256",
    "units", "check", "complete",
}  # fmt: skip


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished store.

    Raises:
        UserError: where it is missing, of another format, incomplete, or names a file elsewhere.
    """
    path = folder / MANIFEST
    manifest = artifacts.read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else manifest
        raise UserError(
            f"{path}: expected an activation store of format {FORMAT}, found {found!r}.", CURE
        )
    missing = sorted(_KEYS - set(manifest))
    if missing or manifest["complete"] is not True:
        what = f"lacks {', '.join(missing)}" if missing else "is not that of a finished store"
        raise UserError(f"{path} {what}.", CURE)
    for shard in shards_of(manifest, path):
        if Path(shard.file).name != shard.file:
            raise UserError(f"{path} names the file {shard.file!r}, outside its folder.", CURE)
    return manifest


def shards_of(manifest: dict[str, Any], path: Path) -> list[Shard]:
    """The shards that a manifest lists, in the order of the traces.

    Raises:
        UserError: where an entry is not one of a shard.
    """
    try:
        return [Shard(**unit) for unit in manifest["units"]]
    except TypeError as error:
        raise UserError(f"{path}: an entry of `units` is not a shard's: {error}.", CURE) from None

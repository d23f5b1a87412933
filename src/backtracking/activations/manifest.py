"""The manifest of an activation store, read with distrust."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from backtracking.activations.format import FORMAT, MANIFEST, Positions, Shard
from backtracking.records import reader
from backtracking.records.decoding import may_be_absent, names_of
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

CURE = (
    "Fetch the folder again with `dvc checkout` or `dvc pull`, or make it again with "
    "`dvc --wait-for-lock repro` or `backtracking extract --repair`."
)


@dataclass(frozen=True)
class Check:
    """What was measured; a difference is relative: its norm over the reference's, largest row.

    Attributes:
        n_traces: traces compared.
        n_rows: rows compared, in every layer.
        parity: difference to a plain, unpadded forward pass of one trace that reports its hidden
            states.
        batch_invariance: difference to the same traces in another batch, padded wider.
        floor: the bound that both had to keep.
        device: kind of device that the model ran on.
        attention: attention implementation.
        model_dtype: dtype in which the model ran.
    """

    n_traces: int
    n_rows: int
    parity: float
    batch_invariance: float
    floor: float
    device: str
    attention: str
    model_dtype: str


@dataclass(frozen=True)
class Halved:
    """A unit that a lack of memory made with fewer tokens in a batch than was asked for.

    Attributes:
        key: of its shard.
        asked: the key that was asked for.
        tokens_per_batch: those that fitted.
    """

    key: str
    asked: str
    tokens_per_batch: int


@dataclass(frozen=True)
class Imported:
    """Where the rows of a store come from, as its manifest says it.

    Attributes:
        layer_ids: the server's ids of the layers in its files.
        n_files: files that were read.
        compared_to: the layer up to which every token of every trace was compared.
        traces: those that were compared at every layer.
    """

    layer_ids: tuple[int, ...]
    n_files: int
    compared_to: int
    traces: tuple[int, ...]


@dataclass(frozen=True)
class Manifest:
    """What a store is.

    Attributes:
        hook: what is stored: `resid_post`, `resid_pre`, `attn_out` or `mlp_out`.
        layers: those that are stored.
        positions: the rows that are kept of each trace.
        dtype: of what is stored.
        d_model: width of the residual stream.
        model_sha256, tokenizer_sha256: of the model that was read.
        check: what was measured.
        unit_traces, tokens_per_batch, n_threads: portions in which it was made.
        halved: units in other portions.
        versions: of the packages that made it.
        imported: where the rows come from; None where they were computed.
        units: the shards, in the order of the traces.
        complete: whether all of them are there.
        format: version of all this.
    """

    hook: str
    layers: tuple[int, ...]
    positions: Positions
    dtype: str
    d_model: int
    model_sha256: str
    tokenizer_sha256: str
    check: Check
    unit_traces: int = may_be_absent(1)
    tokens_per_batch: int = may_be_absent(1)
    n_threads: int = may_be_absent(1)
    halved: tuple[Halved, ...] = may_be_absent(())
    versions: Mapping[str, str] | None = may_be_absent()
    imported: Imported | None = may_be_absent()
    units: tuple[Shard, ...] = ()
    complete: bool = False
    format: int = field(default=FORMAT)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished store; keys that are not known here mean nothing to it.

    Raises:
        UserError: where it is missing, of another format, incomplete, or names a file elsewhere.
    """
    path = folder / MANIFEST
    value = artifacts.read_json(path)
    found = value.get("format") if isinstance(value, dict) else value
    if not isinstance(value, dict) or found != FORMAT:
        raise UserError(
            f"{path}: expected an activation store of format {FORMAT}, found {found!r}.", CURE
        )
    known = {name: value[name] for name in names_of(Manifest) if name in value}
    manifest = reader.decode(Manifest, known, str(path), CURE)
    if not manifest.complete:
        raise UserError(f"{path} is not that of a finished store.", CURE)
    for shard in manifest.units:
        if Path(shard.file).name != shard.file:
            raise UserError(f"{path} names the file {shard.file!r}, outside its folder.", CURE)
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes what `read_manifest` reads, without what is None."""
    value = reader.encode(manifest)
    told = {name: one for name, one in value.items() if one is not None}
    artifacts.write_json(folder / MANIFEST, told)

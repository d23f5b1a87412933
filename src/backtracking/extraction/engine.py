"""A whole extraction: what is missing is computed, one unit is checked, all are published."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import load_file

from backtracking import artifacts, interruption, progress
from backtracking.errors import UserError
from backtracking.extraction import planning, selfcheck
from backtracking.extraction.format import FORMAT, HOOK
from backtracking.extraction.planning import Item, Request, Unit
from backtracking.extraction.running import run_unit
from backtracking.extraction.store import ShardStore, publish
from backtracking.models import LoadedModel


@dataclass(frozen=True)
class Extraction:
    """What an extraction did.

    Attributes:
        n_units: units of the request.
        n_computed: units that were not in the store.
        n_rows: rows of activations, in every layer.
        check: the measured self-check.
    """

    n_units: int
    n_computed: int
    n_rows: int
    check: selfcheck.Check


def extract(
    model: LoadedModel,
    items: Sequence[Item],
    request: Request,
    *,
    store: Path,
    out: Path,
    floor: float,
) -> Extraction:
    """Makes `out` an activation store of the items, computing only units that are not in `store`.

    May be ended at any moment and started again: at most the unit in hand is lost, and the bytes
    of `out` are those of an undisturbed run.

    Args:
        model: the model.
        items: the traces with their sentence spans.
        request: layers, positions, dtype and portions.
        store: folder of the shards by key; outside `out`.
        out: the folder to publish.
        floor: largest relative difference that the self-check accepts.

    Raises:
        UserError: where the disk is too small for the estimate, a layer does not exist, a token
            id is none of the model's, or the self-check fails; `out` is left as it was.
        SystemExit: with code 75, after the unit in hand, when the process was asked to stop.
    """
    _require_layers(model, request)
    _require_known_ids(model, items)
    units = planning.plan_units(items, request, _identity(model))
    shards = ShardStore(store)
    shards.sweep()
    shard_by_key = {unit.key: shard for unit in units if (shard := shards.find(unit.key))}
    missing = [unit for unit in units if unit.key not in shard_by_key]
    n_bytes = planning.estimated_bytes(missing, request, model.d_model)
    artifacts.require_free_space(store, n_bytes, f"Extraction of {len(missing)} units")

    def compute(unit: Unit) -> None:
        interruption.checkpoint()
        shard_by_key[unit.key] = shards.write(unit.key, run_unit(model, unit, request))

    # One unit is finished and checked first, so that a wrong setup fails before the long part.
    first = next(unit for unit in units if unit.n_rows)
    if first.key not in shard_by_key:
        compute(first)
    stored = load_file(shards.path(first.key))
    check = selfcheck.check(model, first, stored, request, floor)
    for unit in _shown([unit for unit in missing if unit is not first]):
        compute(unit)
    interruption.checkpoint()
    ordered = [shard_by_key[unit.key] for unit in units]
    publish(shards, ordered, _manifest(model, request, check), out)
    return Extraction(len(units), len(missing), sum(shard.rows for shard in ordered), check)


def _shown(units: Sequence[Unit]) -> Iterator[Unit]:
    """The units, while progress counts their tokens."""
    with progress.bar("extracting", sum(map(_n_tokens, units)), "tokens") as advance:
        for unit in units:
            yield unit
            advance(_n_tokens(unit))


def _n_tokens(unit: Unit) -> int:
    return sum(len(unit.items[number].ids) for batch in unit.batches for number in batch)


def _identity(model: LoadedModel) -> dict[str, str]:
    return {
        "model_sha256": model.model_sha256,
        "tokenizer_sha256": model.tokenizer_sha256,
        "dtype": str(model.model.dtype),
        "attention": str(model.model.config._attn_implementation),
        "device": model.device.type,
    }


def _manifest(model: LoadedModel, request: Request, check: selfcheck.Check) -> dict[str, object]:
    return {
        "format": FORMAT,
        "hook": HOOK,
        "layers": list(request.layers),
        "positions": asdict(request.positions),
        "dtype": request.dtype,
        "d_model": model.d_model,
        "model_sha256": model.model_sha256,
        "tokenizer_sha256": model.tokenizer_sha256,
        "check": asdict(check),
    }


def _require_layers(model: LoadedModel, request: Request) -> None:
    unknown = [layer for layer in request.layers if not 0 <= layer < model.n_layers]
    if unknown or not request.layers:
        raise UserError(
            f"Expected layers from 0 to {model.n_layers - 1}, found {list(request.layers)}.",
            "Correct `layers` in params.yaml; null is every layer.",
        )


def _require_known_ids(model: LoadedModel, items: Sequence[Item]) -> None:
    d_vocab = model.model.get_input_embeddings().weight.shape[0]  # type: ignore[union-attr]
    for item in items:
        if max(item.ids, default=0) >= d_vocab or min(item.ids, default=0) < 0:
            raise UserError(
                f"Trace {item.trace} has token ids from {min(item.ids)} to {max(item.ids)}, and "
                f"the model embeds ids from 0 to {d_vocab - 1}.",
                "Extract with a model of the tokenizer that the traces were written with.",
            )

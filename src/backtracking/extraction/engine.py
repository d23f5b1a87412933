"""A whole extraction: what is missing is computed, one unit is checked, all are published."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from backtracking.activations.manifest import Check, Halved, Manifest
from backtracking.extraction import planning, published, selfcheck
from backtracking.extraction.filling import Filler
from backtracking.extraction.items import Item
from backtracking.extraction.planning import Request, Unit
from backtracking.extraction.reuse import Shelf
from backtracking.extraction.running import Reader, open_reader
from backtracking.extraction.sampling import Survey, known
from backtracking.extraction.store import ShardStore, publish
from backtracking.models.loading import LoadedModel
from lifeboat.stage import artifacts, interruption
from lifeboat.stage.errors import UserError

PACKAGES = ("torch", "transformers", "safetensors")
Helpers = Callable[[Sequence[Unit]], AbstractContextManager[object]]


@dataclass(frozen=True)
class Extraction:
    """What an extraction did.

    Attributes:
        n_units: units of the request.
        n_computed: units that needed a forward pass, here or in a helper.
        n_assembled: units made of older shards alone.
        n_rows: rows of activations, in every layer.
        n_bytes: bytes of all shards.
        check: the measured self-check.
    """

    n_units: int
    n_computed: int
    n_assembled: int
    n_rows: int
    n_bytes: int
    check: Check


def extract(
    model: LoadedModel,
    items: Sequence[Item],
    request: Request,
    *,
    store: Path,
    out: Path,
    floor: float,
    repair: bool = False,
    helpers: Helpers = lambda _: nullcontext(),
) -> Extraction:
    """Makes `out` an activation store of the items, computing only what is not in `store`.

    May be ended at any moment and started again: at most the unit in hand is lost, on a GPU also
    the one being written, and the bytes of `out` are those of an undisturbed run.

    Args:
        model: the model.
        items: the traces with their sentence spans; gone through once, then read unit by unit.
        request: hook, layers, positions, dtype and portions.
        store: folder of the shards by key; outside `out`.
        out: the folder to publish.
        floor: largest relative difference that the self-check accepts.
        repair: whether damaged shards of an `out` that is there are computed again.
        helpers: called with the missing units; a context in which others compute them too.

    Raises:
        UserError: where the disk is too small for the estimate, a layer does not exist, a token
            id is none of the model's, `out` holds anything but an activation store or has damaged
            shards, or the self-check fails; `out` is left as it was.
        SystemExit: with code 75, after the unit in hand, when the process was asked to stop.
    """
    _require_layers(model, request)
    reader = open_reader(model, request)
    shards = ShardStore(store)
    published.require_replaceable(out, shards, repair=repair)
    shards.sweep()
    survey = Survey(request.positions, reader.formula)
    seen = survey.seen(known(model, items))
    units = list(planning.plan_units(seen, request, reader.identity, reader.formula))
    first = first_with_rows(units)
    shelf = Shelf(shards)
    shard_by_key = shelf.find_all(unit.key for unit in units)
    missing = [unit for unit in units if unit.key not in shard_by_key]
    n_bytes = planning.estimated_bytes(missing, request, model.d_model)
    artifacts.require_free_space(store, n_bytes, f"Extraction of {len(missing)} units")

    def check(numbers: Sequence[int]) -> Check:
        unit_of = {n: units[n // request.unit_traces] for n in numbers}
        shard_of = {
            items[n].trace: shards.path(shard_by_key[unit.key].key) for n, unit in unit_of.items()
        }
        chosen = [items[n] for n in numbers]
        return selfcheck.check(reader, chosen, lambda item: shard_of[item.trace], floor)

    # One unit is finished and checked first, so that a wrong setup fails before the long part.
    resumed = [unit for unit in units if unit.n_rows and unit.key in shard_by_key]
    with Filler(reader, items, shelf) as filler:
        for shard in shard_by_key.values():
            filler.require_finite(shard)
        being_written = filler.start([first] if first in missing else [], "extracting one to check")
        shard_by_key |= {key: future.result() for key, future in being_written.items()}
        rest = [unit for unit in missing if unit is not first]
        early = (first, *resumed[-1:]) if rest else ()
        check(sorted({n for unit in early for n in survey.of(unit.first, unit.n_items)}))
        with helpers(rest):
            shard_by_key |= filler.fill(rest)
    interruption.checkpoint()
    measured = check(survey.chosen())
    ordered = [shard_by_key[unit.key] for unit in units]
    halved = _halved(shards, [unit.key for unit in units if shard_by_key[unit.key].key != unit.key])
    publish(shards, ordered, manifest(reader, measured, halved), out)
    return Extraction(
        n_units=len(units),
        n_computed=len(missing) - filler.n_assembled,
        n_assembled=filler.n_assembled,
        n_rows=sum(shard.rows for shard in ordered),
        n_bytes=sum(shard.bytes for shard in ordered),
        check=measured,
    )


def manifest(reader: Reader, check: Check, halved: Sequence[Halved] = ()) -> Manifest:
    """What a manifest says beside its units."""
    model, request = reader.model, reader.request
    return Manifest(
        hook=request.hook,
        layers=tuple(request.layers),
        positions=request.positions,
        dtype=request.dtype,
        d_model=model.d_model,
        model_sha256=model.model_sha256,
        tokenizer_sha256=model.tokenizer_sha256,
        unit_traces=request.unit_traces,
        tokens_per_batch=request.tokens_per_batch,
        n_threads=request.n_threads,
        halved=tuple(halved),
        versions={name: version(name) for name in PACKAGES},
        check=check,
    )


def _halved(shards: ShardStore, asked: Sequence[str]) -> list[Halved]:
    """The units that a lack of memory made with fewer tokens in a batch than was asked for."""
    found = filter(None, (shards.record(key) for key in asked))
    return [Halved(shard.key, origin.asked, origin.tokens_per_batch) for shard, origin in found]


def first_with_rows(units: Sequence[Unit]) -> Unit:
    """The first unit of which a row is stored.

    Raises:
        UserError: where there is none.
    """
    for unit in units:
        if unit.n_rows:
            return unit
    raise UserError(
        f"No position of the {sum(unit.n_items for unit in units)} traces is asked for.",
        "Give sentences around which to extract, or ask for every token.",
    )


def _require_layers(model: LoadedModel, request: Request) -> None:
    unknown = [layer for layer in request.layers if not 0 <= layer < model.n_layers]
    if unknown or not request.layers:
        raise UserError(
            f"Expected layers from 0 to {model.n_layers - 1}, found {list(request.layers)}.",
            "Correct `layers`; without it, every layer is kept.",
        )

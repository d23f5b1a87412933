"""`backtracking store import`: a server's hidden states as an activation store, if they are right.

Nothing is written before the traces that are compared at every layer have passed, and no unit
before each token of it has. The server's files are only read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from backtracking.activations.format import Positions, Shard
from backtracking.activations.manifest import Check, Imported
from backtracking.extraction import planning, published, selfcheck
from backtracking.extraction.engine import first_with_rows, manifest
from backtracking.extraction.importer import Importer
from backtracking.extraction.items import TraceFile
from backtracking.extraction.planning import Request
from backtracking.extraction.running import Reader, open_reader
from backtracking.extraction.sampling import Survey, known
from backtracking.extraction.server_check import Prefixes
from backtracking.extraction.server_files import (
    DTYPES,
    Places,
    StateFile,
    find_files,
    places_of,
)
from backtracking.extraction.server_matching import Matching
from backtracking.extraction.standalone import (
    FLOOR_BY_DTYPE,
    TOKENS_BY_DEVICE,
    parse_layers,
    parse_positions,
)
from backtracking.extraction.store import ShardStore, publish
from backtracking.models import folders, loading
from backtracking.models.loading import LoadedModel
from backtracking.runtime.compute import prepare_torch
from lifeboat.stage import artifacts, progress
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class Options:
    """What the command line says; None is what the text in brackets does.

    Attributes:
        folder: what the server wrote.
        model: a folder, or a hub id.
        revision: of a hub id [main].
        traces: JSON Lines with `token_ids` and, if there are any, `prompt_ids` and `trace_id`.
        sentences: JSON Lines with `trace_id`, `index`, `start`, `end` [none].
        out: the folder to publish.
        store: folder of the shards by key [beside `out`, with a dot in front].
        layer_ids: the ids that the server was asked for, such as `1-36`.
        hook: `resid_post` or `resid_pre`.
        window: first and last offset from each sentence start, `-13:10` [every token].
        means: whether sentence means are kept as well.
        dtype: in which our own model runs [that of the files].
        device: as torch names it, or `auto`.
        unit_traces: traces of a shard [for 64 to 128 MB].
        floor: largest relative difference that is accepted [by the dtypes].
        repair: whether damaged shards of `out` are made again.
    """

    folder: Path
    model: str
    revision: str | None
    traces: Path
    sentences: Path | None
    out: Path
    store: Path | None
    layer_ids: str
    hook: str
    window: str | None
    means: bool
    dtype: str | None
    device: str
    unit_traces: int | None
    floor: float | None
    repair: bool


@dataclass(frozen=True)
class Done:
    """What an import did.

    Attributes:
        imported: where the rows come from.
        shards: the units of the store.
        n_written: units that were not there from before.
        lowest: the largest difference up to that layer, of the units that were written.
        check: the measured self-check of what is stored.
    """

    imported: Imported
    shards: tuple[Shard, ...]
    n_written: int
    lowest: float
    check: Check


def run(options: Options) -> Done:
    """Makes the activation store of a server's files.

    Raises:
        UserError: for what cannot be read or is not the traces'; naming request, token and layer
            of what is not the model's. Nothing is published then.
        SystemExit: with code 75, between two units, when the process was asked to stop.
    """
    positions = parse_positions(
        options.window, means=options.means, has_sentences=options.sentences is not None
    )
    store = options.store or options.out.parent / f".{options.out.name}.store"
    _require_apart(options.folder, options.out, store)
    files = find_files(options.folder)
    dtype = _one_dtype(files)
    model = _load(options, options.dtype or dtype)
    ids = parse_layers(options.layer_ids, model.n_layers + 1)
    places = places_of(ids, options.hook, model.n_layers)
    items = TraceFile(options.traces, options.sentences)
    request = _request(options, positions, items, model, places, dtype)
    floor = options.floor or max(FLOOR_BY_DTYPE[d] for d in (dtype, options.dtype or dtype))
    shards = ShardStore(store)
    published.require_replaceable(options.out, shards, repair=options.repair)
    shards.sweep()
    return _import(open_reader(model, request), places, files, items, shards, options.out, floor)


def told(out: Path, done: Done) -> list[str]:
    """What an import did, in three lines."""
    made, check = done.imported, done.check
    n_bytes = sum(shard.bytes for shard in done.shards)
    return [
        f"{out}: {sum(shard.rows for shard in done.shards):,} rows of {made.n_files} requests, "
        f"{n_bytes / 1e6:,.1f} MB in {len(done.shards)} shards; {done.n_written} written now.",
        f"Up to layer {made.compared_to} every token of every trace was compared before it was "
        f"written: {done.lowest:.3g} from our own forward pass at most of what was written now; "
        f"{check.floor:g} is accepted.",
        f"Every layer was compared at every token of {len(made.traces)} traces: {check.parity:g} "
        f"from a plain forward pass, {check.batch_invariance:g} between batches.",
    ]


def _import(
    reader: Reader,
    places: Places,
    files: Sequence[StateFile],
    items: TraceFile,
    shards: ShardStore,
    out: Path,
    floor: float,
) -> Done:
    model, request = reader.model, reader.request
    survey, prefixes = Survey(request.positions, reader.formula), Prefixes()
    matching = Matching(files, places, model.d_model)
    seen = prefixes.seen(matching.seen(survey.seen(known(model, items))))
    units = list(planning.plan_units(seen, request, reader.identity, reader.formula))
    matching.require_complete(items)
    first_with_rows(units)
    importer = Importer(reader, places, matching.file_by_trace, items, shards, floor)
    chosen = sorted({*survey.chosen(), *prefixes.chosen()})
    for number in progress.track(chosen, "comparing traces", unit="traces"):
        importer.require_same(items[number])
    n_bytes = planning.estimated_bytes(units, request, model.d_model)
    artifacts.require_free_space(shards.folder, n_bytes, f"Import of {len(units)} units")
    made = [importer.unit(unit) for unit in progress.track(units, "importing", unit="units")]
    shard_of = {
        number: shards.path(made[number // request.unit_traces].key) for number in survey.chosen()
    }
    measured = selfcheck.check(
        reader, [items[number] for number in shard_of], lambda item: shard_of[item.trace], floor
    )
    imported = Imported(places.ids, len(files), importer.compared_to, tuple(chosen))
    described = replace(manifest(reader, measured), imported=imported)
    publish(shards, made, described, out)
    return Done(imported, tuple(made), importer.n_written, importer.lowest, measured)


def _load(options: Options, dtype: str) -> LoadedModel:
    if dtype not in FLOOR_BY_DTYPE:
        raise UserError(f"{dtype!r} is not a dtype.", f"Use one of {', '.join(FLOOR_BY_DTYPE)}.")
    prepare_torch(torch.get_num_threads())
    place = folders.locate(options.model, options.revision)
    return loading.load(place, device=options.device, dtype=dtype)


def _request(
    options: Options,
    positions: Positions,
    items: TraceFile,
    model: LoadedModel,
    places: Places,
    dtype: str,
) -> Request:
    """What is kept, in units of few requests: a whole one is in memory until it is written."""
    layers = tuple(places.column_by_layer)
    n_traces, n_threads = options.unit_traces, torch.get_num_threads()
    request = Request(layers, positions, dtype, n_traces or 1, 1, n_threads, options.hook)
    if n_traces is None:
        request = planning.with_planned_units(items, request, model.d_model)
    return replace(request, tokens_per_batch=TOKENS_BY_DEVICE[model.device.type])


def _one_dtype(files: Sequence[StateFile]) -> str:
    for file in files:
        if file.dtype != files[0].dtype:
            raise UserError(
                f"{files[0].path} is of {DTYPES[files[0].dtype]}, and {file.path.name} of "
                f"{DTYPES[file.dtype]}: they are of two servers.",
                "Import what each has written by itself.",
            )
    return DTYPES[files[0].dtype]


def _require_apart(folder: Path, out: Path, store: Path) -> None:
    """Checks that nothing is written where the server's files are: they stay as they are."""
    source = folder.resolve()
    for path in (out.resolve(), store.resolve()):
        if path == source or path in source.parents or source in path.parents:
            raise UserError(
                f"{path} is to be written, and the server's files are in {source}.",
                "Give `--out` and `--store` elsewhere: the server's files are only read.",
            )

"""`backtracking store check`: stores made before, held against plain forward passes again."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backtracking.activations.finite import require_finite_file
from backtracking.activations.manifest import CURE
from backtracking.activations.reader import ActivationStore
from backtracking.extraction import store as shards
from backtracking.extraction.items import Item, TraceFile
from backtracking.extraction.planning import Request, rows_of
from backtracking.extraction.running import Reader, open_reader
from backtracking.extraction.sampling import Survey, known
from backtracking.extraction.selfcheck import largest, plain_rows, stored_rows
from backtracking.models import folders, loading
from backtracking.runtime.compute import prepare_torch
from lifeboat import items as reports
from lifeboat.stage.errors import UserError

_AGAIN = "Extract these traces again: what was read by a wrong formula is not taken from before."


@dataclass(frozen=True)
class Made:
    """A store with what it was made of.

    Attributes:
        store: the activations.
        reader: the model, asked as it was then.
        items: the traces.
    """

    store: ActivationStore
    reader: Reader
    items: TraceFile


def open_made(
    folder: Path,
    model: str,
    traces: Path,
    sentences: Path | None = None,
    *,
    revision: str | None = None,
    device: str = "auto",
) -> Made:
    """A store beside its model and traces.

    Args:
        folder: the store.
        model: a folder, or a hub id.
        traces: the traces that it holds, in their order.
        sentences: their sentences, where it keeps windows or means.
        revision: of a hub id.
        device: as torch names it, or `auto`.

    Raises:
        UserError: where the model is another one, or sentences are needed and not given.
    """
    store = ActivationStore(folder)
    manifest = store.manifest
    positions = manifest.positions
    if sentences is None and (positions.window is not None or positions.means):
        raise UserError(
            f"{folder} keeps rows around sentences, and none were given.",
            "Give them with `--sentences FILE`.",
        )
    place = folders.locate(model, revision)
    if folders.model_sha256(place) != manifest.model_sha256:
        raise UserError(
            f"{folder} was made with another model than {model}: weights or config.json differ.",
            "Give the model that it was made with.",
        )
    prepare_torch(manifest.n_threads)
    loaded = loading.load(place, device=device, dtype=manifest.check.model_dtype)
    request = Request(
        layers=store.layers,
        positions=positions,
        dtype=manifest.dtype,
        unit_traces=manifest.unit_traces,
        tokens_per_batch=manifest.tokens_per_batch,
        n_threads=manifest.n_threads,
        hook=store.hook,
    )
    return Made(store, open_reader(loaded, request), TraceFile(traces, sentences))


def recheck(made: Made, floor: float | None = None) -> list[reports.Item]:
    """What is wrong in a store: its bytes, values that are not finite, rows that differ.

    The rows are those of the traces that `Survey` chooses, and in each shard of those on both sides
    of the lengths at which the model changes its formula.

    Args:
        made: the store with its model and traces.
        floor: largest relative difference that is accepted [that of the store's own check].
    """
    found = list(_of_shards(made.store))
    accepted = floor or made.store.manifest.check.floor
    differences: dict[int, float] = {}
    for item, shard in _chosen(made):
        if (difference := _difference(made, item, shard)) is None:
            found.append(_wrong(item, "is not stored as these traces and sentences have it."))
            continue
        differences[item.trace] = difference
        if not difference <= accepted:
            how = f"differs by {difference:.3g} (relative) from a plain forward pass of it alone."
            found.append(_wrong(item, how))
    largest_found = max(differences.values(), default=0.0)
    return [
        *found,
        reports.Item(
            f"{made.store.folder}: {len(differences)} of {len(made.items)} traces were computed "
            f"again, the largest difference is {largest_found:.3g}; {accepted:g} is accepted."
        ),
    ]


def _of_shards(store: ActivationStore) -> Iterator[reports.Item]:
    for shard in store.manifest.units:
        path = store.folder / shard.file
        if (how := shards.damage(path, shard)) is not None:
            yield reports.Item(f"{path} is {how}.", "wrong", CURE)
            continue
        try:
            require_finite_file(path, store.hook, store.layers)
        except UserError as error:
            yield reports.Item(f"{path}: {error.args[0]}", "wrong")


def _chosen(made: Made) -> Iterator[tuple[Item, Path | None]]:
    """The traces to compute again, in their order, with the file that holds each."""
    survey = Survey(made.reader.request.positions, made.reader.formula)
    for _ in survey.seen(known(made.reader.model, made.items)):
        pass
    numbers, shard_of = set(survey.chosen()), dict[int, Path]()
    for shard in made.store:
        own = sorted({int(trace) for trace in shard.rows.trace})
        shard_of |= dict.fromkeys(own, shard.file)
        numbers.update(*survey.limits(own))
    for number in sorted(numbers):
        yield made.items[number], shard_of.get(number)


def _difference(made: Made, item: Item, shard: Path | None) -> float | None:
    """The largest relative difference of its rows; None where other rows are stored."""
    if shard is None:
        return None
    stored = stored_rows(made.reader, item, shard)
    n_rows = len(rows_of(item, made.reader.request.positions))
    if any(len(rows) != n_rows for rows in stored.values()):
        return None
    return largest(stored, plain_rows(made.reader, item))


def _wrong(item: Item, how: str) -> reports.Item:
    return reports.Item(f"Trace {item.trace} of {len(item.ids)} tokens {how}", "wrong", _AGAIN)

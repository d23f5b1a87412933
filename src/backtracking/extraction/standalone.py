"""`backtracking extract`: the engine on any model and any file of traces, without DVC or params."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from backtracking.activations.format import MANIFEST, Positions
from backtracking.extraction import planning, workers
from backtracking.extraction.engine import Extraction, extract
from backtracking.extraction.items import TraceFile
from backtracking.extraction.planning import Request
from backtracking.models import folders, loading
from backtracking.runtime.compute import prepare_torch
from lifeboat.stage.errors import UserError

FLOOR_BY_DTYPE = {"float32": 1e-5, "float16": 5e-3, "bfloat16": 3e-2}
TOKENS_BY_DEVICE = {"cpu": 2048, "cuda": 16384}


@dataclass(frozen=True)
class Options:
    """What the command line says; None is what the text in brackets does.

    Attributes:
        model: a folder, or a hub id.
        revision: of a hub id [main].
        traces: JSON Lines with `token_ids` and, if there are any, `prompt_ids` and `trace_id`.
        sentences: JSON Lines with `trace_id`, `index`, `start`, `end` [none].
        out: the folder to publish.
        store: folder of the shards by key [beside `out`, with a dot in front].
        hook: `resid_post`, `resid_pre`, `attn_out` or `mlp_out`.
        layers: `all`, or such as `0,4,10-12`.
        window: first and last offset from each sentence start, `-13:10` [every token].
        means: whether sentence means are kept as well.
        dtype: in which the model runs.
        stored_dtype: of what is stored [`dtype`].
        devices: one process each [every GPU, else the CPU].
        n_workers: processes on the CPU.
        n_threads: CPU threads of each [as an earlier run into `out`, else the cores shared out].
        unit_traces: traces of a shard [as an earlier run into `out`, else for 64 MB to 2 GB].
        tokens_per_batch: of a forward pass [as an earlier run into `out`, else by the device].
        floor: largest relative difference that the self-check accepts [by the dtypes].
        repair: whether damaged shards of `out` are computed again.
    """

    model: str
    revision: str | None
    traces: Path
    sentences: Path | None
    out: Path
    store: Path | None
    hook: str
    layers: str
    window: str | None
    means: bool
    dtype: str
    stored_dtype: str | None
    devices: tuple[str, ...]
    n_workers: int
    n_threads: int | None
    unit_traces: int | None
    tokens_per_batch: int | None
    floor: float | None
    repair: bool


def run(options: Options) -> Extraction:
    """Makes the activation store that the options ask for.

    Raises:
        UserError: for what cannot be read, or asks for what is not there; before any work.
    """
    positions = parse_positions(
        options.window, means=options.means, has_sentences=options.sentences is not None
    )
    stored_dtype = options.stored_dtype or options.dtype
    for dtype in (options.dtype, stored_dtype):
        if dtype not in FLOOR_BY_DTYPE:
            raise UserError(
                f"{dtype!r} is not a dtype.", f"Use one of {', '.join(FLOOR_BY_DTYPE)}."
            )
    before = _earlier(options.out)
    items = TraceFile(options.traces, options.sentences)
    folder = folders.locate(options.model, options.revision)
    devices = _devices(options, folder)
    n_threads = options.n_threads or before.get("n_threads")
    n_threads = n_threads or max(1, torch.get_num_threads() // len(devices))
    prepare_torch(n_threads)
    model = loading.load(folder, device=devices[0], dtype=options.dtype)
    request = Request(
        layers=parse_layers(options.layers, model.n_layers),
        positions=positions,
        dtype=stored_dtype,
        unit_traces=options.unit_traces or before.get("unit_traces") or 1,
        tokens_per_batch=options.tokens_per_batch
        or before.get("tokens_per_batch")
        or TOKENS_BY_DEVICE[model.device.type],
        n_threads=n_threads,
        hook=options.hook,
    )
    if options.unit_traces is None and "unit_traces" not in before:
        request = planning.with_planned_units(items, request, model.d_model)
    store = options.store or options.out.parent / f".{options.out.name}.store"
    job = workers.Job(folder, options.dtype, items, request, store)
    return extract(
        model,
        items,
        request,
        store=store,
        out=options.out,
        floor=options.floor or max(FLOOR_BY_DTYPE[d] for d in (options.dtype, stored_dtype)),
        repair=options.repair,
        helpers=workers.helpers(job, devices[1:]),
    )


def told(out: Path, done: Extraction) -> list[str]:
    """What an extraction did, in two lines."""
    check = done.check
    return [
        f"{out}: {done.n_rows:,} rows, {done.n_bytes / 1e6:,.1f} MB in {done.n_units} shards; "
        f"{done.n_computed} computed now, {done.n_assembled} made of older ones.",
        f"Self-check on {check.n_rows} rows: {check.parity:g} from a plain forward pass, "
        f"{check.batch_invariance:g} between batches; {check.floor:g} is accepted.",
    ]


def parse_layers(text: str, n_layers: int) -> tuple[int, ...]:
    """Layers from a list such as `0,4,10-12`, ascending; `all` is every layer.

    Raises:
        UserError: where it is no such list.
    """
    if text == "all":
        return tuple(range(n_layers))
    layers: set[int] = set()
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            layers |= set(range(int(first), int(last or first) + 1))
    except ValueError:
        raise UserError(
            f"{text!r} is not a list of layers.", "Use `all`, or such as `0,4,10-12`."
        ) from None
    return tuple(sorted(layers))


def parse_positions(window: str | None, *, means: bool, has_sentences: bool) -> Positions:
    """The rows to keep, of a window such as `-13:10`; None is every token.

    Raises:
        UserError: where it is no window, or what is asked for needs sentences that are not given.
    """
    if window is None:
        bounds = None
    else:
        try:
            first, last = (int(part) for part in window.split(":"))
        except ValueError:
            raise UserError(
                f"{window!r} is not a window.",
                "Use first and last offset, such as `--window=-13:10`.",
            ) from None
        if first > last:
            raise UserError(f"The window {window} ends before it begins.")
        bounds = (first, last)
    if not has_sentences and (bounds is not None or means):
        raise UserError(
            "A window or means around sentences were asked for, and no sentences were given.",
            "Give them with `--sentences FILE`, or leave both out: every token is kept then.",
        )
    return Positions(bounds, means)


def _devices(options: Options, folder: Path) -> Sequence[str]:
    devices = list(options.devices) or workers.visible_devices("auto", folder, options.dtype)
    if options.n_workers > 1 and len(devices) > 1:
        raise UserError("Several devices and several workers were asked for.", "Give one of both.")
    return devices * max(1, options.n_workers)


def _earlier(out: Path) -> dict[str, Any]:
    """The manifest of an earlier run into `out`, whose portions are kept, so that shards fit."""
    try:
        manifest = json.loads((out / MANIFEST).read_text())
    except (OSError, ValueError):
        return {}
    wanted = ("n_threads", "unit_traces", "tokens_per_batch")
    return {
        name: manifest[name]
        for name in wanted
        if isinstance(manifest, dict) and type(manifest.get(name)) is int
    }

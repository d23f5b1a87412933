"""What stands in the residual stream around each sentence, in one model of the study?

Both models read the very token ids that `reasoning` wrote.

Reads: models/<role>/, data/interim/traces/, data/processed/sentences/
Writes: data/interim/activations/<role>/
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from backtracking import models, params, traces
from backtracking.extraction.engine import Extraction, extract
from backtracking.extraction.planning import Item, Positions, Request, items_of
from backtracking.models import LoadedModel
from backtracking.stages.command import run_stage
from backtracking.workspace import Workspace


@dataclass(frozen=True)
class Params:
    """Section `extract` of params.yaml.

    Attributes:
        layers: layers to keep, ascending; null is every layer.
        window: first and last offset kept around each sentence start, in tokens, both included.
        means: whether the mean over each sentence is kept as well.
        dtype: in which the model runs and activations are stored.
        unit_traces: traces of a unit, which is what a crash can cost; a shard of 50 MB to 2 GB
            travels best.
        tokens_per_batch: tokens of a forward pass, padding included.
        n_threads: CPU threads; the last bits of the activations depend on it.
        parity_floor: largest relative difference to a plain forward pass that is accepted: about
            1e-5 in float32, 3e-2 in bfloat16.
        device: as torch names it, or `auto`: the GPU where there is one.
    """

    layers: tuple[int, ...] | None
    window: tuple[int, int]
    means: bool
    dtype: Literal["float32", "bfloat16", "float16"]
    unit_traces: int
    tokens_per_batch: int
    n_threads: int
    parity_floor: float
    device: str

    def __post_init__(self) -> None:
        if self.window[0] > self.window[1]:
            raise ValueError(f"`window` expects first <= last, found {list(self.window)}")
        if self.layers is not None and list(self.layers) != sorted(set(self.layers)):
            raise ValueError(f"`layers` expects ascending layers, found {list(self.layers)}")
        for name in ("unit_traces", "tokens_per_batch", "n_threads", "parity_floor"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` must be above 0, found {getattr(self, name)}")


def run(
    params: Params, model: LoadedModel, items: Sequence[Item], store: Path, out: Path
) -> Extraction:
    """The extraction of the items into `out`, through the shards of `store`."""
    request = Request(
        layers=params.layers if params.layers is not None else tuple(range(model.n_layers)),
        positions=Positions(params.window, params.means),
        dtype=params.dtype,
        unit_traces=params.unit_traces,
        tokens_per_batch=params.tokens_per_batch,
        n_threads=params.n_threads,
    )
    return extract(model, items, request, store=store, out=out, floor=params.parity_floor)


def main(argv: Sequence[str] | None = None) -> None:
    """Makes data/interim/activations/<role>."""
    run_stage(_main, argv, role=True)


def _main(workspace: Workspace, role: str) -> None:
    params_ = params.load(Params, "extract", workspace.params)
    # cuBLAS reads this once, when the GPU is first used.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(params_.n_threads)
    torch.use_deterministic_algorithms(True)
    items = items_of(
        traces.read(traces.Trace, workspace.traces / "traces.jsonl"),
        traces.read(traces.Sentence, workspace.sentences / "sentences.jsonl"),
    )
    model = models.load(workspace.model(role), device=params_.device, dtype=params_.dtype)
    done = run(params_, model, items, workspace.store / "activations", workspace.activations(role))
    print(
        f"{role}: {done.n_rows:,} rows in {done.n_units} units, {done.n_computed} of them computed "
        f"now; parity {done.check.parity:g}, floor {done.check.floor:g}."
    )


if __name__ == "__main__":
    main()

"""What stands in the residual stream around each sentence, in one model of the study?

All models read the very token ids that the one under study wrote. As a control some also read each
trace with its sentences in another order (`activations.permuted`).

Reads: models/<role>/, data/interim/traces/traces.jsonl, data/processed/labels/sentences.jsonl
Writes: data/interim/activations/<role>/, of permuted traces in permuted/ therein
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from backtracking.activations.format import Positions
from backtracking.activations.permuted import FOLDER
from backtracking.extraction import workers
from backtracking.extraction.engine import extract
from backtracking.extraction.items import Permuted, TraceFile
from backtracking.extraction.planning import Request
from backtracking.models import loading
from backtracking.runtime import cluster, params
from backtracking.runtime.command import run_stage
from backtracking.runtime.compute import prepare_torch
from backtracking.runtime.workspace import Workspace


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
        permuted: roles that read every trace with its sentences in another order as well.
        parity_floor: largest relative difference to a plain forward pass that is accepted: about
            1e-5 in float32, 3e-2 in bfloat16.
        device: as torch names it, or `auto`: every GPU that is visible, a process on each,
            or on so many as hold the model.
    """

    layers: tuple[int, ...] | None
    window: tuple[int, int]
    means: bool
    dtype: Literal["float32", "bfloat16", "float16"]
    unit_traces: int
    tokens_per_batch: int
    n_threads: int
    permuted: tuple[str, ...]
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

    def request(self, n_layers: int) -> Request:
        """What is asked of a model with this many layers."""
        return Request(
            layers=self.layers if self.layers is not None else tuple(range(n_layers)),
            positions=Positions(self.window, self.means),
            dtype=self.dtype,
            unit_traces=self.unit_traces,
            tokens_per_batch=self.tokens_per_batch,
            n_threads=self.n_threads,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Makes data/interim/activations/<role>."""
    run_stage(_main, argv, role=True)


def _main(workspace: Workspace, role: str) -> None:
    params_ = params.load(Params, "extract", workspace.params)
    prepare_torch(params_.n_threads)
    items = TraceFile(workspace.traces / "traces.jsonl", workspace.labels / "sentences.jsonl")
    folder, out = workspace.model(role), workspace.activations(role)
    device, *others = workers.visible_devices(params_.device, folder, params_.dtype)
    store = workspace.store / out.relative_to(workspace.root)
    model = loading.load(folder, device=device, dtype=params_.dtype)
    request = params_.request(model.n_layers)
    asked = {out: items} | ({out / FOLDER: Permuted(items)} if role in params_.permuted else {})
    for to, read in asked.items():
        if cluster.is_asked():
            helpers = workers.on_cluster(model, read, request, store)
        else:
            job = workers.Job(folder, params_.dtype, read, request, store)
            helpers = workers.helpers(job, others)
        done = extract(
            model,
            read,
            request,
            store=store,
            out=to,
            floor=params_.parity_floor,
            helpers=helpers,
        )
        print(
            f"{to.relative_to(out.parent)}: {done.n_rows:,} rows in {done.n_units} units, "
            f"{done.n_computed} of them computed now; parity {done.check.parity:g}, floor "
            f"{done.check.floor:g}."
        )


if __name__ == "__main__":
    main()

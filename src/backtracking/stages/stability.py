"""Do backtracking events come back when the model writes on from the same prefix again?

On train problems, where directions are estimated.

Reads: models/reasoning, data/interim/traces, data/processed/sentences
Writes: results/stability/{events.jsonl,metrics.json}
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from backtracking import artifacts, models, params, progress, traces
from backtracking.events import Event, find_events, write_events
from backtracking.models import LoadedModel
from backtracking.moments import Moments, read_moments
from backtracking.sampling import Sampling
from backtracking.stability import measure, regenerate
from backtracking.stages.command import run_stage
from backtracking.statistics import Bootstrap
from backtracking.traces import Trace
from backtracking.workspace import Workspace

SPLIT = "train"


@dataclass(frozen=True)
class Params:
    """How events are regenerated.

    Attributes:
        enabled: false writes no event, and `directions` has no form `stable`.
        n_regenerations: continuations of each event.
        max_new_tokens: length at which a continuation is cut: the longest check and the longest
            opening sentence after it.
        threshold: an event comes back where at least this share of its continuations backtracks.
        batch_size: continuations that share a call of the model.
        seed: of their draws.
        n_threads: CPU threads.
        device: as torch names it, or `auto`.
    """

    enabled: bool
    n_regenerations: int
    max_new_tokens: int
    threshold: float
    batch_size: int
    seed: int
    n_threads: int
    device: str

    def __post_init__(self) -> None:
        if min(self.n_regenerations, self.max_new_tokens, self.batch_size, self.n_threads) < 1:
            raise ValueError(
                "n_regenerations, max_new_tokens, batch_size, n_threads must be 1 or more."
            )
        if not 0 < self.threshold <= 1:
            raise ValueError(f"`threshold` must be above 0 and at most 1, found {self.threshold}.")


@dataclass(frozen=True)
class Result:
    """Events with what their continuations did, and what they say together."""

    events: list[Event]
    metrics: dict[str, Any]


def run(
    params: Params,
    bootstrap: Bootstrap,
    loaded: LoadedModel,
    written: Sequence[Trace],
    moments: Moments,
) -> Result:
    """Regenerates every event of the train problems."""
    events: list[Event] = []
    if params.enabled and written:
        word_by_id = {token: word for word, token in loaded.tokenizer.get_vocab().items()}
        found = find_events(written, moments, word_by_id, SPLIT)
        temperature = float(written[0].sampling["temperature"])
        n = len(found) * params.n_regenerations
        with progress.bar("regenerating events", n, "continuations") as advance:
            events = regenerate(
                loaded,
                found,
                {trace.trace_id: trace.ids for trace in written},
                params.n_regenerations,
                Sampling(params.seed, temperature, params.max_new_tokens),
                params.batch_size,
                advance,
            )
    counts = {
        "n_events": len(events),
        "n_without_room": sum(event.stability is None for event in events),
        "n_regenerations": params.n_regenerations if params.enabled else 0,
        "threshold": params.threshold,
    }
    return Result(events, counts | {"measures": measure(events, params.threshold, bootstrap)})


def main(argv: Sequence[str] | None = None) -> None:
    """Regenerates events."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "stability", workspace.params)
    torch.set_num_threads(params_.n_threads)
    torch.use_deterministic_algorithms(True)
    written = traces.read(Trace, workspace.traces / "traces.jsonl")
    sentences = traces.read(traces.Sentence, workspace.sentences / "sentences.jsonl")
    result = run(
        params_,
        params.load(Bootstrap, "statistics", workspace.params),
        models.load(workspace.model("reasoning"), device=params_.device),
        written,
        read_moments(written, sentences),
    )
    with artifacts.new_folder(workspace.results("stability")) as folder:
        write_events(folder / "events.jsonl", result.events)
        artifacts.write_json(folder / "metrics.json", result.metrics)
    for row in result.metrics["measures"]:
        print(row["measure"], row["value"])


if __name__ == "__main__":
    main()

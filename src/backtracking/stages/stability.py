"""Do backtracking events come back when the model writes on from the same prefix again?

On train problems, where directions are estimated.

Reads: models/reasoning, data/interim/traces, data/processed/sentences
Writes: results/stability/{events.jsonl,metrics.json}
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from backtracking import artifacts, models, params, traces
from backtracking.events import Event, find_events, write_events
from backtracking.forks import Cores, run_side_by_side
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
        cores: what the parts run on.
    """

    enabled: bool
    n_regenerations: int
    max_new_tokens: int
    threshold: float
    batch_size: int
    seed: int
    cores: Cores

    def __post_init__(self) -> None:
        if min(self.n_regenerations, self.max_new_tokens, self.batch_size) < 1:
            raise ValueError("n_regenerations, max_new_tokens and batch_size must be 1 or more.")
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
    n_at_once: int = 1,
) -> Result:
    """Regenerates every event of the train problems, `n_at_once` batches side by side."""
    events: list[Event] = []
    if params.enabled and written:
        word_by_id = {token: word for word, token in loaded.tokenizer.get_vocab().items()}
        found = find_events(written, moments, word_by_id, SPLIT)
        temperature = float(written[0].sampling["temperature"])
        regenerated = partial(
            regenerate,
            loaded,
            ids_by_trace={trace.trace_id: trace.ids for trace in written},
            n_regenerations=params.n_regenerations,
            sampling=Sampling(params.seed, temperature, params.max_new_tokens),
            batch_size=params.batch_size,
        )
        # A job is a batch, and batches are the same however many run at once.
        order = sorted(range(len(found)), key=lambda number: found[number].position)
        size = max(1, params.batch_size // params.n_regenerations)
        batches = [order[at : at + size] for at in range(0, len(order), size)]
        jobs = [partial(regenerated, [found[n] for n in batch]) for batch in reversed(batches)]
        done = run_side_by_side(jobs, n_at_once, "regenerating events")
        by_number = {
            number: event
            for batch, its in zip(reversed(batches), done, strict=True)
            for number, event in zip(batch, its, strict=True)
        }
        events = [by_number[number] for number in range(len(found))]
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
    n_at_once = params_.cores.begin()
    written = traces.read(Trace, workspace.traces / "traces.jsonl")
    sentences = traces.read(traces.Sentence, workspace.sentences / "sentences.jsonl")
    result = run(
        params_,
        params.load(Bootstrap, "statistics", workspace.params),
        models.load(workspace.model("reasoning"), device=params_.cores.device),
        written,
        read_moments(written, sentences),
        n_at_once,
    )
    with artifacts.new_folder(workspace.results("stability")) as folder:
        write_events(folder / "events.jsonl", result.events)
        artifacts.write_json(folder / "metrics.json", result.metrics)
    for row in result.metrics["measures"]:
        print(row["measure"], row["value"])


if __name__ == "__main__":
    main()

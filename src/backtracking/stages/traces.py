"""What does the model under study write? Traces of problems that it never trained on.

Traces that come with a problem are taken instead, and their texts compared with their ids. Where
`traces.server` names an inference server, that writes, and our own model reads a sample again.

Reads: models/<the one under study>, data/raw/problems
Writes: data/interim/traces/{traces,greedy}.jsonl and metrics.json
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from tokenizers import Tokenizer

from backtracking.domains import alignment
from backtracking.domains.domain import Domain
from backtracking.domains.registry import open_domain
from backtracking.models import loading
from backtracking.models.batching import compare_greedy
from backtracking.models.generation import (
    Generation,
    Sampling,
    batches_of,
    generate,
)
from backtracking.models.loading import LoadedModel
from backtracking.models.served import Server, Writer
from backtracking.models.served_check import ServedCheck, check_served
from backtracking.records import reader
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params
from backtracking.runtime.cluster import make_units
from backtracking.runtime.command import run_stage
from backtracking.runtime.compute import prepare_torch
from backtracking.runtime.posting import Endpoint
from backtracking.runtime.workspace import Workspace
from lifeboat.stage import artifacts, interruption, progress
from lifeboat.stage.units import Units, kept

OUT = "data/interim/traces"

KEY = "TRACES_API_KEY"
"""Where the server's key is, in the environment or in .env."""

LARGEST_ANSWER = 100_000_000
"""Bytes of a server's answer that are read: a trace with the ids of its tokens."""


@dataclass(frozen=True)
class Params:
    """How traces are sampled.

    Attributes:
        n_samples: sampled rollouts per problem of the study.
        temperature: of the sampled rollouts; the greedy ones have none.
        max_new_tokens: length at which a trace is cut.
        batch_size: rollouts that share a call of the model, and are a unit: what a crash can cost.
        n_batch_checks: greedy traces that are also written in a batch of one, and compared.
        seed: of every draw.
        n_threads: CPU threads, on which the last bits depend.
        device, dtype: where and how the model runs.
        server: what writes instead of our own engine; null for ours.
    """

    n_samples: int
    temperature: float
    max_new_tokens: int
    batch_size: int
    n_batch_checks: int
    seed: int
    n_threads: int
    device: str
    dtype: str
    server: Server | None = None

    def __post_init__(self) -> None:
        if min(self.n_samples, self.max_new_tokens, self.batch_size, self.n_threads) < 1:
            raise ValueError("n_samples, max_new_tokens, batch_size, n_threads must be 1 or more.")
        if not self.temperature > 0:
            raise ValueError(f"temperature {self.temperature} must be above 0.")


@dataclass(frozen=True)
class Result:
    """Traces of both kinds, and counts.

    Attributes:
        sampled, greedy: the traces.
        metrics: counts, by name.
        served: what our model says of what a server wrote; None of our own traces.
    """

    sampled: list[Trace]
    greedy: list[Trace]
    metrics: dict[str, int]
    served: ServedCheck | None = None


def run(
    params: Params,
    loaded: LoadedModel,
    problems: Sequence[Problem],
    prompts: Sequence[Sequence[int]],
    units: Units,
) -> Result:
    """Samples the study's problems, and decodes every problem greedily.

    Args:
        params: see `Params`.
        loaded: the model that writes.
        problems: what it is asked.
        prompts: the ids of each.
        units: the store, batch by batch.

    Raises:
        SystemExit: with code 75, between two batches, when the process was asked to stop.
    """
    asked = list(zip(problems, prompts, strict=True))
    study = [(problem, prompt) for problem, prompt in asked if problem.pool == "study"]
    sampled = _write_traces(params, loaded, study, units, params.n_samples, params.temperature)
    greedy = _write_traces(params, loaded, asked, units, 1, 0.0)
    if params.server is not None:
        served = _check(params.server, loaded, greedy, sampled, params.temperature)
        return Result(sampled, greedy, _count(sampled), served)
    checked = [trace.prompt_ids for trace in greedy[: params.n_batch_checks]]
    check = partial(compare_greedy, loaded, checked, params.max_new_tokens)
    job = kept(units, OUT, check, params.n_threads)
    make_units([job], params.n_threads, "comparing batches")
    counts = job()
    batch_checks = {f"batch_check_{key}": n for key, n in counts.items()}
    return Result(sampled, greedy, _count(sampled) | batch_checks)


def _check(
    server: Server,
    loaded: LoadedModel,
    greedy: Sequence[Trace],
    sampled: Sequence[Trace],
    temperature: float,
) -> ServedCheck:
    """Our model on the first traces of either kind."""
    some, others = (
        [(one.prompt_ids, one.token_ids) for one in traces[: server.n_checks]]
        for traces in (greedy, sampled)
    )
    return check_served(loaded, some, others, temperature, server.max_gap)


def take(domain: Domain, problems: Sequence[Problem], tokenizer: Tokenizer) -> list[Trace]:
    """The traces that come with problems."""
    return [trace for problem in problems for trace in domain.given(problem, tokenizer)]


def _count(sampled: Sequence[Trace]) -> dict[str, int]:
    reasons = Counter(trace.finish_reason for trace in sampled)
    return {f"n_{reason}": reasons[reason] for reason in ("stop", "length", "empty")}


def _write_traces(
    params: Params,
    loaded: LoadedModel,
    asked: Sequence[tuple[Problem, Sequence[int]]],
    units: Units,
    n_samples: int,
    temperature: float,
) -> list[Trace]:
    sampling = Sampling(params.seed, temperature, params.max_new_tokens)
    rows = [(*one, sample) for one in asked for sample in range(n_samples)]
    prompts = [list(prompt) for _, prompt, _ in rows]
    keys = [f"{problem.problem_id}/{sample}" for problem, _, sample in rows]
    kind = "greedy" if temperature == 0 else "sampled"
    with progress.bar(f"writing {kind} traces", len(rows), "traces") as advance:
        if params.server is not None:
            writer = _writer(params.server, loaded, units)
            written = writer.write(prompts, keys, sampling, advance)
        else:
            written = _write(params, loaded, prompts, keys, sampling, units, advance)
    interruption.checkpoint()
    return [
        _trace(loaded, problem, sample, prompts[row], written[row], sampling)
        for row, (problem, _, sample) in enumerate(rows)
    ]


def _writer(server: Server, loaded: LoadedModel, units: Units) -> Writer:
    endpoint = Endpoint(server.url, os.environ.get(KEY, "").strip(), largest=LARGEST_ANSWER)
    tokenizer = Tokenizer.from_file(str(loaded.folder / "tokenizer.json"))
    weights = loaded.model_sha256 + loaded.tokenizer_sha256
    return Writer(server, endpoint, tokenizer, loaded.end_ids, OUT, units, weights)


def _write(
    params: Params,
    loaded: LoadedModel,
    prompts: Sequence[Sequence[int]],
    keys: Sequence[str],
    sampling: Sampling,
    units: Units,
    advance: Callable[[int], None],
) -> list[Generation]:
    """By our own engine, batch by batch."""
    written: dict[int, Generation] = {}
    batches = batches_of(prompts, params.batch_size)
    jobs = []
    for batch in batches:
        own = [prompts[row] for row in batch], [keys[row] for row in batch]
        make = partial(generate, loaded, *own, sampling, batch_size=params.batch_size)
        jobs.append(kept(units, OUT, make, params.n_threads))
    make_units(jobs, params.n_threads, "writing traces")
    for batch, job in zip(batches, jobs, strict=True):
        interruption.checkpoint()
        written |= dict(zip(batch, job(), strict=True))
        advance(len(batch))
    return [written[row] for row in range(len(prompts))]


def _trace(
    loaded: LoadedModel,
    problem: Problem,
    sample: int,
    prompt_ids: list[int],
    generation: Generation,
    sampling: Sampling,
) -> Trace:
    text = loaded.tokenizer.decode(generation.token_ids, skip_special_tokens=True)
    return Trace(
        trace_id=f"{problem.problem_id}/{sample}",
        problem_id=problem.problem_id,
        split=problem.split,
        sample=sample,
        prompt_ids=prompt_ids,
        token_ids=generation.token_ids,
        text=str(text),
        finish_reason=generation.finish_reason,
        sampling=asdict(sampling),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the traces."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "traces", workspace.params)
    source = workspace.model(params.load_value(str, "models.studied", workspace.params))
    units, domain = Units(workspace.root, ("backtracking",)), open_domain(workspace.params)
    prepare_torch(params_.n_threads)
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    problems = reader.read_lines(Problem, workspace.problems / "problems.jsonl")
    given = take(domain, problems, tokenizer)
    named = {trace.problem_id for trace in given}
    asked = [problem for problem in problems if problem.problem_id not in named]
    result = Result([], [], _count([]))
    if asked:
        loaded = loading.load(source, device=params_.device, dtype=params_.dtype)
        prompts = [domain.prompt(problem, tokenizer) for problem in asked]
        result = run(params_, loaded, asked, prompts, units)
    sampled = given + result.sampled
    metrics: dict[str, Any] = result.metrics | _count(sampled)
    print(", ".join(f"{name}: {value}" for name, value in metrics.items()))
    if result.served is not None:
        print(result.served)
        metrics["server_check"] = reader.encode(result.served)
    aligned = alignment.report(given)
    if aligned is not None:
        print(aligned.told)
        metrics[alignment.KEY] = reader.encode(aligned)
    with artifacts.new_folder(workspace.traces) as folder:
        reader.write_lines(folder / "traces.jsonl", sampled)
        reader.write_lines(folder / "greedy.jsonl", result.greedy)
        artifacts.write_json(folder / "metrics.json", metrics)


if __name__ == "__main__":
    main()

"""What does the reasoning model write? Sampled and greedy traces of problems it never trained on.

Reads: models/reasoning, data/raw/problems
Writes: data/interim/traces/{traces,greedy}.jsonl and metrics.json
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from backtracking.models import loading
from backtracking.models.generation import Generation, Sampling, compare_greedy
from backtracking.models.loading import LoadedModel
from backtracking.models.portions import Portions
from backtracking.records import traces
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.compute import prepare_torch
from backtracking.runtime.workspace import Workspace
from lifeboat.stage import artifacts, progress


@dataclass(frozen=True)
class Params:
    """How traces are sampled.

    Attributes:
        n_samples: sampled rollouts per problem of the study.
        temperature: of the sampled rollouts; the greedy ones have none.
        max_new_tokens: length at which a trace is cut.
        batch_size: rollouts that share a call of the model; they are kept together, so that a crash
            costs as many.
        n_batch_checks: greedy traces that are also written in a batch of one, and compared.
        seed: of every draw.
        n_threads: CPU threads, on which the last bits depend.
        device, dtype: where and how the model runs.
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

    def __post_init__(self) -> None:
        if min(self.n_samples, self.max_new_tokens, self.batch_size, self.n_threads) < 1:
            raise ValueError("n_samples, max_new_tokens, batch_size, n_threads must be 1 or more.")
        if not self.temperature > 0:
            raise ValueError(f"temperature {self.temperature} must be above 0.")


@dataclass(frozen=True)
class Result:
    """Traces of both kinds, and counts."""

    sampled: list[Trace]
    greedy: list[Trace]
    metrics: dict[str, int]


def run(
    params: Params, loaded: LoadedModel, problems: Sequence[Problem], portions: Portions
) -> Result:
    """Samples the study's problems, and decodes every problem greedily.

    Args:
        params: see `Params`.
        loaded: the model that writes.
        problems: what it is asked.
        portions: where what is written stands until all is.
    """
    study = [problem for problem in problems if problem.pool == "study"]
    sampled = _write_traces(params, loaded, study, portions, params.n_samples, params.temperature)
    greedy = _write_traces(params, loaded, problems, portions, 1, 0.0)
    prompts = [trace.prompt_ids for trace in greedy[: params.n_batch_checks]]
    checks = compare_greedy(loaded, prompts, params.max_new_tokens)
    reasons = Counter(trace.finish_reason for trace in sampled)
    metrics = {f"n_{reason}": reasons[reason] for reason in ("stop", "length", "empty")}
    return Result(sampled, greedy, metrics | {f"batch_check_{key}": n for key, n in checks.items()})


def _write_traces(
    params: Params,
    loaded: LoadedModel,
    problems: Sequence[Problem],
    portions: Portions,
    n_samples: int,
    temperature: float,
) -> list[Trace]:
    sampling = Sampling(params.seed, temperature, params.max_new_tokens)
    rows = [(problem, sample) for problem in problems for sample in range(n_samples)]
    prompts = [loaded.tokenizer(problem.prompt).input_ids for problem, _ in rows]
    keys = [f"{problem.problem_id}/{sample}" for problem, sample in rows]
    kind = "greedy" if temperature == 0 else "sampled"
    with progress.bar(f"writing {kind} traces", len(rows), "traces") as advance:
        written = portions.generate(loaded, prompts, keys, sampling, params.batch_size, advance)
    return [
        _trace(loaded, problem, sample, prompt, generation, sampling)
        for (problem, sample), prompt, generation in zip(rows, prompts, written, strict=True)
    ]


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
    prepare_torch(params_.n_threads)
    problems = traces.read(Problem, workspace.problems / "problems.jsonl")
    source = workspace.model("reasoning")
    loaded = loading.load(source, device=params_.device, dtype=params_.dtype)
    portions = Portions(workspace.store / "traces", params_.n_threads)
    result = run(params_, loaded, problems, portions)
    with artifacts.new_folder(workspace.traces) as folder:
        traces.write(folder / "traces.jsonl", result.sampled)
        traces.write(folder / "greedy.jsonl", result.greedy)
        artifacts.write_json(folder / "metrics.json", result.metrics)
    portions.remove()
    print(result.metrics)


if __name__ == "__main__":
    main()

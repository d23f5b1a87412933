"""Which sentence does what? Sentences as token ranges, labelled exactly and by rules.

Reads: data/interim/traces, data/raw/problems, models/reasoning/tokenizer.json
Writes: data/processed/sentences/{sentences,tokens}.jsonl and metrics.json
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tokenizers import Tokenizer

from backtracking.domains.organism.policy import Policy
from backtracking.domains.organism.states import Reading, Replay, token_states, words_of
from backtracking.domains.organism.world import read_prompt
from backtracking.labels import segmentation
from backtracking.labels.agreement import agreement
from backtracking.labels.rules import label_by_rules
from backtracking.labels.states import UNPARSED
from backtracking.records import traces
from backtracking.records.traces import Problem, Sentence, TokenSpan, Trace
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.workspace import Workspace
from lifeboat.stage import artifacts


@dataclass(frozen=True)
class Params:
    """How labels are compared.

    Attributes:
        positive: the state whose F1 and two-class kappa are reported.
    """

    positive: str


@dataclass(frozen=True)
class Result:
    """Sentences of both labellers, the exact states of every token, and agreement."""

    sentences: list[Sentence]
    tokens: list[dict[str, Any]]
    metrics: dict[str, Any]


def run(
    params: Params,
    policy: Policy,
    written: Sequence[Trace],
    problems: Sequence[Problem],
    tokenizer: Tokenizer,
) -> Result:
    """Labels every sentence of every trace, the truncated and the empty ones included."""
    problem_by_id = {problem.problem_id: problem for problem in problems}
    sentences: list[Sentence] = []
    tokens: list[dict[str, Any]] = []
    n_tokens, spans = 0, []
    for trace in written:
        numbers, target = read_prompt(problem_by_id[trace.problem_id].prompt)
        words, start = words_of(trace, tokenizer), len(trace.prompt_ids)
        readings = Replay(numbers, target).read(words)
        ids = trace.token_ids[: len(words)]
        trace_spans = segmentation.segment(ids, tokenizer.decode, start)
        sentences += _sentences(trace, readings, trace_spans, tokenizer)
        states = token_states(readings, policy)
        tokens.append({"trace_id": trace.trace_id, "start": start} | vars(states))
        n_tokens += len(words)
        spans += trace_spans
    metrics = measure(params, sentences)
    metrics["span_coverage"] = segmentation.coverage(spans, n_tokens)
    return Result(sentences, tokens, metrics)


def _sentences(
    trace: Trace, readings: list[Reading], spans: list[TokenSpan], tokenizer: Tokenizer
) -> list[Sentence]:
    start = len(trace.prompt_ids)
    exact = [
        Sentence(
            trace_id=trace.trace_id,
            index=index,
            start=start + reading.start,
            end=start + reading.end,
            text=_text(trace, start + reading.start, start + reading.end, tokenizer),
            label=reading.state,
            labeller="exact",
            truth=truth(reading),
        )
        for index, reading in enumerate(readings)
    ]
    by_rules = []
    for index, span in enumerate(spans):
        text = _text(trace, span.start, span.end, tokenizer)
        label = label_by_rules(text)
        by_rules.append(Sentence(trace.trace_id, index, span.start, span.end, text, label, "rules"))
    return exact + by_rules


def _text(trace: Trace, start: int, end: int, tokenizer: Tokenizer) -> str:
    return tokenizer.decode(trace.ids[start:end], skip_special_tokens=True)


def truth(reading: Reading) -> dict[str, Any]:
    """What is exactly known of a sentence, as it stands in sentences.jsonl."""
    values = dict(vars(reading))
    for key in ("start", "end", "p_dead", "form"):
        del values[key]
    return values | {"form": reading.form.name if reading.form else None}


def measure(params: Params, sentences: Sequence[Sentence]) -> dict[str, Any]:
    """Agreement of the rules with the exact labels, on sentences with the same token range."""
    exact = {(s.trace_id, s.start, s.end): s.label for s in sentences if s.labeller == "exact"}
    rules = {(s.trace_id, s.start, s.end): s.label for s in sentences if s.labeller == "rules"}
    shared = [key for key, label in exact.items() if key in rules and label != UNPARSED]
    result = agreement(
        [exact[key] for key in shared], [rules[key] for key in shared], positive=params.positive
    )
    return asdict(result) | {
        "n_sentences": len(exact),
        "n_compared": len(shared),
        "n_unparsed": sum(label == UNPARSED for label in exact.values()),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Labels the traces."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    result = run(
        params.load(Params, "label", workspace.params),
        params.load(Policy, "policy", workspace.params),
        traces.read(Trace, workspace.traces / "traces.jsonl"),
        traces.read(Problem, workspace.problems / "problems.jsonl"),
        Tokenizer.from_file(str(workspace.model("reasoning") / "tokenizer.json")),
    )
    with artifacts.new_folder(workspace.sentences) as folder:
        traces.write(folder / "sentences.jsonl", result.sentences)
        artifacts.write_jsonl(folder / "tokens.jsonl", result.tokens)
        artifacts.write_json(folder / "metrics.json", result.metrics)
    print(result.metrics)


if __name__ == "__main__":
    main()

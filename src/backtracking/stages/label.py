"""Which sentence does what, where is the next action decided, and what is known there?

All that is asked of the domain after the traces are written is asked here; what follows reads the
records. Files of what the domain does not know are absent.

Reads: data/interim/traces, data/raw/problems, models/<the one under study>/tokenizer.json
Writes: data/processed/labels/{sentences,decisions}.jsonl, {tokens,kinds,metrics}.json and, where
    they are known, pairs.jsonl, posteriors.safetensors and laws.safetensors; with an instruction,
    prompted.jsonl
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from tokenizers import Tokenizer

from backtracking.domains.domain import Domain, Reading
from backtracking.domains.lexicon import spell
from backtracking.domains.registry import open_domain
from backtracking.labels import segmentation
from backtracking.labels.agreement import NOT_COMPARED, Metrics, agreement
from backtracking.labels.deciding import decisions_of
from backtracking.labels.learned import LEARNED, with_learned
from backtracking.labels.matching import with_events
from backtracking.labels.rules import RULES, with_rules
from backtracking.labels.states import UNPARSED
from backtracking.records import reader
from backtracking.records.pairs import MinimalPair, distinct, write_pairs
from backtracking.records.posteriors import Laws, Posteriors, write_laws, write_posteriors
from backtracking.records.prompted import Prompted, write_prompted
from backtracking.records.sentences import (
    EXACT,
    Decision,
    Kind,
    Sentence,
    write_decisions,
    write_kinds,
    write_sentences,
)
from backtracking.records.tokens import Pattern, Tokens, write_tokens
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.workspace import Workspace
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class Params:
    """How traces are labelled.

    Attributes:
        primary: the labeller that states and actions are taken from: `exact`, which is the domain,
            `rules`, or `learned`, which is asked only then.
        positive: the state whose F1 and two-class kappa are reported.
        seed: of the choices among minimal pairs.
        instruction: behind the question of test problems, in prompts that the studied model reads
            as a positive control; None: none.
    """

    primary: str
    positive: str
    seed: int
    instruction: str | None = None

    def __post_init__(self) -> None:
        if self.primary not in (EXACT, RULES, LEARNED):
            raise ValueError(f"primary {self.primary!r} is none of {EXACT}, {RULES}, {LEARNED}.")


@dataclass(frozen=True)
class Result:
    """All records of the stage; None for what the domain does not know."""

    sentences: list[Sentence]
    decisions: list[Decision]
    kinds: tuple[Kind, ...]
    tokens: Tokens
    pairs: list[MinimalPair] | None
    posteriors: dict[str, Posteriors] | None
    laws: dict[str, Laws] | None
    metrics: Metrics
    prompted: tuple[Prompted, ...] = ()

    def write(self, folder: Path) -> None:
        """Writes each record into its file."""
        write_sentences(folder / "sentences.jsonl", self.sentences)
        write_decisions(folder / "decisions.jsonl", self.decisions)
        write_kinds(folder / "kinds.json", self.kinds)
        write_tokens(folder / "tokens.json", self.tokens)
        reader.write_json(folder / "metrics.json", self.metrics)
        if self.pairs is not None:
            write_pairs(folder / "pairs.jsonl", self.pairs)
        if self.posteriors is not None:
            write_posteriors(folder / "posteriors.safetensors", self.posteriors)
        if self.laws is not None:
            write_laws(folder / "laws.safetensors", self.laws)
        if self.prompted:
            write_prompted(folder, self.prompted)


def run(
    params: Params,
    domain: Domain,
    sampled: Sequence[Trace],
    greedy: Sequence[Trace],
    problems: Sequence[Problem],
    tokenizer: Tokenizer,
) -> Result:
    """Labels every sentence of every sampled trace, the truncated and the empty ones included.

    Minimal pairs are made of sampled and greedy traces.
    """
    problem_by_id = {problem.problem_id: problem for problem in problems}

    def read(trace: Trace, with_laws: bool) -> Reading:
        problem = problem_by_id[trace.problem_id]
        found = domain.read(trace, problem, tokenizer, with_laws=with_laws)
        sentences = list(map(with_rules, found.sentences))
        if params.primary == LEARNED:
            sentences = with_learned(sentences)
        return replace(found, sentences=sentences)

    by_trace = [(trace, read(trace, with_laws=True)) for trace in sampled]
    sentences = [sentence for _, reading in by_trace for sentence in reading.sentences]
    pairs = [
        pair
        for trace, reading in (*by_trace, *((trace, read(trace, False)) for trace in greedy))
        for pair in domain.pairs(
            trace,
            problem_by_id[trace.problem_id],
            reading,
            tokenizer,
            Random(f"{params.seed}/{trace.trace_id}"),
        )
    ]
    posteriors = {t.trace_id: one.posteriors for t, one in by_trace if one.posteriors is not None}
    laws = {trace.trace_id: one.laws for trace, one in by_trace if one.laws is not None}
    decisions = [
        decision
        for trace, reading in by_trace
        for decision in decisions_of(trace, reading.sentences, params.primary)
    ]
    n_unmatched = None
    if params.primary != EXACT:
        decisions, n_unmatched = with_events(decisions, sentences, sampled)
    patterns, turning = domain.pattern(tokenizer), domain.turning(tokenizer)
    return Result(
        sentences=sentences,
        decisions=decisions,
        kinds=domain.kinds,
        tokens=spell(domain.lexicon, tokenizer, patterns, turning),
        pairs=distinct(pairs) or None,
        posteriors=posteriors or None,
        laws=laws or None,
        metrics=replace(
            measure(params, by_trace, tokenizer, patterns), n_unmatched_events=n_unmatched
        ),
        prompted=tuple(_prompted(params.instruction, domain, problems, tokenizer)),
    )


def _prompted(
    instruction: str | None, domain: Domain, problems: Sequence[Problem], tokenizer: Tokenizer
) -> Iterator[Prompted]:
    """The prompts of test problems with an instruction behind the question.

    Raises:
        UserError: where a domain makes no prompts itself.
    """
    for problem in problems if instruction else ():
        if problem.split == "test":
            asked = replace(problem, prompt=f"{problem.prompt} {instruction}")
            ids = domain.prompt(asked, tokenizer)
            if ids == domain.prompt(problem, tokenizer):
                raise UserError(
                    f"params.yaml, section `label`: `instruction` is no part of what models read: "
                    f"prompts of the domain `{domain.name}` come with the traces.",
                    "Set it to null.",
                )
            yield Prompted(problem.problem_id, ids)


def measure(
    params: Params,
    by_trace: Sequence[tuple[Trace, Reading]],
    tokenizer: Tokenizer,
    patterns: Sequence[Pattern],
) -> Metrics:
    """Agreement of the rules with the exact labels, how much of the text is in sentences, and how
    well the online rule finds the decisions.

    The first two on the sentences that segmentation finds in the text alone; agreement is None
    where the domain labels nothing itself.
    """
    spans = {
        trace.trace_id: segmentation.segment(
            trace.token_ids[: _n_read(reading, trace)], tokenizer.decode, len(trace.prompt_ids)
        )
        for trace, reading in by_trace
    }
    sentences = [sentence for _, reading in by_trace for sentence in reading.sentences]
    found = {(name, span.start, span.end) for name, its in spans.items() for span in its}
    exact = [one for one in sentences if EXACT in one.label_by]
    shared = [
        one
        for one in exact
        if (one.trace_id, one.start, one.end) in found and one.label_by[EXACT] != UNPARSED
    ]
    both = ([one.label_by[name] for one in shared] for name in (EXACT, RULES))
    n_tokens = sum(_n_read(reading, trace) for trace, reading in by_trace)
    precision, recall = score_online(by_trace, patterns)
    return Metrics(
        agreement=agreement(*both, positive=params.positive) if shared else NOT_COMPARED,
        n_sentences=len(sentences),
        n_compared=len(shared),
        n_unparsed=sum(one.label_by[EXACT] == UNPARSED for one in exact),
        span_coverage=segmentation.coverage(
            [span for its in spans.values() for span in its], n_tokens
        ),
        online_precision=precision,
        online_recall=recall,
    )


def score_online(
    by_trace: Sequence[tuple[Trace, Reading]], patterns: Sequence[Pattern]
) -> tuple[float | None, float | None]:
    """Precision and recall of the online rule on the decisions that reading has found.

    The rule is what steers whole generations: it sees no token to come, so that it takes "3." for
    an end where "3.5" follows, and knows neither the first sentence nor the answer from others.
    """
    n_fired = n_decided = n_both = 0
    for trace, reading in by_trace:
        first, ids = len(trace.prompt_ids), trace.ids
        fired = {
            at
            for at in range(first, first + _n_read(reading, trace))
            if any(pattern.matches(ids[: at + 1]) for pattern in patterns)
        }
        decided = {one.end - 1 for one in reading.sentences if one.decides}
        n_fired, n_decided = n_fired + len(fired), n_decided + len(decided)
        n_both += len(fired & decided)
    precision, recall = (n_both / n if n else None for n in (n_fired, n_decided))
    return precision, recall


def _n_read(reading: Reading, trace: Trace) -> int:
    """Generated tokens up to the end of the last sentence."""
    ends = [one.end for one in reading.sentences]
    return max(ends, default=len(trace.prompt_ids)) - len(trace.prompt_ids)


def main(argv: Sequence[str] | None = None) -> None:
    """Labels the traces."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    studied = params.load_value(str, "models.studied", workspace.params)
    result = run(
        params.load(Params, "label", workspace.params),
        open_domain(workspace.params),
        reader.read_lines(Trace, workspace.traces / "traces.jsonl"),
        reader.read_lines(Trace, workspace.traces / "greedy.jsonl"),
        reader.read_lines(Problem, workspace.problems / "problems.jsonl"),
        Tokenizer.from_file(str(workspace.model(studied) / "tokenizer.json")),
    )
    with artifacts.new_folder(workspace.labels) as folder:
        result.write(folder)
    print(result.metrics.told)


if __name__ == "__main__":
    main()

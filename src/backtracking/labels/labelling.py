"""What `backtracking label` does: traces opened, a labeller chosen, labels or scores given."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backtracking.labels.annotators import Annotator, annotation_of, speechless
from backtracking.labels.asking import HttpEndpoint, Price
from backtracking.labels.judge import Judge, questions_of
from backtracking.labels.learned import Learned
from backtracking.labels.markers import MarkedRules
from backtracking.labels.passages import Labeller, Passage, annotated_passage, passage_of
from backtracking.labels.schemes import is_held_back
from backtracking.labels.scoring import Scores, score
from backtracking.records.imported import ImportedTrace, read_traces
from backtracking.records.labelled import Label, read_labels, with_labels, write_labels
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage.errors import UserError
from lifeboat.stage.units import Units

BOOTSTRAP = Bootstrap(n_resamples=2000, level=0.95, seed=0)
"""Of the intervals by trace."""


@dataclass(frozen=True)
class Options:
    """What is asked of `backtracking label`.

    Attributes:
        traces: the file.
        labeller: `rules`, `learned`, `judge`, `human`, or an annotator's name.
        labels: a human's labels of the traces.
        family: of the markers of `rules`.
        only: `open` or `held-back`, of the human-labelled traces.
        url, model, price_in, price_out, max_cost: of a judge that is asked.
        root: the project in whose store its answers are kept.
        tell: where the estimate of its cost goes.
    """

    traces: Path
    labeller: str
    labels: Path | None
    family: str | None
    only: str | None
    url: str | None
    model: str | None
    price_in: float | None
    price_out: float | None
    max_cost: float
    root: Path
    tell: Callable[[str], None]

    def __post_init__(self) -> None:
        if self.only not in (None, "open", "held-back"):
            raise UserError(f"--only {self.only} is neither open nor held-back.", "Name one.")
        if self.family is not None and self.labeller != "rules":
            raise UserError("--family is of the labeller rules.", "Leave it out.")


@dataclass(frozen=True)
class Labelled:
    """What was labelled.

    Attributes:
        labeller: by whom.
        n_traces, n: traces, and sentences.
        n_unlabelled: sentences that it gave no label.
        n_by_state: the others.
    """

    labeller: str
    n_traces: int
    n: int
    n_unlabelled: int
    n_by_state: Mapping[str, int]


def label_traces(options: Options, out: Path | None) -> Labelled:
    """Labels our own sentences of all traces, and writes them where `out` says.

    Raises:
        UserError: for traces, labels or a labeller that are not there.
    """
    traces = _opened(options)
    passages = [passage_of(trace) for trace in traces]
    if not any(passage.texts for passage in passages):
        raise UserError(
            f"{options.traces} has no sentence to label.",
            "A trace needs `text`, `thinking` or `response`, or `sentences`; --only leaves some.",
        )
    labeller = _labeller(options, traces, passages)
    states = [labeller.label(passage) for passage in passages]
    if out is not None:
        write_labels(
            out,
            (
                Label(passage.trace_id, span.start, span.end, state, labeller.name)
                for passage, its in zip(passages, states, strict=True)
                for span, state in zip(passage.spans or (), its, strict=True)
                if state is not None
            ),
        )
    counts = Counter(state for its in states for state in its)
    n_unlabelled = counts.pop(None, 0)
    n_by_state = {str(state): n for state, n in counts.most_common()}
    n = sum(n_by_state.values()) + n_unlabelled
    return Labelled(labeller.name, len(traces), n, n_unlabelled, n_by_state)


def score_traces(options: Options, against: str) -> Scores:
    """Scores a labeller on an annotator's sentences.

    Raises:
        UserError: as `label_traces`; where no sentence has both labels.
    """
    traces = _opened(options)
    annotated = [(trace, annotation_of(trace, against)) for trace in traces]
    passages = [annotated_passage(trace, one) for trace, one in annotated if one is not None]
    return score(traces, _labeller(options, traces, passages), against, BOOTSTRAP)


def _opened(options: Options) -> list[ImportedTrace]:
    traces = read_traces(options.traces)
    if options.labels is not None:
        traces = with_labels(traces, read_labels(options.labels))
    if options.only is not None:
        held = options.only == "held-back"
        traces = [trace for trace in traces if is_held_back(trace.trace_id) == held]
    return traces


def _labeller(
    options: Options, traces: Sequence[ImportedTrace], passages: Sequence[Passage]
) -> Labeller:
    if options.labeller == "rules":
        return MarkedRules.load(options.family)
    if options.labeller == "learned":
        return Learned.load()
    if options.labeller == "judge" and options.url is not None:
        return _judge(options, passages)
    annotator = Annotator.of(traces, options.labeller)
    if not annotator.by_trace:
        names = sorted({one.name for trace in traces for one in trace.annotations})
        raise UserError(
            speechless(traces, options.labeller)
            or f"{options.labeller} labelled none of these traces; their annotators: "
            f"{', '.join(names) or 'none'}.",
            "Give --labels FILE for a human's labels, and --url and --model for a judge's.",
        )
    return annotator


def _judge(options: Options, passages: Sequence[Passage]) -> Judge:
    """A judge whose cost was estimated, told, and found to be within the cap.

    Raises:
        UserError: where its model or price is not stated, or it would cost too much.
    """
    if options.url is None or not options.model or None in (options.price_in, options.price_out):
        raise UserError(
            "A judge is asked with --url, --model, --price-in and --price-out.",
            "Prices are dollars for a million tokens; 0 for a server of your own.",
        )
    price = Price(options.price_in or 0.0, options.price_out or 0.0)
    key = os.environ.get("JUDGE_API_KEY", "").strip()
    units = Units(options.root, ("backtracking",))
    endpoint = HttpEndpoint(options.url, units, price, options.max_cost, key)
    questions = [one for passage in passages for one in questions_of(passage, options.model)]
    estimate = endpoint.estimate(questions)
    told = (
        f"{estimate.n_questions} questions, {estimate.n_kept} answered before; the others: at most "
        f"about {estimate.n_read} tokens read and {estimate.n_written} written, "
        f"${estimate.dollars:.4f}"
    )
    options.tell(f"{told}.")
    if estimate.dollars > options.max_cost:
        raise UserError(
            f"{told}, more than the cap of ${options.max_cost:.4f}.",
            "Raise --max-cost, or label fewer traces. Nothing was asked.",
        )
    return Judge(options.model, endpoint)

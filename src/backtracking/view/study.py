"""Traces of a study as a page shows them: every label, true kinds, and numbers of single tokens."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from tokenizers import Tokenizer

from backtracking.labels.segmentation import token_texts
from backtracking.records.grades import Grade
from backtracking.records.measured import BASELINE
from backtracking.records.rollouts import Rollouts
from backtracking.records.sentences import Sentence
from backtracking.records.traces import Problem, Trace
from backtracking.view.shown import Shade, ShownSentence, ShownTrace


@dataclass(frozen=True)
class Numbered:
    """A number at some positions of `Trace.ids`.

    Attributes:
        name: what it is, with its unit.
        by_position: the number at each position that has one.
    """

    name: str
    by_position: Mapping[int, float]


def of_study(
    trace: Trace,
    problem: Problem,
    sentences: Sequence[Sentence],
    grade: Grade | None,
    numbers: Sequence[Numbered],
    tokenizer: Tokenizer,
) -> ShownTrace:
    """A trace that the study sampled.

    Args:
        trace, problem: the trace, and what it is about.
        sentences: of it, in order.
        grade: of it; None where nobody graded it.
        numbers: by which its tokens may be shaded.
        tokenizer: of its ids.
    """
    first = len(trace.prompt_ids)
    texts = token_texts(
        trace.token_ids, lambda ids: tokenizer.decode(ids, skip_special_tokens=False)
    )
    ends = list(accumulate(map(len, texts)))
    starts = [0, *ends]
    labellers = tuple(dict.fromkeys(name for one in sentences for name in one.label_by))
    outcome = {} if grade is None else {"outcome": grade.outcome, "graded": grade.why}
    answer = {"right answer": problem.answer} if problem.answer else {}
    return ShownTrace(
        trace.trace_id,
        problem.prompt,
        outcome | {"split": trace.split, "ended by": trace.finish_reason} | answer,
        "".join(texts),
        labellers,
        tuple(
            ShownSentence(
                starts[one.start - first],
                starts[one.end - first],
                tuple(one.label_by.get(name) for name in labellers),
                one.truth.kind if one.truth and one.decides else None,
            )
            for one in sentences
        ),
        ends,
        tuple(
            Shade(one.name, tuple(one.by_position.get(first + at) for at in range(len(ends))))
            for one in numbers
        ),
    )


def of_rollouts(
    rollouts: Sequence[Rollouts], n_problems: int, show: Callable[[str, Trace], ShownTrace]
) -> list[ShownTrace]:
    """Whole generations under every arm, of the first problems, those of one problem together.

    Args:
        rollouts: of all arms.
        n_problems: how many problems.
        show: a trace of a role, as those that the study sampled are shown.
    """
    names = sorted({trace.problem_id for one in rollouts for trace in one.traces})[:n_problems]
    found = []
    for name in names:
        for one in rollouts:
            trace = next((trace for trace in one.traces if trace.problem_id == name), None)
            if trace is not None and trace.text.strip():
                arm = "unsteered" if one.group == BASELINE else one.name
                made = show(one.target, trace)
                facts = {"arm": arm, "model": one.target} | dict(made.facts)
                trace_id = f"{name}, {one.target}, {arm}"
                found.append(replace(made, trace_id=trace_id, facts=facts))
    return found

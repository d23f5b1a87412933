"""A trace of the organism as records: its sentences, what is true of them, and what it is worth."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from tokenizers import Tokenizer

from backtracking.domains.domain import Reading
from backtracking.domains.organism import states
from backtracking.domains.organism.next_state import next_state_laws
from backtracking.domains.organism.policy import Policy
from backtracking.domains.organism.posteriors import posteriors_of
from backtracking.domains.organism.states import Replay, is_solved, words_of
from backtracking.domains.organism.world import read_prompt
from backtracking.labels.states import STATES, UNPARSED
from backtracking.records.grades import Grade, Outcome
from backtracking.records.posteriors import END, Laws
from backtracking.records.sentences import EXACT, Action, Sentence, Truth
from backtracking.records.traces import Problem, Trace

_ACTION_BY_NAME: dict[str, Action] = {
    "backtracks": "turns",
    "idles": "idles",
    "carries_on": "goes on",
}


def read(
    trace: Trace, problem: Problem, tokenizer: Tokenizer, policy: Policy, *, with_laws: bool
) -> Reading:
    """The trace replayed: exact labels and the truth of every sentence.

    Args:
        trace: the trace.
        problem: of it.
        tokenizer: of its ids.
        policy: whose law and posteriors are read, if they are.
        with_laws: whether they are.
    """
    numbers, target = read_prompt(problem.prompt)
    words = words_of(trace, tokenizer)
    readings = _replay(problem.prompt, tuple(words))
    sentences = _sentences(trace, readings, target, tokenizer)
    if not with_laws:
        return Reading(sentences)
    posteriors = posteriors_of(words, numbers, target, len(trace.prompt_ids))
    return Reading(sentences, posteriors, _laws(readings, target, policy))


def grade(trace: Trace, problem: Problem, tokenizer: Tokenizer) -> Grade:
    """Right where the trace finds the target and truly stands on it."""
    readings = _replay(problem.prompt, tuple(words_of(trace, tokenizer)))
    form = readings[-1].form if readings else None
    answer = str(form.numbers[0]) if form and form.name == "found" else None
    outcome: Outcome = "unparsable"
    why = "it ends in no sentence of the world"
    if is_solved(readings):
        outcome, why = "right", "it finds the target, and stands on it"
    elif trace.finish_reason == "length":
        outcome, why = "unfinished", "it was cut"
    elif answer is not None:
        outcome, why = "wrong", "it does not stand on the target"
    elif form is not None:
        outcome, why = "wrong", "it ends without an answer"
    return Grade(trace.trace_id, problem.problem_id, outcome, answer, why)


@lru_cache(maxsize=1)
def _replay(prompt: str, words: tuple[str, ...]) -> tuple[states.Reading, ...]:
    """A trace is replayed once where it is read and then graded."""
    return tuple(Replay(*read_prompt(prompt)).read(list(words)))


def _laws(readings: Sequence[states.Reading], target: int, policy: Policy) -> Laws:
    """The policy's law after each sentence; it never writes what does not parse."""
    laws = next_state_laws([reading.form for reading in readings], target, policy)
    unparsed = np.where(np.isnan(laws[:, 0]), np.nan, 0.0)
    p = np.concatenate([laws[:, :-1], unparsed[:, None], laws[:, -1:]], axis=1)
    return Laws((*STATES, UNPARSED, END), p)


def _sentences(
    trace: Trace, readings: Sequence[states.Reading], target: int, tokenizer: Tokenizer
) -> list[Sentence]:
    first, ids = len(trace.prompt_ids), trace.ids
    found = []
    left: tuple[int, ...] = ()
    moves: list[int] = []
    for index, reading in enumerate(readings):
        start, end = first + reading.start, first + reading.end
        form = reading.form
        if form and form.name == "left":
            left = tuple(sorted(form.numbers))
        elif form and form.name in ("try", "undo"):
            moves.append(form.numbers[0] if form.name == "try" else -form.numbers[0])
        found.append(
            Sentence(
                trace_id=trace.trace_id,
                index=index,
                start=start,
                end=end,
                text=tokenizer.decode(ids[start:end], skip_special_tokens=True),
                decides=form is not None and form.name == "compare",
                label_by={EXACT: reading.state},
                truth=_truth(reading, target, left, moves),
            )
        )
    return found


def _truth(
    reading: states.Reading, target: int, left: Sequence[int], moves: Sequence[int]
) -> Truth:
    """What a sentence says, and where the search then stands.

    A state of the search is the true total and the numbers left; its history is every step taken
    and undone so far, so that a hesitation makes no new one.
    """
    decides = reading.form is not None and reading.form.name == "compare"
    is_checked = reading.check != "none"
    return Truth(
        form=reading.form.name if reading.form else None,
        kind=reading.kind,
        value=float(reading.true_total),
        written=float(reading.written_total)
        if reading.form and reading.form.name == "total"
        else None,
        target=float(target),
        valid=reading.valid if is_checked else None,
        check=reading.check if is_checked else None,
        action=_ACTION_BY_NAME[reading.action] if reading.action else None,
        search_state=_spaced((reading.true_total, *left)) if decides else None,
        history=_spaced(moves) if decides else None,
    )


def _spaced(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))

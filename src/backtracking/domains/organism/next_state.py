"""The generator's own law of what comes next: exact p(next sentence state | prefix).

The policy acts on what a reader of the trace can see: the last total compared, the last list of
what is left, the forms of the last few sentences. So its law is a function of these alone, and it
is exact for every prefix that the policy can write. Where a prefix is none of the policy's, the
law is not defined (NaN): a model that was trained on the policy also writes others.

The cut of a search after `Writer.write`'s `max_steps` decisions is no part of the law.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from backtracking.domains.organism.grammar import Form
from backtracking.domains.organism.policy import Policy
from backtracking.labels.states import STATES

END = "END"

OUTCOMES = (*STATES, END)
"""What can follow a sentence, in the order of the columns."""

_HESITATIONS = ("fine", "hmm", "well")
_OPENERS = ("too_big", "is_over", "nothing_left", "none_left")
_CERTAIN = {
    "start": "example-testing",
    "try": "adding-knowledge",
    "goal": "deduction",
    **dict.fromkeys((*_OPENERS, "dead_end"), "backtracking"),
    "undo": "adding-knowledge",
    "found": END,
    "give_up": END,
}
"""Forms after which the next state is always the same."""


@dataclass(frozen=True)
class _Reader:
    """What a reader knows at the end of a sentence.

    Attributes:
        form: the sentence's form.
        before: the name of the form before it.
        n_hesitations: hesitations in a row that end here.
        total: the running total, as written.
        nothing_left: whether the last list of what is left was empty.
    """

    form: Form
    before: str
    n_hesitations: int
    total: int
    nothing_left: bool


def next_state_laws(
    forms: Sequence[Form | None], target: int, policy: Policy
) -> Float[np.ndarray, "sentences outcomes"]:
    """p(next state | prefix) after each sentence of a trace, columns as in `OUTCOMES`.

    Args:
        forms: the parsed sentences after the prompt; None where one is none of the world's.
        target: of the problem.
        policy: the probabilities that the trace was, or should have been, written with.

    Returns:
        Rows that sum to 1; NaN where the policy does not write such a prefix.
    """
    laws = np.full((len(forms), len(OUTCOMES)), np.nan)
    before, n_hesitations, total, nothing_left = "", 0, 0, False
    for row, form in enumerate(forms):
        if form is None:
            before, n_hesitations = "", 0
            continue
        n_hesitations = n_hesitations + 1 if form.name in _HESITATIONS else 0
        if form.name in ("total", "compare"):
            total = form.numbers[0]
        elif form.name == "undo":
            total = form.numbers[1]
        elif form.name == "left":
            nothing_left = not form.numbers
        law = _law(_Reader(form, before, n_hesitations, total, nothing_left), target, policy)
        if law is not None:
            laws[row] = [law.get(outcome, 0.0) for outcome in OUTCOMES]
        before = form.name
    return laws


def _law(reader: _Reader, target: int, policy: Policy) -> dict[str, float] | None:
    name = reader.form.name
    if name in _CERTAIN:
        return {_CERTAIN[name]: 1.0}
    if name == "left" and reader.before == "try":
        return {"deduction": 1.0}
    if name == "total" or (name == "left" and reader.before == "undo"):
        return _comparison(policy)
    if name == "check" or name == "compare":
        acts = _action(reader, target, policy)
        if name == "check":
            return acts
        checked = {state: (1 - policy.p_check) * p for state, p in acts.items()}
        return checked | {"deduction": policy.p_check}
    if name in _HESITATIONS:
        return _after_hesitation(reader, policy)
    return None


def _comparison(policy: Policy) -> dict[str, float]:
    return {"adding-knowledge": policy.p_goal, "deduction": 1 - policy.p_goal}


def _action(reader: _Reader, target: int, policy: Policy) -> dict[str, float]:
    """What is done at a decision point."""
    # Numbers are 1 or more, so a total of 0 stands at the root, from where nothing can be undone.
    at_root = reader.total == 0
    if reader.total == target or (at_root and reader.nothing_left):
        return {"final-answer": 1.0}
    if reader.total < target and not reader.nothing_left:
        return {
            "uncertainty-estimation": policy.p_idle,
            "example-testing": 1 - policy.p_idle,
        }
    missed = 1 - policy.p_notice
    hesitates = 1.0 if reader.nothing_left else policy.p_hesitate
    return {
        "backtracking": policy.p_notice,
        "uncertainty-estimation": missed * hesitates,
        "example-testing": missed * (1 - hesitates),
    }


def _after_hesitation(reader: _Reader, policy: Policy) -> dict[str, float] | None:
    """One more, or on with the search; where nothing is left, the comparison again."""
    law, n = policy.uncertainty_dwell, reader.n_hesitations
    going = sum(law[n - 1 :])
    if n > len(law) or going <= 0:
        return None
    more = sum(law[n:]) / going
    onward = _comparison(policy) if reader.nothing_left else {"example-testing": 1.0}
    return {state: (1 - more) * p for state, p in onward.items()} | {"uncertainty-estimation": more}

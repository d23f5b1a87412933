"""What the turns under every arm name: the state of the search, the steering, or neither."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from backtracking.effects.rollouts import Written
from backtracking.effects.seen import Seen, key_of
from backtracking.labels.remarks import Remark, remark_of
from backtracking.records.drawn import Drawn
from backtracking.records.measured import baseline
from backtracking.records.rollouts import Rollouts
from backtracking.records.rows.arms import ArmKey
from backtracking.records.rows.remarks import Remarks
from backtracking.statistics.bootstrap import Bootstrap

REMARKS: tuple[Remark, ...] = get_args(Remark)

FREE = "free"
"""The run of whole generations."""


@dataclass(frozen=True)
class Turns:
    """Sentences that backtrack, under one arm.

    Attributes:
        run: that the arm is one of.
        arm: of a model.
        texts: the sentences.
        problems: of each.
    """

    run: str
    arm: ArmKey
    texts: Sequence[str]
    problems: Sequence[str]


def tabulate_remarks(turns: Iterable[Turns], bootstrap: Bootstrap) -> list[Remarks]:
    """One row an arm: shares of its turns; random directions of equal norm are arms as well."""
    rows = []
    for one in turns:
        found = [remark_of(text) for text in one.texts]
        values = np.array([[name == kind for kind in REMARKS] for name in found], dtype=float)
        if len(values):
            shares = bootstrap.intervals(values, list(one.problems))
            rows.append(Remarks(one.run, one.arm, len(values), *shares))
    return rows


def turns_of_draws(seen: Seen, drawn: Drawn) -> list[Turns]:
    """Of the arms whose drawn sentences are kept, in the order of the arms."""
    problem = dict(zip(seen.decisions.ids, seen.decisions.problem, strict=True))
    found = []
    for number, arm in enumerate(drawn.counts.arms):
        texts, problems = [], []
        for one in drawn.said:
            if one.arm == number:
                its = [text for text, turned in zip(one.texts, one.turned, strict=True) if turned]
                texts += its
                problems += [problem[one.decision_id]] * len(its)
        key = key_of(seen.target, arm)
        found.append(Turns(drawn.counts.run, key, texts, problems))
    return found


def turns_of_rollouts(rollouts: Rollouts, written: Sequence[Written]) -> Turns:
    """Of whole generations under one arm."""
    pairs = [
        (sentence.text, one.trace.problem_id)
        for one in written
        for sentence, state in zip(one.sentences, one.states, strict=True)
        if state == "backtracking"
    ]
    arm = rollouts.arms[0] if rollouts.arms else baseline()
    texts, problems = [text for text, _ in pairs], [problem for _, problem in pairs]
    return Turns(FREE, key_of(rollouts.target, arm), texts, problems)

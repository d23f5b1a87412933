"""Same state by different histories: does the representation agree? (Phua, arXiv 2605.22221)

Pairs of decisions within one problem: both stand at the same true search state, reached by
different histories, or at different ones. AUROC is P(the cosine of a pair at the same state exceeds
that of a pair at different ones). Part of the state may be in the words of the deciding sentence,
so the test that means something is against pairs with the **same words** and another state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from backtracking.records.intervals import Interval
from backtracking.records.rows.transitions import Representation
from backtracking.statistics.auroc import auroc
from backtracking.statistics.bootstrap import Bootstrap


@dataclass(frozen=True)
class Pairs:
    """Pairs of decisions of one problem.

    Attributes:
        first, second: rows of the decisions.
        problem: of the pair.
        same_state: whether both stand at the same search state.
        same_words: whether both have the same words.
    """

    first: Int[np.ndarray, " pairs"]
    second: Int[np.ndarray, " pairs"]
    problem: Shaped[np.ndarray, " pairs"]
    same_state: Bool[np.ndarray, " pairs"]
    same_words: Bool[np.ndarray, " pairs"]


def make_pairs(
    problem: Sequence[str],
    state: Sequence[str],
    words: Sequence[tuple[int, ...]],
    history: Sequence[str],
) -> Pairs:
    """All pairs within a problem whose histories differ.

    Args:
        problem: of each decision.
        state: what identifies its search state within the problem.
        words: token ids of its sentence.
        history: how it was reached.
    """
    codes = [_codes(problem), *(_codes(column) for column in (state, words, history))]
    parts: list[np.ndarray] = []
    for one in np.unique(codes[0]):
        rows = np.flatnonzero(codes[0] == one)
        first, second = np.triu_indices(len(rows), 1)
        parts.append(np.stack([rows[first], rows[second]], axis=1))
    both = np.concatenate(parts) if parts else np.zeros((0, 2), dtype=np.int64)
    both = both[codes[3][both[:, 0]] != codes[3][both[:, 1]]]
    first, second = both.T
    return Pairs(
        first,
        second,
        np.array(problem, dtype=object)[first],
        codes[1][first] == codes[1][second],
        codes[2][first] == codes[2][second],
    )


def agreement_rows(
    role: str,
    layer: int | None,
    x: Float[np.ndarray, "decisions d"],
    pairs: Pairs,
    bootstrap: Bootstrap,
) -> list[Representation]:
    """AUROC and mean cosines, against all pairs at different states and those of the same words.

    Args:
        role, layer: what the rows are of.
        x: one row per decision, centred.
        pairs: as from `make_pairs`.
        bootstrap: intervals by problem.
    """
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    cosine = (unit[pairs.first] * unit[pairs.second]).sum(axis=1)
    found = []
    for against, chosen in (
        ("any_other_state", np.ones(len(cosine), dtype=bool)),
        ("same_words_other_state", pairs.same_words),
    ):
        rows = np.flatnonzero(pairs.same_state | chosen)
        same = pairs.same_state[rows]
        measured = _measures(cosine[rows], same, pairs.problem[rows], bootstrap)
        counts = int(same.sum()), int((~same).sum())
        found.append(Representation(role, layer, against, *measured, *counts))
    return found


def _measures(
    cosine: Float[np.ndarray, " pairs"],
    same: Bool[np.ndarray, " pairs"],
    problem: Shaped[np.ndarray, " pairs"],
    bootstrap: Bootstrap,
) -> tuple[Interval | None, Interval | None, Interval | None]:
    """AUROC, and mean cosines of pairs at the same state and at different ones."""
    names = [one for one in np.unique(problem) if len(set(same[problem == one])) == 2]
    if not names:
        return None, None, None
    wins = np.zeros((len(names), 2))
    for number, name in enumerate(names):
        rows = problem == name
        n, positive = rows.sum(), same[rows].sum()
        weight = 2 * positive * (n - positive) / n
        wins[number] = (auroc(cosine[rows], same[rows]) or 0.0) * weight, weight
    (area,) = bootstrap.intervals(wins, names, lambda m: m[:, :1] / m[:, 1:])
    kept = np.isin(problem, names)
    by_kind = np.where(np.stack([same, ~same], axis=1), cosine[:, None], np.nan)[kept]
    same_state, different = bootstrap.intervals(by_kind, list(problem[kept]))
    return area, same_state, different


def _codes(values: Sequence[Any]) -> Int[np.ndarray, " n"]:
    number: dict[Any, int] = {}
    return np.array([number.setdefault(value, len(number)) for value in values], dtype=np.int64)

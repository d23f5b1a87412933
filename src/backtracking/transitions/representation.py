"""Same state by different histories: does the representation agree? (Phua, arXiv 2605.22221)

Pairs of decisions within one problem: both stand at the same true search state, reached by
different histories, or at different ones. AUROC is P(the cosine of a pair at the same state exceeds
that of a pair at different ones). Part of the state may be in the words of the deciding sentence,
so the test that means something is against pairs with the **same words** and another state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from backtracking.activations.reader import ActivationStore
from backtracking.records.intervals import Interval
from backtracking.records.rows.transitions import Representation
from backtracking.statistics.auroc import auroc
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions.corpus import Corpus, read_at

N_RECENT = 24
"""Tokens whose counts stand for what is written, beside the models."""


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


def agreement_row(
    role: str, x: Float[np.ndarray, "decisions d"], pairs: Pairs, bootstrap: Bootstrap
) -> Representation:
    """The AUROC of the cosines of pairs at one state, against pairs of the same words at two.

    Args:
        role: what the rows are of.
        x: one row per decision, centred.
        pairs: as from `make_pairs`.
        bootstrap: intervals by problem.
    """
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    chosen = np.flatnonzero(pairs.same_state | pairs.same_words)
    first, second = pairs.first[chosen], pairs.second[chosen]
    cosine, same = (unit[first] * unit[second]).sum(axis=1), pairs.same_state[chosen]
    area = _area(cosine, same, pairs.problem[chosen], bootstrap)
    return Representation(role, area, int(same.sum()), int((~same).sum()))


def _area(
    cosine: Float[np.ndarray, " pairs"],
    same: Bool[np.ndarray, " pairs"],
    problem: Shaped[np.ndarray, " pairs"],
    bootstrap: Bootstrap,
) -> Interval | None:
    """AUROC within problems, each with the weight of its pairs; None where none has both kinds."""
    names = [one for one in np.unique(problem) if len(set(same[problem == one])) == 2]
    if not names:
        return None
    wins = np.zeros((len(names), 2))
    for number, name in enumerate(names):
        rows = problem == name
        n, positive = rows.sum(), same[rows].sum()
        weight = 2 * positive * (n - positive) / n
        # Cosines that differ by rounding alone are ties.
        wins[number] = (auroc(np.round(cosine[rows], 9), same[rows]) or 0.0) * weight, weight
    return bootstrap.intervals(wins, names, lambda m: m[:, :1] / m[:, 1:])[0]


def representation_rows(
    corpus: Corpus, store_by_role: Mapping[str, ActivationStore], layer: int, bootstrap: Bootstrap
) -> list[Representation]:
    """Same test search states by different histories, in every model and in the tokens alone.

    Activations are taken at the last token of deciding sentences, minus their mean over train
    problems. No rows where no search state is known.
    """
    is_known = np.array([one is not None for one in corpus.sentences.search_state], dtype=bool)
    deciding = corpus.sentences[corpus.sentences.decides & is_known]
    test = deciding[deciding.split == "test"]
    if not len(test):
        return []
    spans = list(zip(test.trace, test.start, test.end, strict=True))
    pairs = make_pairs(
        list(test.problem),
        list(test.search_state),
        [tuple(corpus.token_ids[trace][start:end]) for trace, start, end in spans],
        list(test.history),
    )
    recent = [corpus.token_ids[trace][max(0, end - N_RECENT) : end] for trace, _, end in spans]
    largest = max(max(ids) for ids in recent)
    counts = np.stack([np.bincount(ids, minlength=largest + 1) for ids in recent]).astype(float)
    found = [agreement_row("tokens", counts - counts.mean(axis=0), pairs, bootstrap)]
    for role, store in store_by_role.items():
        values, _ = read_at(store, layer, deciding.trace, deciding.end - 1)
        mean = values[deciding.split == "train"].mean(axis=0)
        centred = values[deciding.split == "test"] - mean
        found.append(agreement_row(role, centred, pairs, bootstrap))
    return found


def _codes(values: Sequence[Any]) -> Int[np.ndarray, " n"]:
    number: dict[Any, int] = {}
    return np.array([number.setdefault(value, len(number)) for value in values], dtype=np.int64)

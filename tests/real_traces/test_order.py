"""A longer memory than one tag is told from traces that differ in their habits."""

from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest

from backtracking.real_traces.order import Tagged, order_null, orders, redraw
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions.sequences import make_sequences

N_TAGS = 3


def planted(longer: bool, seed: int = 0) -> Tagged:
    """Traces of chains: one that remembers two tags, or one of order 1 of each trace's own."""
    rng = np.random.default_rng(seed)
    shared = rng.dirichlet(np.ones(N_TAGS), (N_TAGS, N_TAGS))
    labels = []
    for _ in range(12):
        own = rng.dirichlet(0.4 * np.ones(N_TAGS), N_TAGS)
        path = [0, 1]
        for _ in range(150):
            law = shared[path[-2], path[-1]] if longer else own[path[-1]]
            path.append(int(rng.choice(N_TAGS, p=law)))
        labels.append(np.array(path))
    problems = [f"p{number % 4}" for number in range(12)]
    nothing = [np.zeros((len(one), 0)) for one in labels]
    sequences = make_sequences(labels, nothing, problems, [True] * 12, N_TAGS)
    return Tagged(sequences, tuple(f"t{number:02}" for number in range(12)))


def test_a_path_is_redrawn_among_all_with_its_transitions_each_as_often() -> None:
    path = [0, 1, 0, 2, 1, 0, 0, 1]
    pairs = Counter(pairwise(path))
    same = {(0, *one) for one in permutations(path[1:]) if Counter(pairwise((0, *one))) == pairs}
    rng = np.random.default_rng(0)
    n = 400 * len(same)
    found = Counter(tuple(redraw(np.array(path), rng)) for _ in range(n))
    assert set(found) == same and len(same) > 5
    chi2 = sum((found[one] - 400) ** 2 / 400 for one in same)
    assert chi2 < len(same) - 1 + 4 * np.sqrt(2 * (len(same) - 1))


def test_one_sentence_is_redrawn_as_itself() -> None:
    assert redraw(np.array([2]), np.random.default_rng(0)) == [2]


@pytest.mark.slow
def test_a_chain_of_order_2_gains_more_than_without_memory() -> None:
    by_model = {row.model: row for row in order_null(planted(longer=True), 9, 0)}
    assert by_model["markov_2"].p == 0.1
    assert by_model["markov_2"].gain > 3 * by_model["markov_2"].null_high


@pytest.mark.slow
def test_traces_with_habits_of_their_own_gain_and_are_no_longer_memory() -> None:
    by_model = {row.model: row for row in order_null(planted(longer=False), 9, 0)}
    assert by_model["markov_2"].gain > 0.01
    assert by_model["markov_2"].p > 0.1


def test_every_class_is_held_beside_order_1_on_problems_that_it_has_not_seen() -> None:
    rows = orders(planted(longer=True), Bootstrap(200, 0.95, 0))
    by_model = {row.model: row.score for row in rows}
    assert by_model["markov_1"].difference.value == 0
    second, none = by_model["markov_2"].difference, by_model["iid"].difference
    assert second.high is not None and second.high < 0
    assert none.low is not None and none.low > 0 and none.n == 4

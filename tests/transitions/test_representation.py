import numpy as np
import pytest
from intervals import known

from backtracking.records.rows.transitions import Representation
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions.representation import agreement_row, make_pairs

BOOTSTRAP = Bootstrap(200, 0.95, 0)


def comparisons(seed: int) -> tuple[list, list, list, list, np.ndarray]:
    """Twelve comparisons in each of 40 problems: 4 states, which share 2 wordings by pairs."""
    rng = np.random.default_rng(seed)
    problem, state, words, history, codes = [], [], [], [], []
    for one in range(40):
        for n in range(12):
            problem.append(f"p{one:02d}")
            state.append(str(n % 4))
            words.append((n % 4 % 2,))
            history.append(f"{one} {n}")
            codes.append(one * 4 + n % 4)
    return problem, state, words, history, rng.normal(size=(160, 8))[codes]


def row_of(x: np.ndarray) -> Representation:
    problem, state, words, history, _ = comparisons(0)
    return agreement_row("reasoning", x, make_pairs(problem, state, words, history), BOOTSTRAP)


def test_a_representation_of_the_state_agrees_whatever_the_history() -> None:
    truth = comparisons(0)[4]
    found = known(row_of(truth + 0.5 * np.random.default_rng(1).normal(size=truth.shape)).auroc)
    assert found.low > 0.8 and found.n == 40


def test_a_representation_of_the_words_alone_fails_against_the_same_words() -> None:
    problem, _, words, _, _ = comparisons(0)
    rng = np.random.default_rng(4)
    centre = rng.normal(size=(80, 8))
    place = [int(one[1:]) * 2 + word[0] for one, word in zip(problem, words, strict=True)]
    found = row_of(centre[place] + 0.5 * rng.normal(size=(480, 8)))
    assert known(found.auroc).value == pytest.approx(0.5, abs=0.05)


def test_pairs_have_one_problem_and_two_histories() -> None:
    pairs = make_pairs(
        ["a", "a", "a", "b"], ["1", "1", "2", "1"], [(0,), (0,), (0,), (0,)],
        ["7", "8", "7", "9"],
    )  # fmt: skip
    assert list(zip(pairs.first, pairs.second, strict=True)) == [(0, 1), (1, 2)]
    assert pairs.same_state.tolist() == [True, False]
    assert pairs.same_words.tolist() == [True, True]
    assert list(pairs.problem) == ["a", "a"]


def test_where_no_state_is_met_twice_nothing_is_said() -> None:
    pairs = make_pairs(["a", "a"], ["1", "2"], [(0,), (0,)], ["7", "8"])
    row = agreement_row("reasoning", np.eye(2), pairs, BOOTSTRAP)
    assert (row.auroc, row.n_same, row.n_different) == (None, 0, 1)

"""Filter, smoother and EM, against enumeration, against hmmlearn, and on planted states."""

from collections.abc import Callable
from functools import cached_property
from itertools import product

import numpy as np
import pytest
from planted import drawn
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score

from backtracking.transitions import em, hmm, variational
from backtracking.transitions.hmm import Hmm, filter_states, forward_backward
from backtracking.transitions.sequences import Sequences, make_sequences
from backtracking.transitions.slds import Slds
from benchmarks.planted_models import Size, draw_hidden
from lifeboat.stage.errors import UserError


@pytest.fixture(scope="module")
def small() -> tuple[Hmm, Sequences]:
    """Two states, and two short traces, one of them truncated."""
    rng = np.random.default_rng(3)
    covariance = np.array([[[1.0, 0.3], [0.3, 0.5]], [[0.7, -0.2], [-0.2, 1.2]]])
    model = Hmm(
        np.array([0.6, 0.4]),
        np.array([[0.7, 0.2, 0.1], [0.3, 0.5, 0.2]]),
        np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]]),
        rng.normal(size=(2, 2)),
        covariance,
    )
    labels = [np.array([0, 2, 1, 2]), np.array([1, 1, 0])]
    x = [rng.normal(size=(len(one), 2)) for one in labels]
    return model, make_sequences(labels, x, ["a", "b"], [True, False], 3)


def joint(model: Hmm, traces: Sequences, row: int, path: tuple[int, ...]) -> float:
    """p(labels, activations, states, END) of one trace, term by term."""
    p = model.initial[path[0]]
    for step, state in enumerate(path):
        p *= model.emission[state, traces.label[row, step]]
        p *= multivariate_normal.pdf(
            traces.x[row, step], model.mean[state], model.covariance[state]
        )
        if step:
            p *= model.transition[path[step - 1], state]
    return p * (model.transition[path[-1], -1] if traces.ended[row] else 1.0)


def test_likelihood_and_posteriors_are_those_of_all_paths_summed_up(
    small: tuple[Hmm, Sequences],
) -> None:
    model, traces = small
    posterior = forward_backward(
        model.initial, model.transition, model.log_emission(traces), traces
    )
    moves = np.zeros((2, 3))
    for row in range(2):
        n = int(traces.present[row].sum())
        paths = {path: joint(model, traces, row, path) for path in product((0, 1), repeat=n)}
        total = sum(paths.values())
        assert posterior.log_likelihood[row] == pytest.approx(np.log(total))
        for step in range(n):
            ones = sum(p for path, p in paths.items() if path[step] == 1) / total
            assert posterior.state[row, step, 1] == pytest.approx(ones)
        for path, p in paths.items():
            for start, end in zip(path[:-1], path[1:], strict=True):
                moves[start, end] += p / total
            moves[path[-1], 2] += p / total * traces.ended[row]
    assert posterior.moves == pytest.approx(moves)
    assert (posterior.state[1, 3] == 0).all()


def test_a_prediction_is_that_of_all_paths_summed_up(small: tuple[Hmm, Sequences]) -> None:
    model, traces = small
    state = np.zeros(2)
    for path in product((0, 1), repeat=3):
        state[path[-1]] += joint(model, traces, 1, path)
    ahead = state / state.sum() @ model.transition
    expected = [*(ahead[:2] @ model.emission), ahead[2]]
    assert np.exp(model.predict(traces)[1, 2]) == pytest.approx(expected)


def test_log_likelihood_is_hmmlearns_for_gaussian_emissions() -> None:
    from hmmlearn import hmm as hmmlearn

    rng = np.random.default_rng(0)
    moves = rng.dirichlet(np.ones(3), size=3)
    covariance = np.stack([np.diag(rng.uniform(0.5, 2, 4)) + 0.2 for _ in range(3)])
    model = Hmm(
        rng.dirichlet(np.ones(3)),
        np.column_stack([moves, np.zeros(3)]),
        np.ones((3, 1)),
        rng.normal(size=(3, 4)),
        covariance,
    )
    x = [rng.normal(size=(n, 4)) for n in (30, 7, 18)]
    labels = [np.zeros(len(one), dtype=np.int64) for one in x]
    traces = make_sequences(labels, x, ["a", "b", "c"], [False] * 3, 1)
    theirs = hmmlearn.GaussianHMM(3, "full", init_params="", params="")
    theirs.startprob_, theirs.transmat_ = model.initial, moves
    theirs.means_, theirs.covars_ = model.mean, covariance
    assert model.log_likelihood(traces) == pytest.approx([theirs.score(one) for one in x])


def test_nothing_underflows_where_a_sentence_is_impossible_to_all_but_one_state() -> None:
    log_emission = np.full((1, 300, 2), -5000.0)
    log_emission[..., 0] = -1000.0
    state, evidence = filter_states(
        np.array([0.5, 0.5]), np.array([[0.5, 0.4, 0.1], [0.5, 0.4, 0.1]]), log_emission
    )
    assert np.isfinite(evidence).all()
    assert state[0, -1].tolist() == [1.0, 0.0]


class Watched(em.Learning):
    """So many rounds, whatever changes, and the value before each."""

    def until_converged(self, improve: Callable[[], float], what: str) -> None:
        self.values.extend(improve() for _ in range(self.max_rounds))

    @cached_property
    def values(self) -> list[float]:
        return []


@pytest.mark.parametrize(("law", "n_problems"), [("hmm", 3), ("slds", 3), ("slds", 6)])
@pytest.mark.parametrize("n_states", [2, 5])
@pytest.mark.parametrize("fit", [em.fit, variational.fit])
def test_every_round_raises_likelihood_times_prior(
    fit: Callable[[Sequences, int, em.Learning], Hmm | Slds],
    n_states: int,
    law: str,
    n_problems: int,
) -> None:
    """Of few traces, where the prior weighs; the likelihood alone falls in two of these."""
    learning = Watched(1, max_rounds=60)
    fit(drawn(law, n_problems)[1], n_states, learning)
    assert len(learning.values) == 60 and all(np.diff(learning.values) > -1e-9)


def test_em_ends_where_nothing_changes() -> None:
    traces = drawn("hmm", 30)[1]
    found = em.fit(traces, 3, em.Learning(1, 1e-8))
    again = Watched(1, max_rounds=2)
    em.climb(traces, forward_backward(
        found.initial, found.transition, found.log_emission(traces), traces
    ), again)  # fmt: skip
    assert again.values[1] - again.values[0] < 1e-8
    reached = found.log_likelihood(traces).sum() + em.log_prior(found, traces)
    assert reached / traces.present.sum() == pytest.approx(again.values[0])


def test_em_that_has_not_converged_is_an_error_that_names_the_model() -> None:
    with pytest.raises(UserError, match="a hidden Markov model of 3 states to converge to 1e-08"):
        em.fit(drawn("hmm", 20)[1], 3, em.Learning(1, 1e-8, max_rounds=3))


def test_em_finds_the_planted_states_and_their_laws() -> None:
    truth, _ = drawn("hmm")
    assert isinstance(truth, Hmm)
    traces, state = draw_hidden(truth, Size(120, 2, 60), np.random.default_rng(1))
    found = em.fit(traces, 3, em.Learning())
    present = traces.present
    latent, true = found.filtered(traces)[present].argmax(axis=1), state[present]
    table = np.zeros((3, 3))
    np.add.at(table, (latent, true), 1.0)
    assert adjusted_rand_score(true, latent) > 0.6
    order = table.argmax(axis=0)
    assert sorted(order) == [0, 1, 2]
    assert abs(found.transition[order][:, [*order, 3]] - truth.transition).max() < 0.05
    assert abs(found.mean[order] - truth.mean).max() < 0.15


def test_a_density_is_scipys() -> None:
    rng = np.random.default_rng(0)
    x, mean = rng.normal(size=(5, 3)), rng.normal(size=(2, 3))
    covariance = np.stack([np.eye(3) + 0.4, np.diag([1e-4, 1.0, 9.0])])
    found = hmm.normal_log_density(x, mean, covariance)
    for k in range(2):
        assert found[:, k] == pytest.approx(multivariate_normal.logpdf(x, mean[k], covariance[k]))

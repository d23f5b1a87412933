import numpy as np
import pytest
from planted import drawn
from scipy.stats import multivariate_normal

from backtracking.transitions import density
from backtracking.transitions.hmm import Hmm
from backtracking.transitions.sequences import Sequences, make_sequences
from backtracking.transitions.slds import Slds


def autoregressive(n_traces: int, seed: int) -> Sequences:
    """x_t = A x_{t-1} + noise of variance 0.25, in two dimensions."""
    rng = np.random.default_rng(seed)
    a, x = np.array([[0.8, 0.4], [-0.4, 0.8]]), np.zeros((n_traces, 30, 2))
    for t in range(1, 30):
        x[:, t] = x[:, t - 1] @ a.T + 0.5 * rng.standard_normal((n_traces, 2))
    labels = [np.zeros(30, dtype=np.int64)] * n_traces
    return make_sequences(labels, list(x), [f"p{n}" for n in range(n_traces)], [True] * n_traces, 1)


def test_an_autoregression_comes_to_its_own_entropy_and_beats_the_iid_gaussian() -> None:
    train, test = autoregressive(100, 0), autoregressive(100, 1)
    iid, var = density.gaussian_iid(train, test), density.var_1(train, test)
    entropy = np.log(2 * np.pi * np.e * 0.25)
    assert -var.log_density.mean() == pytest.approx(entropy, abs=0.03)
    assert var.log_density.mean() - iid.log_density.mean() > 0.5


def test_the_mixture_that_a_hidden_markov_model_predicts_is_summed_state_by_state() -> None:
    model, traces = drawn("hmm", 10)
    assert isinstance(model, Hmm)
    found = density.hmm(model, traces)
    ahead = model.filtered(traces)[0, 0] @ model.transition[:, :-1]
    ahead /= ahead.sum()
    p = sum(
        share * multivariate_normal.pdf(traces.x[0, 1], mean, covariance)
        for share, mean, covariance in zip(ahead, model.mean, model.covariance, strict=True)
    )
    assert found.log_density[0] == pytest.approx(np.log(p))
    assert found.mean[0] == pytest.approx(ahead @ model.mean)


def test_the_system_that_drew_the_activations_forecasts_them_best() -> None:
    model, traces = drawn("slds", 40)
    assert isinstance(model, Slds)
    own = density.slds(model, traces)
    others = (density.gaussian_iid(traces, traces), density.var_1(traces, traces))
    assert all(own.log_density.mean() > one.log_density.mean() + 0.3 for one in others)
    rows = density.forecast_rows(traces)
    error, spread = density.r_squared(traces.x[rows], own.mean).mean(axis=0)
    assert 0.2 < 1 - error / spread < 0.9


def test_the_share_of_variance_ends_at_one_and_finds_a_plane() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 2)) @ rng.normal(size=(2, 6)) + 1e-4 * rng.normal(size=(500, 6))
    share = density.variance_share(x)
    assert share[1] > 0.999999 > share[0]
    assert share[-1] == pytest.approx(1.0)

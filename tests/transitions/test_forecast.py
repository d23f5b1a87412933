import numpy as np
import pytest
from planted import drawn

from backtracking.transitions import forecast
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


def test_an_autoregression_explains_what_its_own_matrix_does() -> None:
    train, test = autoregressive(100, 0), autoregressive(100, 1)
    rows = forecast.forecast_rows(test)
    missed = test.x[rows] - forecast.var_1(train, test)
    assert (missed**2).mean() == pytest.approx(0.25, abs=0.01)


def test_the_system_that_drew_the_activations_forecasts_them_best() -> None:
    model, traces = drawn("slds", 40)
    assert isinstance(model, Slds)
    rows = forecast.forecast_rows(traces)
    own, linear = (
        1 - error / spread
        for error, spread in (
            forecast.r_squared(traces.x[rows], mean).mean(axis=0)
            for mean in (forecast.slds(model, traces), forecast.var_1(traces, traces))
        )
    )
    assert linear + 0.1 < own and 0.2 < own < 0.9


def test_the_share_of_variance_ends_at_one_and_finds_a_plane() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 2)) @ rng.normal(size=(2, 6)) + 1e-4 * rng.normal(size=(500, 6))
    share = forecast.variance_share(x)
    assert share[1] > 0.999999 > share[0]
    assert share[-1] == pytest.approx(1.0)

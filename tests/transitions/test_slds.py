"""Filter and smoother of the switching system, against dense Gaussians, and on planted regimes."""

from dataclasses import replace

import numpy as np
import pytest
from planted import drawn
from scipy.stats import multivariate_normal

from backtracking.transitions import em, variational
from backtracking.transitions.em import Learning
from backtracking.transitions.hmm import filter_states, forward_backward
from backtracking.transitions.packing import pack
from backtracking.transitions.scoring import nll
from backtracking.transitions.sequences import Sequences, make_sequences
from backtracking.transitions.slds import Slds, filter_past
from benchmarks.planted_models import Size, draw_hidden, plant_slds


@pytest.fixture(scope="module")
def one_regime() -> tuple[Slds, Sequences]:
    """A system of one regime in two dimensions, and two traces of different lengths."""
    rng = np.random.default_rng(5)
    noise = np.array([[[0.4, 0.1], [0.1, 0.3]]])
    model = Slds(
        initial=np.ones(1), transition=np.array([[0.9, 0.1]]), emission=np.array([[0.3, 0.7]]),
        start_mean=np.array([0.5, -1.0]), start_covariance=np.array([[1.0, 0.2], [0.2, 0.6]]),
        dynamics=np.array([[[0.8, 0.3], [-0.2, 0.9]]]), offset=np.array([[0.2, -0.1]]),
        noise=noise, observation=np.diag([0.2, 0.5]),
    )  # fmt: skip
    x = [rng.normal(size=(n, 2)) for n in (5, 3)]
    labels = [np.array([0, 1, 1, 0, 1]), np.array([1, 1, 0])]
    return model, make_sequences(labels, x, ["a", "b"], [True, True], 2)


def dense(model: Slds, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of y_1 .. y_n at once, built by unrolling the recursion."""
    d = len(model.start_mean)
    a, b, q = model.dynamics[0], model.offset[0], model.noise[0]
    mean, covariance = np.zeros(n * d), np.zeros((n * d, n * d))
    mean[:d], covariance[:d, :d] = model.start_mean, model.start_covariance
    for t in range(1, n):
        now, before = slice(t * d, t * d + d), slice(t * d - d, t * d)
        mean[now] = a @ mean[before] + b
        covariance[now, : t * d] = a @ covariance[before, : t * d]
        covariance[: t * d, now] = covariance[now, : t * d].T
        covariance[now, now] = a @ covariance[before, before] @ a.T + q
    return mean, covariance


def test_with_one_regime_the_filter_is_the_exact_kalman_filter(
    one_regime: tuple[Slds, Sequences],
) -> None:
    """Forecast and density of x_t given the x before it, from the joint Gaussian of all x."""
    model, traces = one_regime
    found = filter_past(model, traces)
    for row, n in enumerate((5, 3)):
        mean, covariance = dense(model, n)
        covariance = covariance + np.kron(np.eye(n), model.observation)
        x = traces.x[row, :n].ravel()
        for t in range(n):
            past, now = slice(0, 2 * t), slice(2 * t, 2 * t + 2)
            gain = covariance[now, past] @ np.linalg.inv(covariance[past, past])
            forecast = mean[now] + gain @ (x[past] - mean[past])
            spread = covariance[now, now] - gain @ covariance[past, now]
            assert found.forecast[row, t] == pytest.approx(forecast)
            density = multivariate_normal.logpdf(x[now], forecast, cov=spread)  # type: ignore[arg-type]
            assert found.log_density[row, t] == pytest.approx(density)


def test_with_one_regime_the_smoother_is_the_exact_conditional_gaussian(
    one_regime: tuple[Slds, Sequences],
) -> None:
    model, traces = one_regime
    state = np.where(traces.present[..., None], 1.0, 0.0)
    moments = variational.smooth(model, traces, state)
    packing = pack(traces)
    assert len(moments.yy) == 8
    for trace, n in enumerate((5, 3)):
        mean, covariance = dense(model, n)
        seen = np.linalg.inv(covariance + np.kron(np.eye(n), model.observation))
        exact = mean + covariance @ seen @ (traces.x[trace, :n].ravel() - mean)
        spread = covariance - covariance @ seen @ covariance
        rows = np.flatnonzero(packing.trace == trace)
        assert moments.mean[rows].ravel() == pytest.approx(exact)
        for t in range(1, n):
            now, before = slice(2 * t, 2 * t + 2), slice(2 * t - 2, 2 * t)
            yy = spread[now, now] + np.outer(exact[now], exact[now])
            across = spread[now, before] + np.outer(exact[now], exact[before])
            assert moments.yy[rows[t]] == pytest.approx(yy)
            assert moments.yu[rows[t] - 2][:, :2] == pytest.approx(across)
            assert moments.uu[rows[t] - 2][:2, 2] == pytest.approx(exact[before])


def test_with_one_regime_the_bound_is_the_likelihood(one_regime: tuple[Slds, Sequences]) -> None:
    """Up to the constant of its Gaussians, which is the same in every round."""
    model, traces = one_regime
    state = np.where(traces.present[..., None], 1.0, 0.0)
    moments = variational.smooth(model, traces, state)
    log_emission = variational.expected_log_emission(model, traces, moments)
    posterior = forward_backward(model.initial, model.transition, log_emission, traces)
    found = variational.bound(model, traces, posterior, moments) * traces.present.sum()
    labels = np.log(model.emission[0])[traces.label[traces.present]].sum()
    moves = 6 * np.log(0.9) + 2 * np.log(0.1)
    constant = traces.present.sum() * 2 * (np.log(2 * np.pi) - 1) / 2
    filtered = filter_past(model, traces).log_density[traces.present].sum()
    assert found == pytest.approx(filtered + constant + labels + moves)


def test_without_dynamics_and_noise_of_observation_it_is_the_hidden_markov_model() -> None:
    planted, traces = drawn("hmm", 30)
    zero = np.zeros((6, 6))
    system = Slds(
        planted.initial, planted.transition, planted.emission, np.zeros(6), 1e8 * np.eye(6),
        np.stack([zero] * 3), planted.mean, planted.covariance, 1e-9 * np.eye(6),
    )  # fmt: skip
    # A first sentence that tells nothing of x, in either model.
    blind = replace(traces, x=np.where(np.arange(traces.x.shape[1])[:, None] == 0, 0.0, traces.x))
    log_emission = planted.log_emission(blind)
    log_emission[:, 0] = np.log(planted.emission.T)[blind.label[:, 0]]
    expected = filter_states(planted.initial, planted.transition, log_emission)[0]
    present = traces.present
    assert np.allclose(system.filtered(blind)[present], expected[present], atol=1e-5)


def test_regimes_that_differ_in_dynamics_alone_are_found() -> None:
    truth, traces = drawn("slds", 160, seed=2)
    train, test = traces[:220], traces[220:]
    oracle = nll(truth.predict(test), test)
    found = variational.fit(train, 3, Learning(1, 1e-4))
    assert nll(found.predict(test), test) - oracle < 0.01
    other = em.fit(train, 3, Learning(1))
    assert nll(other.predict(test), test) - oracle > 0.05


def test_drawn_regimes_filter_back_better_than_chance() -> None:
    truth = plant_slds(np.random.default_rng(0))
    traces, state = draw_hidden(truth, Size(20, 2, 40), np.random.default_rng(1))
    present = traces.present
    latent = truth.filtered(traces)[present].argmax(axis=1)
    assert (latent == state[present]).mean() > 0.7

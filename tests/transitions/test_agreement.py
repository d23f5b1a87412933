import numpy as np
import pytest
from intervals import known
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions.agreement import agree, ari, nmi

BOOTSTRAP = Bootstrap(200, 0.95, 0)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_both_measures_are_scikit_learns(share: float) -> None:
    rng = np.random.default_rng(int(10 * share))
    truth = rng.integers(0, 4, 300)
    latent = np.where(rng.random(300) < share, truth, rng.integers(0, 5, 300))
    table = np.zeros((5, 4))
    np.add.at(table, (latent, truth), 1.0)
    assert nmi(table[None])[0] == pytest.approx(normalized_mutual_info_score(truth, latent))
    assert ari(table[None])[0] == pytest.approx(adjusted_rand_score(truth, latent))


def test_intervals_hold_the_value_and_unrelated_states_come_to_nothing() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 2000)
    problem = np.array([f"p{n // 20:03d}" for n in range(2000)], dtype=object)
    same = agree((truth + 1) % 3, truth, problem, BOOTSTRAP)
    assert (same.ari.value, same.nmi.value) == pytest.approx((1.0, 1.0))
    other = agree(rng.integers(0, 3, 2000), truth, problem, BOOTSTRAP)
    assert known(other.ari).low < 0.01
    assert abs(known(other.ari).value) < 0.01
    assert (other.n_latent, other.n_true, other.ari.n) == (3, 3, 100)

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from backtracking.transitions.ladder import (
    Regression,
    bag_features,
    choose_softmax,
    label_features,
    token_features,
)
from lifeboat.stage.errors import UserError


def test_the_regression_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5))
    target = (x @ rng.normal(size=(5, 3)) + rng.gumbel(size=(400, 3))).argmax(axis=1)
    ridge = 0.05
    ours = Regression.of(sparse.csr_matrix(x), target, 3).fit(ridge)
    # Half a count more of each symbol, where no feature is.
    more, weight = np.concatenate([x, np.zeros((3, 5))]), np.append(np.ones(400), [0.5] * 3)
    theirs = LogisticRegression(C=1 / (ridge * 401.5), tol=1e-10, max_iter=10000).fit(
        more, np.append(target, [0, 1, 2]), sample_weight=weight
    )
    assert np.exp(ours.log_p(sparse.csr_matrix(x))) == pytest.approx(
        theirs.predict_proba(x), abs=1e-5
    )


def test_a_symbol_that_train_never_has_gets_half_a_count() -> None:
    rng = np.random.default_rng(3)
    x, target = sparse.csr_matrix(rng.normal(size=(200, 4))), rng.integers(0, 2, 200)
    p = np.exp(Regression.of(x, target, 3).fit(0.01).log_p(x))[:, 2]
    assert p.sum() == pytest.approx(0.5, rel=0.05)


def test_the_ridge_is_the_one_that_predicts_dev_best() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 60))
    target = (x[:, 0] + rng.logistic(size=300) > 0).astype(np.int64)
    features = [sparse.csr_matrix(x[:100]), sparse.csr_matrix(x[100:])]
    _, strong = choose_softmax(features, (target[:100], target[100:]), 2, (0.3, 1e-4))
    assert strong == 0.3


def test_ridges_are_tried_until_dev_gets_worse_and_no_further() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 60))
    target = (2 * x[:, 0] + rng.logistic(size=300) > 0).astype(np.int64)
    features = [sparse.csr_matrix(x[:100]), sparse.csr_matrix(x[100:])]
    # The last would not converge: classes are separable, and nothing holds the weights.
    ridges = (10.0, 1.0, 0.1, 0.01, 1e-30)
    _, chosen = choose_softmax(features, (target[:100], target[100:]), 2, ridges)
    assert chosen in (1.0, 0.1)


def test_a_regression_that_has_not_converged_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    x, target = sparse.csr_matrix(rng.normal(size=(90, 6))), rng.integers(0, 3, 90)
    monkeypatch.setattr("backtracking.transitions.ladder.MAX_ROUNDS", 2)
    with pytest.raises(UserError, match="gradient of at most 1e-06, found .* at ridge 0.01"):
        Regression.of(x, target, 3).fit(0.01)


def test_labels_are_read_newest_first_with_the_pair_of_the_two_newest() -> None:
    found = label_features(np.array([[2, 1, 0], [3, -1, -1]]), 4).toarray()
    assert found.shape == (2, 3 * 4 + 16)
    assert np.flatnonzero(found[0]).tolist() == [2, 4 + 1, 8 + 0, 12 + 2 * 4 + 1]
    assert np.flatnonzero(found[1]).tolist() == [3]


def test_tokens_are_one_hot_by_distance_and_then_those_of_the_prompt() -> None:
    found = token_features(np.array([[5, 6, -1]]), np.array([[1]]), 7).toarray()[0]
    assert np.flatnonzero(found).tolist() == [5, 7 + 6, 21 + 1]


def test_a_bag_holds_what_stood_up_to_the_position_and_nothing_behind_it() -> None:
    ids = [np.array([0, 1, 1, 2, 2, 2]), np.array([3, 3])]
    found = bag_features(ids, np.array([[0, 2], [1, 1], [0, 5]]), 4).toarray()
    assert np.expm1(found) == pytest.approx(np.array([[1, 2, 0, 0], [0, 0, 0, 2], [1, 2, 3, 0]]))

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from backtracking.transitions.ladder import (
    bag_features,
    choose_softmax,
    fit_softmax,
    label_features,
    token_features,
)


def test_the_regression_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5))
    target = (x @ rng.normal(size=(5, 3)) + rng.gumbel(size=(400, 3))).argmax(axis=1)
    ridge = 0.05
    ours = fit_softmax(sparse.csr_matrix(x), target, 3, ridge, n_iterations=500)
    theirs = LogisticRegression(C=1 / (ridge * 400), tol=1e-8, max_iter=1000).fit(x, target)
    assert np.exp(ours.log_p(sparse.csr_matrix(x))) == pytest.approx(
        theirs.predict_proba(x), abs=2e-3
    )


def test_the_ridge_is_the_one_that_predicts_dev_best() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 60))
    target = (x[:, 0] + rng.logistic(size=300) > 0).astype(np.int64)
    features = [sparse.csr_matrix(x[:100]), sparse.csr_matrix(x[100:])]
    _, strong = choose_softmax(features, (target[:100], target[100:]), 2, (0.3, 1e-4))
    assert strong == 0.3


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

"""The weights of `learned`, fitted on judges' labels; a threshold by cross-validation there."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from backtracking.labels.examples import Example, of_source
from backtracking.labels.learned import Weights, features_of

STRENGTH = 0.1
"""Inverse of the ridge penalty."""

FEWEST = 4
"""Sentences that a feature has to be in."""

N_FOLDS = 5
SHARE_BY_SOURCE = {"reasoningflow": 1.0, "thought-anchors": 0.3}
"""Weight of a sentence: the tag of `thought-anchors` is wider than backtracking."""


def fit(examples: Sequence[Example]) -> Weights:
    """A ridge regression on all examples.

    The threshold is the one of best F1 on `reasoningflow`, each problem scored by a regression
    that was fitted without it.
    """
    rows = [row for one in examples for row in features_of(one.texts)]
    counts = Counter(name for row in rows for name, value in row.items() if value)
    kept = [{k: v for k, v in row.items() if counts[k] >= FEWEST} for row in rows]
    vectorizer = DictVectorizer()
    x = csr_matrix(vectorizer.fit_transform(kept))
    x.indices, x.indptr = x.indices.astype(np.int32), x.indptr.astype(np.int32)
    y = np.array([one for example in examples for one in example.backtracks])
    shares = np.array([SHARE_BY_SOURCE[one.source] for one in examples for _ in one.texts])
    problems = np.array([one.problem_id for one in examples for _ in one.texts])
    odds = np.zeros(len(y))
    for train, test in GroupKFold(N_FOLDS).split(x, y, problems):
        odds[test] = _regression(x[train], y[train], shares[train]).decision_function(x[test])
    threshold, f1 = best_threshold(odds[shares == 1], y[shares == 1])
    fitted = _regression(x, y, shares)
    names = vectorizer.get_feature_names_out()
    return Weights(
        intercept=round(float(fitted.intercept_[0]), 4),
        threshold=round(threshold, 4),
        weights={n: round(float(w), 4) for n, w in zip(names, fitted.coef_[0], strict=True)},
        sources={name: _count(of_source(examples, name)) for name in SHARE_BY_SOURCE},
        cross_validated_f1=round(f1, 4),
    )


def best_threshold(
    odds: Float[np.ndarray, " sentences"], true: Bool[np.ndarray, " sentences"]
) -> tuple[float, float]:
    """The value from which on calling a sentence true has the best F1, and that F1."""
    order = np.argsort(-odds, kind="stable")
    hits = np.cumsum(true[order])
    f1 = 2 * hits / (np.arange(1, len(true) + 1) + true.sum())
    return float(odds[order][f1.argmax()]), float(f1.max())


def _regression(
    x: csr_matrix, y: Bool[np.ndarray, " sentences"], shares: Float[np.ndarray, " sentences"]
) -> LogisticRegression:
    model = LogisticRegression(C=STRENGTH, solver="liblinear", max_iter=1000, random_state=0)
    return model.fit(x, y, shares)


def _count(examples: Sequence[Example]) -> tuple[int, int]:
    """Sentences, and those that backtrack."""
    return sum(len(one.texts) for one in examples), sum(sum(one.backtracks) for one in examples)

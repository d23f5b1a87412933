"""The weights of `learned`, fitted on judges' labels; a threshold by cross-validation there.

Two sources say two things: a tag of `thought-anchors` is wider than backtracking. So every feature
has a weight for both and one more for `thought-anchors` alone, which is fitted beside it and then
left out (Daume, "Frustratingly easy domain adaptation", 2007).
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from backtracking.labels.examples import ANCHORS, FLOWS, Example, of_source
from backtracking.labels.learned import Weights, features_of

STRENGTH = 0.1
"""Inverse of the ridge penalty."""

FEWEST = 8
"""Sentences that a feature has to be in."""

N_FOLDS = 5
DIGITS = 4
WIDER = "~"
"""Begins the names of the weights that are left out."""


def fit(examples: Sequence[Example]) -> Weights:
    """A ridge regression on all examples.

    The threshold is the one of best F1 on `reasoningflow`, each problem scored by a regression
    that was fitted without it.
    """
    vectorizer = DictVectorizer()
    x = csr_matrix(vectorizer.fit_transform(_frequent(_rows(examples))))
    x.indices, x.indptr = x.indices.astype(np.int32), x.indptr.astype(np.int32)
    y = np.array([one for example in examples for one in example.backtracks])
    of_flows = np.array([one.source == FLOWS for one in examples for _ in one.texts])
    problems = np.array([one.problem_id for one in examples for _ in one.texts])
    odds = np.zeros(len(y))
    for train, test in GroupKFold(N_FOLDS).split(x, y, problems):
        odds[test] = _regression(x[train], y[train]).decision_function(x[test])
    threshold, f1 = best_threshold(odds[of_flows], y[of_flows])
    fitted = _regression(x, y)
    names = map(str, vectorizer.get_feature_names_out())
    weights = zip(names, np.round(fitted.coef_[0], DIGITS).tolist(), strict=True)
    return Weights(
        intercept=round(float(np.ravel(fitted.intercept_)[0]), DIGITS),
        threshold=round(threshold, DIGITS),
        weights={name: one for name, one in weights if name[0] != WIDER and one},
        sources={name: _count(of_source(examples, name)) for name in (FLOWS, ANCHORS)},
        cross_validated_f1=round(f1, DIGITS),
    )


def best_threshold(
    odds: Float[np.ndarray, " sentences"], true: Bool[np.ndarray, " sentences"]
) -> tuple[float, float]:
    """The value from which on calling a sentence true has the best F1, and that F1."""
    order = np.argsort(-odds, kind="stable")
    hits = np.cumsum(true[order])
    f1 = 2 * hits / (np.arange(1, len(true) + 1) + true.sum())
    return float(odds[order][f1.argmax()]), float(f1.max())


def _rows(examples: Sequence[Example]) -> list[dict[str, float]]:
    """Features of all sentences, those of the source with the wider tag twice."""
    rows: list[dict[str, float]] = []
    for one in examples:
        found = features_of(one.texts)
        if one.source == ANCHORS:
            again = ({f"{WIDER}{k}": v for k, v in row.items()} | {WIDER: 1.0} for row in found)
            found = [row | twice for row, twice in zip(found, again, strict=True)]
        rows += found
    return rows


def _frequent(rows: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """Rows without the features that too few sentences have."""
    counts = Counter(name for row in rows for name, value in row.items() if value)
    return [{k: v for k, v in row.items() if counts[k] >= FEWEST} for row in rows]


def _regression(x: csr_matrix, y: Bool[np.ndarray, " sentences"]) -> LogisticRegression:
    model = LogisticRegression(C=STRENGTH, solver="liblinear", max_iter=1000, random_state=0)
    return model.fit(x, y)


def _count(examples: Sequence[Example]) -> tuple[int, int]:
    """Sentences, and those that backtrack."""
    return sum(len(one.texts) for one in examples), sum(sum(one.backtracks) for one in examples)

"""Scores of a labeller are scikit-learn's, with intervals by trace."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score, precision_score, recall_score

from backtracking.labels.passages import Passage
from backtracking.labels.scoring import event_measures, score
from backtracking.records.imported import Annotation, ImportedTrace, LabelledSentence
from backtracking.records.sentences import State
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage.errors import UserError

BOOTSTRAP = Bootstrap(300, 0.95, 0)


@dataclass(frozen=True)
class Reads:
    """Says of a sentence what stands in it."""

    name: str = "reads"

    def label(self, passage: Passage) -> Sequence[State | None]:
        said: dict[str, State | None] = {"b": "backtracking", "d": "deduction", "-": None}
        return [said[text] for text in passage.texts]


def trace(name: str, said: str, true: str, annotator: str = "me") -> ImportedTrace:
    labels = {"b": "backtracking", "d": "deduction", "-": "Monitor"}
    sentences = tuple(
        LabelledSentence(n, text, (labels[one],))
        for n, (text, one) in enumerate(zip(said, true, strict=True))
    )
    return ImportedTrace(name, annotations=(Annotation("human", annotator, sentences),))


def test_scores_are_scikit_learns_with_intervals_by_trace() -> None:
    rng = np.random.default_rng(0)
    true = rng.random((30, 20)) < 0.3
    said = true ^ (rng.random((30, 20)) < 0.2)
    traces = [
        trace(f"t{n}", "".join("db"[x] for x in a), "".join("db"[x] for x in b))
        for n, (a, b) in enumerate(zip(said.astype(int), true.astype(int), strict=True))
    ]
    found = score(traces, Reads(), "human", BOOTSTRAP)
    flat = (true.ravel(), said.ravel())
    assert found.kappa == pytest.approx(cohen_kappa_score(*flat))
    assert found.f1 == pytest.approx(f1_score(*flat))
    assert found.precision == pytest.approx(precision_score(*flat))
    assert found.recall == pytest.approx(recall_score(*flat))
    assert (found.n, found.n_traces, found.n_positive) == (600, 30, true.sum())
    assert found.annotators == ("me",)
    for interval in (found.intervals.kappa, found.intervals.f1, found.intervals.recall):
        assert interval.low is not None and interval.high is not None and interval.value is not None
        assert interval.low < interval.value < interval.high and interval.n == 30


def test_only_sentences_that_both_label_count() -> None:
    found = score([trace("a", "bd-d", "b-dd"), trace("b", "--", "dd")], Reads(), "me", BOOTSTRAP)
    assert (found.n, found.n_traces, found.n_called, found.f1) == (2, 1, 1, 1.0)
    assert found.intervals.f1.low is None


def test_undefined_scores_are_none() -> None:
    found = score([trace("a", "dd", "dd"), trace("b", "d", "d")], Reads(), "human", BOOTSTRAP)
    assert (found.kappa, found.f1, found.precision, found.recall) == (None,) * 4
    assert event_measures(np.array([[0.0, 0.0, 1.0, 3.0]]))[0].tolist() == pytest.approx(
        [0, 0, 0, np.nan], nan_ok=True
    )


def test_traces_without_the_annotator_say_who_there_is() -> None:
    with pytest.raises(UserError, match=r"both reads and judge. Annotators of these traces: me"):
        score([trace("a", "b", "b")], Reads(), "judge", BOOTSTRAP)

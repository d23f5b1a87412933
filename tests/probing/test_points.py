"""Decision points of traces that the policy wrote: what is asked, where, and what is known."""

from dataclasses import replace

import numpy as np
import pytest
from searches import Searches, write_searches

from backtracking.probing.points import DecisionPoints, gather_points
from backtracking.statistics.auroc import auroc
from lifeboat.stage.errors import UserError

WINDOWS = {"comparison": (-13, 10), "known": (-2, 9)}


@pytest.fixture(scope="module")
def searches() -> Searches:
    """Forty-five searches."""
    return write_searches(45)


@pytest.fixture(scope="module")
def points(searches: Searches) -> DecisionPoints:
    """Their decisions."""
    return gather_points(searches.traces, searches.sentences, searches.decisions, WINDOWS)


def test_tokens_and_words_are_those_of_the_comparisons(
    points: DecisionPoints, searches: Searches
) -> None:
    words = searches.tokenizer.get_vocab()
    assert (points.words[:, 0] == words["Compare"]).all()
    assert (points.words[:, 2] == words["with"]).all()
    at_comparison = points.tokens_by_anchor["comparison"]
    assert (at_comparison[:, 13:18] == points.words).all()
    assert len(points.moments) == len(points.words) == len(points.history)


def test_targets_are_asked_of_the_decisions_that_they_are_about(points: DecisionPoints) -> None:
    kinds, actions = points.moments.kind, points.moments.action
    for task in points.tasks:
        its = kinds[task.rows]
        if task.target == "backtracks":
            assert set(its) == {"over", "exhausted", "doomed", "alive"}
            assert (task.is_positive == (actions[task.rows] == "backtracks")).all()
        else:
            assert set(its) == {task.target, "alive"}
            assert (task.is_positive == (its == task.target)).all()


def test_the_posterior_is_certain_from_the_comparison_on_and_for_the_action_never(
    points: DecisionPoints,
) -> None:
    anchor = points.anchors[0]
    for task in points.tasks:
        posterior = anchor.posterior_by_target[task.target][:, task.rows]
        if task.target == "backtracks":
            assert np.isnan(posterior[anchor.offsets > 4]).all()
            assert auroc(posterior[17], task.is_positive) < 0.95  # type: ignore[operator]
        else:
            assert (posterior[13:] == task.is_positive).all()
            early = np.isfinite(posterior[0])
            assert 0 < early.sum() < len(early)


def test_a_later_prefix_never_knows_less(points: DecisionPoints) -> None:
    """On rows for which both are known, AUROC of the posterior rises with the offset."""
    anchor = points.anchors[1]
    for task in points.tasks:
        posterior = anchor.posterior_by_target[task.target][:, task.rows]
        before, after = posterior[1], posterior[4]
        both = np.isfinite(before) & np.isfinite(after)
        pair = [auroc(one[both], task.is_positive[both]) for one in (before, after)]
        assert pair[0] <= pair[1]  # type: ignore[operator]


def test_at_t_star_offsets_end_with_the_decision(points: DecisionPoints) -> None:
    anchor = points.anchors[1]
    where = anchor.position + anchor.offsets[:, None]
    end = np.broadcast_to(points.moments.end, where.shape)
    assert (where[anchor.present] < end[anchor.present]).all()
    assert (anchor.position <= points.moments.start).all()
    assert anchor.last == 9 and points.anchors[0].last == 4


def test_absent_comparisons_are_in_no_train_trace(points: DecisionPoints) -> None:
    train = {tuple(row) for row in points.words[points.moments.split == "train"]}
    for row, absent in zip(points.words, points.is_absent, strict=True):
        assert absent == (tuple(row) not in train)
    assert 0 < points.is_absent.sum() < (points.moments.split != "train").sum()


def test_sentences_of_other_traces_are_refused(searches: Searches) -> None:
    moved = replace(searches.sentences, start=searches.sentences.start + 1)
    with pytest.raises(UserError, match="comparisons and the sentences"):
        gather_points(searches.traces, moved, searches.decisions, WINDOWS)

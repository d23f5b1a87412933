"""Decision points of traces that the policy wrote: what is asked, where, and what is known."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_study import TinyStudy, write_study

from backtracking.probing.points import N_WORDS, DecisionPoints, gather_points
from backtracking.probing.targets import ACTION, targets_of
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.sentences import Decision, Sentence
from backtracking.records.traces import Trace
from backtracking.statistics.auroc import auroc
from lifeboat.stage.errors import UserError

WINDOW = (-17, 0)
CLASSES = Classes("kind", ("over",), ("alive",), ())


@pytest.fixture(scope="module")
def searches() -> TinyStudy:
    """Forty-five searches."""
    return write_study(45)


@pytest.fixture(scope="module")
def points(searches: TinyStudy) -> DecisionPoints:
    """Their decisions."""
    return gather_points(
        searches.traces,
        searches.sentences,
        searches.decisions,
        searches.posteriors,
        CLASSES,
        WINDOW,
    )


def test_tokens_and_words_are_those_of_the_comparisons(
    points: DecisionPoints, searches: TinyStudy
) -> None:
    words = searches.tokenizer.get_vocab()
    assert (points.words[:, 0] == words["Compare"]).all()
    assert (points.words[:, 2] == words["with"]).all()
    at_decision = points.tokens
    assert (at_decision[:, 13:18] == points.words).all()
    assert len(points.decisions) == len(points.words) == len(points.history)


def test_targets_are_asked_of_the_decisions_that_they_are_about(points: DecisionPoints) -> None:
    kinds, actions = points.decisions.kind, points.decisions.action
    for task in points.tasks:
        its = kinds[task.rows]
        if task.target == ACTION:
            assert set(its) == {"over", "exhausted", "doomed", "alive"}
            assert (task.is_positive == (actions[task.rows] == "turns")).all()
        else:
            assert set(its) == {task.target, "alive"}
            assert (task.is_positive == (its == task.target)).all()


def test_the_posterior_is_certain_from_the_comparison_on(points: DecisionPoints) -> None:
    assert set(points.posterior_by_target) == {"over", "doomed"}
    for target, found in points.posterior_by_target.items():
        task = points.task(target)
        posterior = found[:, task.rows]
        assert (posterior[13:] == task.is_positive).all()
        early = np.isfinite(posterior[0])
        assert 0 < early.sum() < len(early)


def test_a_later_prefix_never_knows_less(points: DecisionPoints) -> None:
    """On rows for which both are known, AUROC of the posterior rises with the offset."""
    for target, found in points.posterior_by_target.items():
        task = points.task(target)
        before, after = found[9, task.rows], found[12, task.rows]
        both = np.isfinite(before) & np.isfinite(after)
        pair = [auroc(one[both], task.is_positive[both]) for one in (before, after)]
        assert pair[0] <= pair[1]  # type: ignore[operator]


def test_sentences_and_posteriors_of_other_decisions_are_refused(searches: TinyStudy) -> None:
    its, known = searches.decisions, searches.posteriors
    moved = replace(searches.sentences, start=searches.sentences.start + 1)
    with pytest.raises(UserError, match="a deciding sentence for each of"):
        gather_points(searches.traces, moved, its, known, CLASSES, WINDOW)
    first = its.trace_id[0]
    other = replace(known[first], end=known[first].end + 1)
    fewer = {name: one for name, one in known.items() if name != first}
    for wrong in (known | {first: other}, fewer):
        with pytest.raises(UserError, match="posteriors of the"):
            gather_points(searches.traces, searches.sentences, its, wrong, CLASSES, WINDOW)


def test_targets_are_the_contrasted_and_the_hidden_dead_ends_or_all_of_them(
    searches: TinyStudy,
) -> None:
    names = [one.name for one in targets_of(searches.decisions, CLASSES)]
    assert names == [ACTION, "over", "doomed"]
    actions = Classes("action", ("turns",), ("goes on",), ())
    names = [one.name for one in targets_of(searches.decisions, actions)]
    assert names == [ACTION, "over", "exhausted", "doomed"]
    without = searches.decisions[searches.decisions.kind != "doomed"]
    assert [one.name for one in targets_of(without, CLASSES)] == [ACTION, "over"]


def test_where_nothing_is_known_the_action_alone_is_asked_and_has_no_posterior() -> None:
    lengths = (3, 20, 4)
    ids = list(range(sum(lengths)))
    trace = Trace("a/0", "a", "train", 0, [1, 2], ids, "", "stop", {})
    starts = [2 + sum(lengths[:number]) for number in range(3)]
    sentences = [
        Sentence("a/0", number, start, start + length, "", number > 0, {"rules": "deduction"})
        for number, (start, length) in enumerate(zip(starts, lengths, strict=True))
    ]
    decisions = [
        Decision("a/0", "a", "train", one.index, one.start, one.end - 1, "deduction", action, None)
        for one, action in zip(sentences[1:], ("turns", None), strict=True)
    ]
    points = gather_points(
        [trace],
        Sentences.gather(sentences, [trace], (), "rules"),
        Decisions.gather(decisions, [trace], ()),
        None,
        Classes("action", ("turns",), ("goes on",), ()),
        WINDOW,
    )
    (task,) = points.tasks
    assert (task.target, task.rows.tolist(), task.is_positive.tolist()) == (ACTION, [0], [True])
    assert points.posterior_by_target == {} and points.offsets.tolist() == list(range(-17, 1))
    assert points.words.shape == (2, N_WORDS)
    assert points.words[1].tolist() == [-1] * 4 + ids[23:]

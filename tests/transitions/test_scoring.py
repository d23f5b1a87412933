"""The common quantity, and that no model sees the future."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from intervals import known
from planted import drawn, from_labels

from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions.comparing import compare
from backtracking.transitions.em import Learning
from backtracking.transitions.hmm import Hmm
from backtracking.transitions.registry import CLASSES, Grid, choose
from backtracking.transitions.scoring import best, losses, nll
from backtracking.transitions.sequences import Sequences

GRID = Grid((3,), (2,), Learning(1, 1e-3))
BOOTSTRAP = Bootstrap(200, 0.95, 0)


@pytest.fixture(scope="module")
def traces() -> Sequences:
    return drawn("hmm", 40)[1]


def with_another_future(traces: Sequences, step: int) -> Sequences:
    """The same past; every label and activation from `step` on is another one."""
    rng = np.random.default_rng(9)
    label, x = traces.label.copy(), traces.x.copy()
    label[:, step:] = np.where(label[:, step:] >= 0, (label[:, step:] + 1) % traces.n_labels, -1)
    x[:, step:] += 3 * rng.standard_normal(x[:, step:].shape)
    return traces.with_labels(label).with_x(x)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("step", [1, 4])
def test_the_future_does_not_leak_into_any_model(name: str, step: int, traces: Sequences) -> None:
    model = choose(name, traces[:50], traces[50:], GRID).model
    known = model.predict(traces)[:, :step]
    assert np.array_equal(known, model.predict(with_another_future(traces, step))[:, :step])
    assert (
        not np.allclose(
            model.predict(traces)[:, step:],
            model.predict(with_another_future(traces, step))[:, step:],
        )
        or name == "iid"
    )


def test_predict_proba_of_hmmlearn_sees_the_future_and_ours_does_not(traces: Sequences) -> None:
    """The state that it gives a sentence changes with the sentences behind it."""
    from hmmlearn import hmm as hmmlearn

    ours = choose("hmm", traces[:50], traces[50:], GRID).model
    theirs = as_hmmlearn(hmmlearn, ours)
    step, other = 4, with_another_future(traces, 4)
    moved = []
    for row in np.flatnonzero(traces.present.sum(axis=1) > step):
        n = int(traces.present[row].sum())
        seen, changed = (theirs.predict_proba(one.x[row, :n])[:step] for one in (traces, other))
        moved.append(abs(seen - changed).max())
    assert max(moved) > 0.01
    assert np.array_equal(ours.filtered(traces)[:, :step], ours.filtered(other)[:, :step])


def as_hmmlearn(hmmlearn: Any, model: Hmm) -> Any:
    theirs = hmmlearn.GaussianHMM(len(model.initial), "full", init_params="", params="")
    moves = model.transition[:, :-1]
    theirs.startprob_, theirs.means_ = model.initial, model.mean
    theirs.transmat_ = moves / moves.sum(axis=1, keepdims=True)
    theirs.covars_ = model.covariance
    return theirs


@pytest.mark.parametrize("name", CLASSES)
def test_predictions_are_laws_over_labels_and_end(name: str, traces: Sequences) -> None:
    model = choose(name, traces[:50], traces[50:], GRID).model
    p = np.exp(model.predict(traces)[traces.present])
    assert p.shape[1] == traces.n_labels + 1
    assert p.sum(axis=1) == pytest.approx(1.0)
    assert (p[:, -1] > 0).all()


def test_the_common_quantity_is_the_mean_cost_of_labels_and_end() -> None:
    traces = from_labels([[0, 1], [2]], ended=[True, False])
    log_p = np.log(np.tile([0.1, 0.2, 0.3, 0.15, 0.25], (2, 2, 1)))
    assert losses(log_p, traces) == pytest.approx([-np.log(0.2), -np.log(0.25)])
    assert nll(log_p, traces) == pytest.approx(-np.log([0.2, 0.25]).mean())


def test_models_are_compared_in_pairs_by_problem() -> None:
    rng = np.random.default_rng(0)
    problem = np.array([f"p{n // 10:02d}" for n in range(400)], dtype=object)
    hard = np.repeat(rng.normal(1.0, 0.5, 40), 10)
    loss = {"a": hard, "b": hard - 0.05 + 0.01 * rng.standard_normal(400)}
    first, second = compare(loss, problem, "a", BOOTSTRAP).values()
    assert (first.difference.value, first.nll.n) == (0.0, 40)
    assert known(second.nll).high - known(second.nll).low > 0.2
    assert -0.06 < known(second.difference).low < known(second.difference).high < -0.04


def test_the_first_of_equal_choices_is_taken() -> None:
    assert best({"a": 2.0, "b": 1.0, "c": 1.0}) == "b"


def test_a_class_that_nobody_knows_is_refused(traces: Sequences) -> None:
    with pytest.raises(ValueError, match="Expected one of"):
        choose("markov_9", traces, replace(traces), GRID)

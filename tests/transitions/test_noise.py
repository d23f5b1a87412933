import numpy as np
import pytest
from planted import drawn
from sklearn.metrics import cohen_kappa_score

from backtracking.transitions.noise import Where, corrupt, kappa_of, near_events
from backtracking.transitions.sequences import Sequences


@pytest.fixture(scope="module")
def traces() -> Sequences:
    return drawn("semi_markov", 300)[1]


@pytest.mark.parametrize("where", ["evenly", "at_events"])
@pytest.mark.parametrize("kappa", [0.6, 0.35])
def test_the_dial_comes_to_the_wanted_kappa(traces: Sequences, kappa: float, where: Where) -> None:
    heard = corrupt(traces, kappa, where, 2, np.random.default_rng(0))
    present = traces.present
    found = kappa_of(traces.label[present], heard.label[present], traces.n_labels)
    assert found == pytest.approx(kappa, abs=0.03)
    assert found == pytest.approx(cohen_kappa_score(traces.label[present], heard.label[present]))


def test_confusion_is_concentrated_where_it_is_asked_for(traces: Sequences) -> None:
    near = near_events(traces, 2)
    bounds: tuple[tuple[Where, float, float], ...]
    bounds = (("evenly", 0.8, 1.25), ("at_events", 2.5, 20.0))
    for where, least, most in bounds:
        heard = corrupt(traces, 0.6, where, 2, np.random.default_rng(0))
        wrong = heard.label != traces.label
        ratio = wrong[near].mean() / wrong[traces.present & ~near].mean()
        assert least < ratio < most


def test_targets_follow_the_labels_that_were_heard_and_the_end_stays(traces: Sequences) -> None:
    heard = corrupt(traces, 0.35, "evenly", 2, np.random.default_rng(0))
    assert np.array_equal(heard.ended, traces.ended)
    both = heard.scored[:, :-1] & heard.present[:, 1:]
    assert np.array_equal(heard.target[:, :-1][both], heard.label[:, 1:][both])
    assert np.array_equal(heard.x, traces.x)

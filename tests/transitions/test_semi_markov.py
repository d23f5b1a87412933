import numpy as np
import pytest
from planted import drawn, from_labels

from backtracking.transitions import markov, semi_markov
from backtracking.transitions.scoring import nll


def test_dwell_counts_the_sentences_in_a_row_with_one_label() -> None:
    label = np.array([[0, 0, 1, 1, 1, 0], [2, 2, 2, 2, -1, -1]])
    found = semi_markov.dwell_so_far(label)
    assert found[0].tolist() == [1, 2, 1, 2, 3, 1]
    assert found[1, :4].tolist() == [1, 2, 3, 4]


def test_hazards_are_the_shares_of_runs_that_leave() -> None:
    traces = from_labels([[0, 0, 1], [0, 1], [0, 0, 0, 1]])
    found = semi_markov.fit(traces, (1e-9, 1e-9))
    assert found.hazard[0, :3] == pytest.approx([1 / 3, 1 / 2, 1], abs=1e-6)
    assert found.goes_to[0] == pytest.approx([0, 1, 0, 0, 0], abs=1e-6)
    assert found.goes_to[1] == pytest.approx([0, 0, 0, 0, 1], abs=1e-6)


def test_a_chain_of_order_one_lies_inside() -> None:
    traces = drawn("markov_2", 120)[1]
    chain = markov.fit(traces, (1e-9,))
    constant = semi_markov.fit(traces, (1e12, 1e-9))
    missed = np.exp(chain.predict(traces)) - np.exp(constant.predict(traces))
    assert abs(missed[traces.present]).max() < 2e-3


def test_dwells_that_are_not_geometric_are_found() -> None:
    truth, traces = drawn("semi_markov", 240)
    train, dev, test = traces[:240], traces[240:336], traces[336:]
    oracle = nll(truth.predict(test), test)
    found = nll(semi_markov.select(train, dev).predict(test), test)
    assert found - oracle < 0.01
    assert nll(markov.select(train, dev, 3).predict(test), test) - oracle > 0.05

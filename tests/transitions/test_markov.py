import numpy as np
import pytest
from planted import drawn, from_labels

from backtracking.transitions import markov
from backtracking.transitions.scoring import cost, losses, nll


def test_without_smoothing_a_chain_is_the_shares_of_counts() -> None:
    traces = from_labels([[0, 1, 0, 1, 1], [0, 2]])
    chain = markov.fit(traces, (1e-12,))
    p = np.exp(chain.predict(traces))
    after_0, after_1 = p[0, 0], p[0, 1]
    assert after_0 == pytest.approx([0, 2 / 3, 1 / 3, 0, 0], abs=1e-9)
    assert after_1 == pytest.approx([1 / 3, 1 / 3, 0, 0, 1 / 3], abs=1e-9)


def test_counts_of_each_order_are_those_of_a_plain_loop() -> None:
    traces = drawn("markov_2", 10)[1]
    base = traces.n_labels + 1
    for order in range(4):
        expected = np.zeros((base**order, base))
        for row, target in zip(traces.label, traces.target, strict=True):
            for step in np.flatnonzero(target >= 0):
                past = [row[step - age] if step >= age else 4 for age in reversed(range(order))]
                code = int("".join(map(str, past)) or "0", base)
                expected[code, target[step]] += 1
        assert np.array_equal(markov.count(traces, order), expected)


def test_a_context_that_was_never_seen_falls_back_on_the_shorter_one() -> None:
    train = from_labels([[0, 1, 2], [3, 1, 2]])
    other = from_labels([[2, 1, 0]])
    longer, shorter = (markov.fit(train, (0.1,) * n) for n in (2, 1))
    assert longer.predict(other)[0, 1] == pytest.approx(shorter.predict(other)[0, 1])


def test_strengths_are_estimated_on_dev_order_by_order() -> None:
    traces = drawn("markov_2", 60)[1]
    train, dev = traces[:80], traces[80:]
    chosen = markov.select(train, dev, 2)
    assert len(chosen.strengths) == chosen.order == 2

    def loss(one: float) -> float:
        fitted = markov.fit(train, (chosen.strengths[0], one))
        return cost(fitted.predict(dev), dev) + np.log(one) ** 2 / 18

    least = loss(chosen.strengths[1])
    assert all(loss(chosen.strengths[1] * factor) > least for factor in (0.5, 0.99, 1.01, 2))


def test_a_label_that_train_and_dev_never_have_costs_what_the_rule_says() -> None:
    """Dev asks for no smoothing at all, and the least of a grid would cost test without bound."""
    labels = [[0, 1, 0, 1, 1, 0, 1] for _ in range(60)]
    train, dev = from_labels(labels), from_labels(labels[:20])
    test = from_labels([[0, 1, 3, 0, 1]])
    for order in range(3):
        chain = markov.select(train, dev, order)
        assert all(1e-6 < one < 1e6 for one in chain.strengths)
        bare = markov.fit(train, (1e-3,) * order)
        worst = [losses(one.predict(test), test).max() for one in (chain, bare)]
        assert worst[0] < 20 and worst[0] < worst[1] - (2 if order else -1e-9)
    iid = np.exp(markov.select(train, dev, 0).predict(test)[0, 0])
    n = train.scored.sum()
    assert iid[3] == pytest.approx(0.5 / (n + 2.5))


def test_the_order_that_drew_the_traces_comes_close_to_the_truth() -> None:
    truth, traces = drawn("markov_2", 240)
    train, dev, test = traces[:240], traces[240:336], traces[336:]
    oracle = nll(truth.predict(test), test)
    gap = [nll(markov.select(train, dev, n).predict(test), test) - oracle for n in range(4)]
    assert gap[2] < 0.01 < 0.05 < gap[1] < gap[0]
    assert gap[2] < gap[3]

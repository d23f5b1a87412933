"""Planted excitation is found, and traces that differ in their rates have none."""

from itertools import permutations

import numpy as np
import pytest

from backtracking.real_traces.excitation import (
    Marked,
    excited,
    lagged,
    marked,
    probability,
    profile,
)
from backtracking.records.imported import Annotation, ImportedTrace, LabelledSentence
from backtracking.records.intervals import Interval
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(200, 0.95, 0)


def planted(excitation: float, memory: float, spread: float, seed: int = 0) -> Marked:
    """Thirty traces of five problems, whose own rates are spread."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(30):
        rate = rng.beta(0.15 * spread, 0.85 * spread)
        kernel, x = 0.0, np.zeros(250)
        for at in range(len(x)):
            x[at] = rng.random() < (1 - excitation) * rate + excitation * kernel
            kernel = (1 - 1 / memory) * kernel + x[at] / memory
        found.append(x)
    ids = [f"t{number:02}" for number in range(30)]
    return Marked("tag", tuple(found), tuple(ids), tuple(f"p{n % 5}" for n in range(30)))


def is_above_0(one: Interval) -> bool:
    return one.low is not None and one.low > 0


@pytest.mark.slow
def test_a_planted_process_is_found_with_its_excitation_and_memory() -> None:
    row = excited(planted(0.5, 3, spread=1e6), BOOTSTRAP)
    assert row.excitation.value == pytest.approx(0.5, abs=0.1)
    assert row.memory.value in (2, 3, 4)
    assert is_above_0(row.kernel) and is_above_0(row.kernel_beyond_own_rate)
    assert row.n == 7500 and row.n_events == round((row.rate.value or 0) * 7500)


@pytest.mark.slow
def test_traces_that_differ_in_their_rates_excite_nothing_beyond_their_own_rate() -> None:
    row = excited(planted(0, 1, spread=4), BOOTSTRAP)
    assert is_above_0(row.own_rate) and is_above_0(row.kernel)
    assert not is_above_0(row.kernel_beyond_own_rate)


@pytest.mark.slow
def test_drift_that_is_common_to_all_traces_is_no_kernel_beyond_their_profile() -> None:
    rng = np.random.default_rng(1)
    x = tuple((rng.random(250) < np.linspace(0, 0.5, 250)).astype(float) for _ in range(30))
    ids, problems = zip(*((f"t{n:02}", f"p{n % 5}") for n in range(30)), strict=True)
    row = excited(Marked("tag", x, ids, problems), BOOTSTRAP)
    assert is_above_0(row.kernel_beyond_own_rate) and row.kernel.n == 5
    assert (row.kernel_beyond_profile.value or 0) < (row.kernel_beyond_own_rate.value or 0) / 5


def test_the_rate_of_each_part_of_traces_is_their_own() -> None:
    found = profile([np.repeat([0.0, 1.0], 1000)], 2)
    assert found == pytest.approx([5 / 1010, 1005 / 1010])
    assert profile([np.array([1.0, 0, 0, 0])], 1) == pytest.approx([0.25])


def test_shuffled_events_have_the_pairs_that_are_expected() -> None:
    near = lagged(planted(0, 1, spread=4), BOOTSTRAP)[2]
    assert near.ratio.value == pytest.approx(1, abs=0.06)
    excited_pairs = lagged(planted(0.5, 1, spread=1e6), BOOTSTRAP)[0].ratio
    assert excited_pairs.low is not None and excited_pairs.low > 2


def test_expected_pairs_are_the_mean_over_all_orders() -> None:
    x = np.array([1.0, 1, 0, 1, 0, 0])
    (row, *_) = lagged(Marked("tag", (x,), ("t",), ("p",)), BOOTSTRAP)
    orders = [np.array(one) for one in set(permutations(x))]
    assert row.expected == pytest.approx(np.mean([one[1:] @ one[:-1] for one in orders]))
    assert row.n_pairs == 1


def test_the_probability_is_that_of_a_plain_loop() -> None:
    x = np.array([1.0, 0, 1, 1, 0])
    rate, a, memory, prior = 0.2, 0.3, 4.0, 10.0
    expected, kernel, count = [], 0.0, 0.0
    for at, one in enumerate(x):
        own = (count + prior * rate) / (at + prior)
        expected.append((1 - a) * own + a * kernel)
        kernel, count = (1 - 1 / memory) * kernel + one / memory, count + one
    found = probability(x, rate, *(np.array([one]) for one in (a, memory, prior)))
    assert found == pytest.approx(np.array(expected))
    flat = probability(x, np.full(5, rate), *(np.array([one]) for one in (a, memory, prior)))
    assert flat == pytest.approx(found)
    no_own = probability(x, rate, *(np.array([one]) for one in (0.0, memory, np.inf)))
    assert no_own == pytest.approx(np.full(5, rate))


def test_events_are_sentences_with_wait_or_with_the_tag() -> None:
    sentences = (
        LabelledSentence(0, "Wait, no.", ("fact_retrieval",)),
        LabelledSentence(1, "But wait.", ("uncertainty_management",)),
    )
    trace = ImportedTrace("t", problem_id="p", annotations=(Annotation("judge", "j", sentences),))
    assert marked([trace], "wait").x[0].tolist() == [1, 0]
    assert marked([trace], "tag").x[0].tolist() == [0, 1]

"""A sentence that is one more draw from its prefix is seen to be one, and one that is not, not."""

import numpy as np
import pytest

from backtracking.real_traces.definitions import by_definition
from backtracking.real_traces.stability import (
    Position,
    distribution,
    one_more_draw,
    positions_of,
    stability,
)
from backtracking.records.imported import Annotation, ImportedTrace, LabelledSentence
from backtracking.records.resamples import NextSentence, Resampled
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(200, 0.95, 0)


def planted(cut: float, seed: int = 0) -> list[Position]:
    """Rates of prefixes, the trace's own draw, and a hundred more, whose rate is cut at places."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(6000):
        p, opens = rng.beta(0.1, 0.8), bool(number % 2)
        k = rng.binomial(100, p * (cut if opens else 1))
        found.append(Position(f"t{number % 30:02}", bool(rng.random() < p), opens, int(k), 100))
    return found


def test_one_more_draw_is_as_often_an_event_as_expected_and_as_stable() -> None:
    positions = planted(cut=1)
    whole, opens, within = one_more_draw(positions, BOOTSTRAP)
    for row in (whole, opens, within):
        assert row.ratio.low is not None and row.ratio.high is not None
        assert row.ratio.low < 1 < row.ratio.high
    found = stability(positions, BOOTSTRAP)[0]
    assert found.n == whole.n_wait == sum(one.is_event for one in positions)
    for name in ("mean", "below_half", "below_most", "of_ten"):
        one, other = getattr(found, name), getattr(whole, name)
        assert one.value == pytest.approx(other.value, abs=0.04)


def test_prefixes_that_are_cut_in_the_wrong_place_expect_too_few() -> None:
    _, opens, within = one_more_draw(planted(cut=0.4), BOOTSTRAP)
    assert opens.ratio.value == pytest.approx(0.4, abs=0.03)
    assert within.ratio.value == pytest.approx(1, abs=0.1)


def test_tenths_of_the_scale_are_a_histogram() -> None:
    positions = planted(cut=1)
    rate = [one.k / one.n for one in positions if one.is_event]
    expected = np.histogram(rate, np.linspace(0, 1, 11).round(9))[0] / len(rate)
    found = distribution(positions, BOOTSTRAP)
    assert [row.share.value for row in found] == pytest.approx(expected.tolist())
    assert (found[0].low, found[-1].high) == (0, 1)


def trace(*sentences: tuple[str, int | None, int]) -> ImportedTrace:
    """Sentences with numbers of continuations, in lines of two."""
    text, found = "", []
    for index, (words, n, k) in enumerate(sentences):
        start = len(text)
        text += words + (" " if index % 2 == 0 else "\n\n")
        found.append(
            LabelledSentence(
                index, words, ("x",), start, start + len(words), n_resamples=n, n_resamples_wait=k
            )
        )
    return ImportedTrace("t", text=text, annotations=(Annotation("judge", "j", tuple(found)),))


def test_positions_are_those_that_were_written_on_from() -> None:
    found = positions_of(
        [trace(("So.", 10, 1), ("Wait, no.", 10, 9), ("Wait.", 20, 5), ("Hm.", None, 0))]
    )
    assert found == [
        Position("t", False, True, 1, 10),
        Position("t", True, False, 9, 10),
        Position("t", True, True, 5, 20),
    ]
    assert positions_of([ImportedTrace("u", text="So.")]) == []


def test_the_definition_of_an_event_decides_what_comes_back() -> None:
    again = (NextSentence("But wait, no.", 6), NextSentence("Wait.", 2), NextSentence("So.", 4))
    resampled = [Resampled("t", 0, 12, again), Resampled("t", 1, 12, again)]
    rows = by_definition([trace(("So.", 12, 2), ("Wait.", 12, 2))], resampled, BOOTSTRAP)
    first, among = rows[0], rows[1]
    assert [row.n_events for row in rows[:2]] == [1, 1]
    assert (first.mean.value, among.mean.value) == pytest.approx((2 / 12, 8 / 12))
    assert first.of_ten.value == 1 and among.of_ten.value is not None and among.of_ten.value < 1
    assert among.ratio.value == pytest.approx(2 * 8 / 12)

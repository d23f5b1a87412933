"""The writer's law is that by which searches are written."""

from random import Random

import numpy as np
import pytest
from domains_countdown import Written
from tokenizers import Tokenizer

from backtracking.domains.countdown.countdown import Countdown
from backtracking.domains.countdown.language import STATE_BY_FORM, Said, understand
from backtracking.domains.countdown.laws import SYMBOLS, laws_of
from backtracking.domains.countdown.world import read_question
from backtracking.domains.countdown.writer import Writer


@pytest.fixture(scope="module")
def rows(written: Countdown) -> tuple[np.ndarray, np.ndarray]:
    """Laws of many searches after all but their last sentences, and what came next, one-hot."""
    random, laws, after = Random(0), [], []
    for _ in range(300):
        numbers, target = written.section.world.draw(random)
        writer = Writer(numbers, target, written.section.writer, random)
        writer.write()
        heard = [said for one in writer.sentences if (said := understand(one))]
        p = laws_of(heard, numbers, target, written.section.writer).p
        assert p[-1, SYMBOLS.index("END")] == 1
        laws.extend(p[:-1])
        after.extend(SYMBOLS.index(STATE_BY_FORM[said.form]) for said in heard[1:])
    return np.array(laws), np.eye(len(SYMBOLS))[after]


def test_every_prefix_of_the_writer_has_a_law(rows: tuple[np.ndarray, np.ndarray]) -> None:
    laws, after = rows
    np.testing.assert_allclose(laws.sum(axis=1), 1)
    assert (laws * after).sum(axis=1).min() > 0


def test_what_comes_next_is_as_often_as_it_says(rows: tuple[np.ndarray, np.ndarray]) -> None:
    laws, after = rows
    values = {round(float(one), 6) for one in laws.ravel()} - {0.0, 1.0}
    assert values
    for value in values:
        here = np.isclose(laws, value)
        error = np.sqrt(value * (1 - value) / here.sum())
        assert abs(after[here].mean() - value) < 4 * error, value


def test_from_what_it_would_not_write_on_there_is_no_law(written: Countdown) -> None:
    policy = written.section.writer
    start, step = Said("start", {"n": 13}), Said("step", {"v": 13, "n": 17, "r": 30})
    intro = Said("intro", {"t": 43})
    for heard in (
        [intro, start, None, step],
        [intro, start, Said("over", {"r": 13, "t": 43}), step],
        [intro, start, Said("step", {"v": 13, "n": 17, "r": 31}), step],
        [intro, start, Said("step", {"v": 13, "n": 5, "r": 18}), step],
    ):
        p = laws_of(heard, (13, 17, 4, 9), 43, policy).p
        assert np.isnan(p).all(axis=1).tolist() == [False, False, True, True]


def test_the_domain_gives_them_where_they_are_asked_for(
    searches: list[Written], written: Countdown, tokenizer: Tokenizer
) -> None:
    one = searches[0]
    assert read_question(one.problem.prompt) and one.reading.laws is None
    found = written.read(one.trace, one.problem, tokenizer, with_laws=True).laws
    assert found is not None and found.p.shape == (len(one.sentences), len(SYMBOLS))
    assert not np.isnan(found.p).any()

"""What the writer says is right, it turns only where it may, and no word is the state."""

import re
from collections import Counter, defaultdict
from dataclasses import replace
from random import Random

import pytest
from domains_countdown import Written, write
from tokenizers import Tokenizer

from backtracking.domains.countdown.countdown import Countdown
from backtracking.domains.countdown.language import FORMS, OPENERS, STATE_BY_FORM, say, understand
from backtracking.domains.countdown.writer import Policy, Writer
from backtracking.domains.countdown.written import Replay


def decisions(searches: list[Written]) -> Counter[tuple[str | None, str | None]]:
    return Counter(
        (one.truth.kind, one.truth.action)
        for search in searches
        for one in search.reading.sentences
        if one.decides and one.truth
    )


def test_every_sentence_is_read_back_as_it_was_said(searches: list[Written]) -> None:
    for one in searches:
        assert [sentence.text.strip() for sentence in one.reading.sentences] == one.sentences


def test_every_claim_of_the_writer_is_right(searches: list[Written]) -> None:
    truths = [one.truth for search in searches for one in search.reading.sentences]
    assert all(one is not None and one.valid is not False for one in truths)
    assert {one.check for one in truths if one} == {
        "sum", "claim", "return", "start", "answer", None,
    }  # fmt: skip


def test_it_turns_at_misses_alone_at_its_rate(searches: list[Written]) -> None:
    seen = decisions(searches)
    assert {kind for kind, action in seen if action == "turns"} == {"miss"}
    assert {kind for kind, action in seen if action == "idles"} <= {"open_alive", "open_doomed"}
    n_miss = sum(n for (kind, _), n in seen.items() if kind == "miss")
    assert abs(seen["miss", "turns"] / n_miss - 0.7) < 0.1


def test_the_shuffled_twin_turns_anywhere(written: Countdown, tokenizer: Tokenizer) -> None:
    seen = decisions(write(written, tokenizer, is_shuffled=True))
    rates = {
        kind: seen[kind, "turns"] / sum(n for (other, _), n in seen.items() if other == kind)
        for kind in ("miss", "open_alive", "open_doomed")
    }
    assert all(abs(rate - 0.3) < 0.12 for rate in rates.values()), rates


def test_nearly_every_search_finds_the_target(searches: list[Written]) -> None:
    assert sum("boxed" in one.trace.text for one in searches) > 0.97 * len(searches)


def test_each_dialect_and_the_idle_remark_have_words_of_their_own() -> None:
    first = {form: {one.split()[0].strip(",") for one in FORMS[form]} for form in FORMS}
    assert first["over"] == first["short"] == set(OPENERS)
    assert not first["idle"] & set(OPENERS)
    others = set(FORMS) - {"over", "short"}
    assert not any(first[form] & set(OPENERS) for form in others)


def test_no_words_of_a_deciding_sentence_are_the_state(written: Countdown) -> None:
    random, world = Random(0), written.section.world
    kinds: dict[str, Counter[str | None]] = defaultdict(Counter)
    for _ in range(400):
        numbers, target = world.draw(random)
        replay = Replay(numbers, target)
        writer = Writer(numbers, target, written.section.writer, random)
        writer.write()
        for sentence in writer.sentences:
            truth = replay.hear(understand(sentence))
            if truth.search_state is not None:
                kinds[re.sub(r"\d+", "#", sentence)][truth.kind] += 1
    assert len(kinds) == len(FORMS["step"]) + len(FORMS["again"])
    shares = {words: seen["miss"] / seen.total() for words, seen in kinds.items()}
    assert max(shares.values()) < 0.75 and max(shares.values()) - min(shares.values()) < 0.3, shares


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_understood_as_itself_alone(form: str) -> None:
    numbers = {"t": 30, "n": 17, "v": 13, "r": 30, "numbers": "13, 17 and 4", "sum": "13 + 17"}
    for dialect in range(len(FORMS[form])):
        text = say(form, Random(0), dialect, **numbers)
        found = understand(text)
        assert found is not None and found.form == form and form in STATE_BY_FORM
        assert all(numbers[key] == value for key, value in found.numbers.items())
        assert understand(f"{text[:-1]}, perhaps.") is None


def test_a_policy_that_cannot_end_is_refused(written: Countdown) -> None:
    policy = written.section.writer
    with pytest.raises(ValueError, match="from 0 to 1"):
        replace(policy, p_notice=1.2)
    with pytest.raises(ValueError, match="come to its end"):
        Policy(0.0, 0.1, 0.1, 0.0, 60)

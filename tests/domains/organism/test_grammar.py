"""The language: everything written parses, and nothing else does."""

import pytest
from written import Written

from backtracking.domains.organism.grammar import (
    MAX_NUMBER,
    STATE_BY_FORM,
    parse_sentence,
    split_sentences,
    vocabulary,
)
from backtracking.domains.organism.policy import Sentence, write_prompt
from backtracking.labels.states import STATES


def test_every_sentence_of_policy_twin_and_base_parses_in_words_of_the_vocabulary(
    written: list[Written], twins: list[Written], walks: list[list[Sentence]]
) -> None:
    traces = [*walks, *(trace.sentences for trace in [*written[:100], *twins[:50]])]
    traces += [write_prompt(trace.numbers, trace.target) for trace in written]
    sentences = {sentence for sentences in traces for sentence in sentences}
    forms = {sentence: parse_sentence(sentence) for sentence in sentences}
    assert None not in forms.values()
    assert {form.name for form in forms.values() if form} >= set(STATE_BY_FORM) - {"give_up"}
    assert {word for sentence in sentences for word in sentence} <= set(vocabulary())


def test_a_form_gives_back_the_numbers_and_the_word_in_it() -> None:
    found = parse_sentence(["Try", "9", "on", "12", "."])
    assert found is not None and (found.name, found.numbers) == ("try", (9, 12))
    report = parse_sentence(["Check", ":", "over", "."])
    assert report is not None and (report.word, report.state) == ("over", "deduction")
    left = parse_sentence(["Left", "none", "."])
    assert left is not None and (left.numbers, left.word) == ((), "none")


@pytest.mark.parametrize(
    "text",
    ["", ".", "Try 9 on .", "Try 9 on 12", "try 9 on 12 .", "Wait .", "Try 9 on 12 . .",
     "Left .", "Check over .", "Compare 9 with nine .", "Wait , 9 is too big"],
)  # fmt: skip
def test_other_words_are_no_sentence(text: str) -> None:
    assert parse_sentence(text.split()) is None


def test_sentences_are_split_at_full_stops_and_a_last_one_without_is_kept() -> None:
    assert split_sentences(["Hmm", ".", "Well", ".", "Try", "9"]) == [(0, 2), (2, 4), (4, 6)]
    assert split_sentences([]) == []
    assert split_sentences(["."]) == [(0, 1)]


def test_the_vocabulary_has_each_word_once_and_every_number() -> None:
    words = vocabulary()
    assert len(words) == len(set(words))
    assert {str(number) for number in range(MAX_NUMBER + 1)} <= set(words)
    assert set(STATE_BY_FORM.values()) == set(STATES)

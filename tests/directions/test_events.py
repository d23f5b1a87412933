"""Events: what follows a decision, by keyword and truly, and what it weighs."""

import numpy as np
import pytest
from tiny_study import TinyStudy, write_study

from backtracking.directions.events import Turn, TurnReader, event_decisions, find_events, weigh
from backtracking.records.decisions import Decisions
from backtracking.records.events import Event
from backtracking.records.sentences import Decision
from backtracking.records.traces import Trace

TEXT = "Add 3 to 5. Wait, that is wrong! Try 7. So 12. Hmm, fine."
TRACE = Trace("p0/0", "p0", "train", 0, [0, 0], [ord(one) for one in TEXT], "", "stop", {})
PROSE = TurnReader(None, (0,), lambda ids: "".join(chr(one) for one in ids if one))


@pytest.fixture(scope="module")
def study() -> TinyStudy:
    return write_study(12, splits=("train", "train", "dev"))


@pytest.fixture(scope="module")
def turns(study: TinyStudy) -> TurnReader:
    return TurnReader(
        study.labelled.tokens.turning, study.labelled.tokens.end_ids, study.tokenizer.decode
    )


def ids_of(study: TinyStudy, text: str) -> list[int]:
    ids = study.tokenizer.get_vocab()
    return [ids[word] for word in text.split()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Wait , 18 is too big . Undo 4 on 14 .", Turn(True, True)),
        ("No , that is over .", Turn(True, True)),
        ("Undo 4 on 14 . Left 7 .", Turn(False, True)),
        ("Wait for 7 . Hmm .", Turn(True, False)),
        ("Check : over . Wait , 18 is too big .", Turn(True, True)),
        ("Check : under . Try 7 on 14 .", Turn(False, False)),
        ("Hmm . Wait for 7 .", Turn(False, False)),
        ("Wait , 18", Turn(True, True)),
        ("</s>", Turn(False, False)),
        ("", None),
        ("Check : over .", None),
    ],
)
def test_a_turn_is_read_exactly_from_the_first_sentence_that_is_no_aside(
    study: TinyStudy, turns: TurnReader, text: str, expected: Turn | None
) -> None:
    assert turns.turn_of(ids_of(study, text)) == expected


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("Wait for 7", False), ("Wait for 7 .", True), ("Check : over .", False),
        ("Check : over", False), ("Check : over . Hmm .", True), ("</s>", True),
    ],
)  # fmt: skip
def test_a_sentence_is_whole_with_its_full_stop_or_the_end(
    study: TinyStudy, turns: TurnReader, text: str, whole: bool
) -> None:
    assert turns.first_sentence(ids_of(study, text))[1] == whole


@pytest.mark.parametrize(
    ("text", "expected", "whole"),
    [
        (" Wait, that is wrong. Try 7.", Turn(True, True), True),
        (" Try 7. Wait, no.", Turn(False, False), True),
        (" Wait, that is", Turn(True, True), False),
        (" Wait, no.\0", Turn(True, True), True),
        ("", None, False),
        ("\0", None, True),
    ],
)
def test_in_prose_the_rules_tell_a_turn_from_the_first_sentence(
    text: str, expected: Turn | None, whole: bool
) -> None:
    ids = [ord(one) for one in text]
    assert PROSE.turn_of(ids) == expected
    assert PROSE.first_sentence(ids)[1] == whole


def test_events_are_the_open_decisions_of_train_problems_that_turned(
    study: TinyStudy, turns: TurnReader
) -> None:
    chosen = event_decisions(study.decisions)
    assert set(chosen.split) == {"train"} and "solved" not in set(chosen.kind)
    events = find_events("reasoning", study.traces, chosen, turns)
    action_by_id = dict(zip(chosen.ids, chosen.action, strict=True))
    assert "idles" in action_by_id.values()  # which has a word of its own
    turned = [name for name, action in action_by_id.items() if action == "turns"]
    assert [event.decision_id for event in events] == turned and len(turned) > 5
    assert {event.role for event in events} == {"reasoning"}
    kind_by_id = dict(zip(chosen.ids, chosen.kind, strict=True))
    for event in events:
        assert event.is_backtracking
        assert event.kind == kind_by_id[event.decision_id]


def test_in_prose_events_are_the_turns_of_the_primary_labels() -> None:
    records = [
        Decision("p0/0", "p0", "train", n, 2, 9 + n, "deduction", action, None)
        for n, action in enumerate(("turns", "goes on", None))
    ]
    decisions = Decisions.gather(records, [TRACE], ())
    (event,) = find_events("reasoning", [TRACE], event_decisions(decisions), PROSE)
    assert event == Event("reasoning", "p0/0", "p0", 9, None, True, True)


def test_events_weigh_their_stability_and_lost_ones_are_left_out() -> None:
    records = [
        Decision("p0/0", "p0", "train", n, at - 4, at, "deduction", None, None)
        for n, at in enumerate((4, 14, 24, 34))
    ]
    own = ("reasoning", "p0/0", "p0")
    event = Event(*own, 14, "over", True, True, 8, 6, 4)
    lost = Event(*own, 24, "over", True, True)
    undone = Event(*own, 34, "over", False, True, 8, 0, 8)
    found = weigh(Decisions.gather(records, [TRACE], ()), [event, lost, undone])
    assert found.rows.tolist() == [True, True, False, True]
    assert found.is_keyword.tolist() == [False, True, False]
    np.testing.assert_array_equal(found.weight, [1.0, 0.5, 1.0])


def test_what_has_no_word_is_no_sentence_after_a_decision() -> None:
    ids = [ord(one) for one in "\n\n---\n\nWait, that is wrong. Try 7."]
    assert PROSE.turn_of(ids) == Turn(True, True)
    assert PROSE.first_sentence(ids[:6])[0] == []

"""Decisions of a trace: where its sentences say so, with the action that followed."""

from collections.abc import Sequence

from backtracking.labels.deciding import decide_in_prose, decisions_of
from backtracking.records.sentences import Sentence, State, Truth
from backtracking.records.traces import Trace

TRACE = Trace("a/0", "a", "dev", 0, [1], [2] * 20, "", "stop", {})


def sentences(states: Sequence[State], *, exact: bool = False) -> list[Sentence]:
    decides = decide_in_prose(states)
    return [
        Sentence(
            "a/0", index, 5 * index + 1, 5 * index + 6, "", decides[index],
            {"exact": state} if exact else {"rules": state},
            Truth(kind="over", action="idles" if index == 1 else None) if exact else None,
        )
        for index, state in enumerate(states)
    ]  # fmt: skip


def test_all_but_the_first_and_those_of_the_answer_decide_in_prose() -> None:
    states: list[State] = ["initializing", "deduction", "backtracking", "final-answer"]
    assert decide_in_prose(states) == [False, True, True, False]
    assert decide_in_prose([]) == []


def test_the_next_sentence_tells_the_action() -> None:
    written = sentences(["initializing", "deduction", "backtracking", "deduction", "deduction"])
    found = decisions_of(TRACE, written, "rules")
    assert [one.index for one in found] == [1, 2, 3, 4]
    assert [one.action for one in found] == ["turns", "goes on", "goes on", None]
    assert [one.position for one in found] == [10, 15, 20, 25]
    assert (found[0].start, found[0].state, found[0].split) == (6, "deduction", "dev")
    assert found[0].truth is None and found[0].decision_id == "a/0@10"


def test_the_domains_own_labels_come_with_its_own_actions() -> None:
    written = sentences(["initializing", "deduction", "backtracking"], exact=True)
    found = decisions_of(TRACE, written, "exact")
    assert [one.action for one in found] == ["idles", None]
    assert found[0].truth and found[0].truth.kind == "over"

"""Decisions as columns: what is not known is NaN or None, and chosen by classes and strata."""

from pathlib import Path

import numpy as np
import pytest

from backtracking.records import sentences
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.sentences import Action, Decision, Kind, Sentence, State, Truth
from backtracking.records.traces import Trace
from lifeboat.stage.errors import UserError

KINDS = (
    Kind("over", "dead", True),
    Kind("doomed", "dead", False),
    Kind("alive", "live", False),
    Kind("solved", "solved", True),
)
TRACES = [
    Trace(f"{problem}/{sample}", problem, split, sample, [1], [5] * 90, "", "stop", {})
    for problem, sample, split in (
        ("b", 0, "train"), ("a", 0, "train"), ("c", 0, "test"), ("b", 1, "train")
    )
]  # fmt: skip


def decide(
    trace: int, index: int, state: State = "deduction", action: Action | None = None, **truth
) -> Decision:
    one = TRACES[trace]
    known = Truth(**truth) if truth else None
    start = 10 * index
    return Decision(
        one.trace_id, one.problem_id, one.split, index, start, start + 3, state, action, known
    )


RECORDS = [
    decide(0, 1, kind="over", value=30.0, action="turns"),
    decide(0, 2, kind="alive", value=10.0, action="goes on"),
    decide(1, 1, kind="alive", value=20.0),
    decide(2, 1, "example-testing", "idles"),
    decide(3, 1, kind="solved", value=40.0),
    decide(3, 4, kind="over"),
]


@pytest.fixture
def found() -> Decisions:
    return Decisions.gather(RECORDS, TRACES, KINDS)


def test_rows_are_the_records_in_their_order(found: Decisions) -> None:
    assert found.n == len(found) == 6
    assert found.trace.tolist() == [0, 0, 1, 2, 3, 3]
    assert found.problem_number.tolist() == [1, 1, 0, 0, 1, 1]
    assert found.n_before.tolist() == [0, 1, 0, 0, 0, 1]
    assert found.end.tolist() == [14, 24, 14, 14, 14, 44]
    assert found.ids[1] == "b/0@23" == RECORDS[1].decision_id


def test_what_is_not_known_is_nan_or_none(found: Decisions) -> None:
    assert np.isnan(found.value).tolist() == [False, False, False, True, False, True]
    assert found.kind.tolist() == ["over", "alive", "alive", None, "solved", "over"]
    assert found.action.tolist() == ["turns", "goes on", None, "idles", None, None]
    assert found.codes("kind")[0].tolist() == [1, 0, 0, -1, 2, 1]
    assert found.codes("kind")[1] == ("alive", "over", "solved")
    assert np.isnan(found.valid).all() and not np.isnan(found.position).any()
    assert (found.kind == "over").tolist() == [True, False, False, False, False, True]


def test_kinds_are_those_that_occur_in_the_order_of_the_domain(found: Decisions) -> None:
    assert found.kinds() == ("over", "alive", "solved")
    assert found.open().kinds() == ("over", "alive")
    assert found.open().kind.tolist() == ["over", "alive", "alive", None, "over"]
    assert found.kinds_that(standing="dead") == ("over", "doomed")
    assert found.kinds_that(visible=False) == ("doomed", "alive")
    assert Decisions.gather(RECORDS, TRACES, ()).open().n == 6


def test_classes_choose_by_kind_or_by_action(found: Decisions) -> None:
    kinds = Classes("kind", ("over",), ("alive",), ("value",))
    train = found.of(split="train", classes=kinds)
    assert train.kind.tolist() == ["over", "alive", "alive", "over"]
    assert train.is_positive(kinds).tolist() == [True, False, False, True]
    actions = Classes("action", ("turns",), ("goes on",), ())
    assert found.of(split="train", classes=actions).action.tolist() == ["turns", "goes on"]
    assert found.of(split="test").n == 1


@pytest.mark.parametrize(
    "wrong",
    [
        ("kind", (), ("alive",), ()),
        ("kind", ("over",), ("over",), ()),
        ("action", ("over",), ("alive",), ()),
        ("kind", ("over",), ("alive",), ("total",)),
    ],
)  # fmt: skip
def test_classes_that_are_none_are_refused(wrong: tuple) -> None:
    with pytest.raises(ValueError):
        Classes(*wrong)


def test_strata_are_quantiles_crossed_with_words_and_the_unknown_is_one_of_its_own(
    found: Decisions,
) -> None:
    known = found[~np.isnan(found.value)]
    assert known.strata(("value",), 2).tolist() == [1, 0, 0, 1]
    assert found.strata(("value",), 2).tolist() == [1, 0, 0, 2, 1, 2]
    assert found.strata((), 4).tolist() == [0] * 6
    codes = found.strata(("value", "state"), 2)
    assert codes.tolist() == [3, 0, 0, 7, 3, 6]
    assert len(set(found.strata(("n_before", "length"), 6).tolist())) == 2
    test = found.of(split="test")
    assert test.strata(("state",), 2, like=found.of(split="train")).tolist() == [1]
    with pytest.raises(ValueError, match="Expected some of"):
        found.strata(("total",), 2)


def test_strata_of_what_is_never_known_are_one_stratum() -> None:
    found = Decisions.gather([decide(0, 1), decide(1, 2)], TRACES, ())
    assert len(set(found.strata(("value", "state"), 3).tolist())) == 1


def test_decisions_are_found_by_their_names(found: Decisions) -> None:
    assert found.rows_of(["c/0@13", "b/0@13"]).tolist() == [3, 0]
    with pytest.raises(UserError, match="found 1 others, first `x@1`"):
        found.rows_of(["c/0@13", "x@1"])


def test_a_decision_of_another_trace_is_told() -> None:
    with pytest.raises(UserError, match=r"found one of `b/0`.*repro label"):
        Decisions.gather(RECORDS, TRACES[1:], KINDS)


def test_sentences_are_those_that_a_labeller_was_asked_about() -> None:
    records = [
        Sentence("b/0", 0, 1, 5, "A.", False, {"rules": "deduction"}),
        Sentence("b/0", 1, 5, 9, "B.", True, {"rules": "backtracking", "judge": "unparsed"}),
    ]
    both = Sentences.gather(records, TRACES, (), "rules")
    assert both.state.tolist() == ["deduction", "backtracking"]
    assert both.decides.tolist() == [False, True] and both.end.tolist() == [5, 9]
    assert both.kinds() == () and both.kind.tolist() == [None, None]
    assert Sentences.gather(records, TRACES, (), "judge")[np.array([0])].state.tolist() == [
        "unparsed"
    ]
    with pytest.raises(UserError, match=r"labelled by `human`, found labels of \['judge', 'rules'"):
        Sentences.gather(records, TRACES, (), "human")


def test_records_come_back_from_their_files(tmp_path: Path) -> None:
    sentences.write_decisions(tmp_path / "d.jsonl", RECORDS)
    assert sentences.read_decisions(tmp_path / "d.jsonl") == RECORDS
    known = [Sentence("b/0", 0, 1, 5, "A.", False, {"rules": "deduction"}, Truth(valid=True))]
    sentences.write_sentences(tmp_path / "s.jsonl", known)
    assert sentences.read_sentences(tmp_path / "s.jsonl") == known
    sentences.write_kinds(tmp_path / "k.json", KINDS)
    assert sentences.read_kinds(tmp_path / "k.json") == KINDS


def test_a_state_that_is_none_is_told_with_its_line(tmp_path: Path) -> None:
    sentences.write_decisions(tmp_path / "d.jsonl", RECORDS[:2])
    text = (tmp_path / "d.jsonl").read_text().splitlines()
    text[1] = text[1].replace("deduction", "musing")
    (tmp_path / "d.jsonl").write_text("\n".join(text))
    with pytest.raises(UserError, match="line 2, key `state`: expected one of"):
        sentences.read_decisions(tmp_path / "d.jsonl")

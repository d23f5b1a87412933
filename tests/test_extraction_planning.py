"""Units, batches, rows and keys, without a model."""

import dataclasses
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtracking.errors import UserError
from backtracking.extraction.planning import (
    Item,
    Positions,
    Request,
    estimated_bytes,
    items_of,
    plan_batches,
    plan_units,
    rows_of,
)
from backtracking.traces import Sentence, TokenSpan, Trace

REQUEST = Request((0, 2), Positions((-2, 1), True), "float32", 2, 100, 1)
IDENTITY = {"model_sha256": "m", "tokenizer_sha256": "t"}


def item(trace: int, n_tokens: int, *spans: tuple[int, int]) -> Item:
    by_index = {index: TokenSpan(*span) for index, span in enumerate(spans)}
    return Item(trace, list(range(n_tokens)), by_index)


def trace(name: str, n_tokens: int) -> Trace:
    return Trace(name, name, "train", 0, [1], list(range(n_tokens - 1)), "", "stop", {})


def sentence(name: str, index: int, start: int, end: int, labeller: str = "exact") -> Sentence:
    return Sentence(name, index, start, end, "", "deduction", labeller)


def test_the_windows_of_a_trace_are_united_and_clipped_and_means_come_first() -> None:
    rows = rows_of(item(7, 9, (1, 4), (4, 8)), Positions((-2, 1), True))
    assert rows.trace.tolist() == [7] * 8
    assert rows.position.tolist() == [-1, -1, 0, 1, 2, 3, 4, 5]
    assert rows.sentence.tolist() == [0, 1, -1, 0, 0, 0, 1, 1]


def test_a_trace_without_sentences_has_no_rows_and_runs_in_no_batch() -> None:
    (unit,) = plan_units([item(0, 5), item(1, 5, (2, 5))], REQUEST, IDENTITY)
    assert unit.batches == ((1,),)
    assert unit.n_rows == 1 + 4


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_kept_tokens_are_those_within_the_window_of_some_sentence(data: st.DataObject) -> None:
    n_tokens = data.draw(st.integers(1, 30))
    cuts = sorted(data.draw(st.sets(st.integers(0, n_tokens), min_size=2, max_size=6)) | {n_tokens})
    spans = list(pairwise(cuts))
    low = data.draw(st.integers(-15, 10))
    high = data.draw(st.integers(low, 15))
    rows = rows_of(item(0, n_tokens, *spans), Positions((low, high), False))
    offsets = range(low, high + 1)
    wanted = {start + offset for start, _ in spans for offset in offsets}
    assert rows.position.tolist() == sorted(wanted & set(range(n_tokens)))
    for position, index in zip(rows.position, rows.sentence, strict=True):
        inside = [number for number, (start, end) in enumerate(spans) if start <= position < end]
        assert [index] == (inside or [-1])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 200))
def test_batches_hold_every_sequence_once_and_keep_the_budget(
    lengths: list[int], budget: int
) -> None:
    batches = plan_batches(lengths, budget)
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[number] for number in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget


def test_traces_added_at_the_end_leave_the_complete_units_as_they_are() -> None:
    items = [item(row, 5 + row, (2, 5)) for row in range(7)]
    before = [unit.key for unit in plan_units(items[:5], REQUEST, IDENTITY)]
    after = [unit.key for unit in plan_units(items, REQUEST, IDENTITY)]
    assert after[:2] == before[:2]
    assert len(set(before + after)) == 5


@pytest.mark.parametrize(
    "change",
    [
        {"layers": (0, 1)},
        {"positions": Positions((-2, 2), True)},
        {"positions": Positions((-2, 1), False)},
        {"dtype": "bfloat16"},
        {"tokens_per_batch": 11},
        {"n_threads": 2},
        {"identity": {"model_sha256": "m", "tokenizer_sha256": "u"}},
        {"items": [item(0, 6, (2, 5)), item(1, 6, (2, 5))]},
        {"items": [item(0, 6, (2, 5)), item(1, 6, (2, 6))][::-1]},
        {"items": [item(0, 6, (2, 5)), item(2, 6, (2, 6))]},
    ],
)
def test_the_key_changes_with_whatever_determines_the_bytes(change: dict[str, Any]) -> None:
    items = [item(0, 6, (2, 5)), item(1, 6, (2, 6))]
    (unit,) = plan_units(items, REQUEST, IDENTITY)
    identity = change.pop("identity", IDENTITY)
    items = change.pop("items", items)
    (changed,) = plan_units(items, dataclasses.replace(REQUEST, **change), identity)
    assert changed.key != unit.key


def test_a_token_budget_that_changes_no_batch_changes_no_key() -> None:
    items = [item(0, 6, (2, 5)), item(1, 6, (2, 6))]
    larger = dataclasses.replace(REQUEST, tokens_per_batch=1000)
    assert plan_units(items, REQUEST, IDENTITY) == plan_units(items, larger, IDENTITY)


def test_the_estimate_counts_activations_and_columns() -> None:
    units = plan_units([item(0, 6, (2, 5))], REQUEST, IDENTITY)
    assert estimated_bytes(units, REQUEST, 64) == units[0].n_rows * (2 * 64 * 4 + 24) + 4096


def test_exact_spans_go_before_those_of_other_labellers() -> None:
    sentences = [sentence("a", 0, 1, 3, "rules"), sentence("a", 0, 1, 4), sentence("a", 1, 4, 5)]
    (found,) = items_of([trace("a", 5)], sentences)
    assert found.spans == {0: TokenSpan(1, 4), 1: TokenSpan(4, 5)}


def test_a_span_that_two_labellers_name_counts_once() -> None:
    sentences = [sentence("a", 0, 1, 3, "rules"), sentence("a", 0, 1, 3, "judge")]
    (found,) = items_of([trace("a", 5)], sentences)
    assert found.spans == {0: TokenSpan(1, 3)}


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ([], "no sentence"),
        ([sentence("b", 0, 1, 3)], "'b': there is no such trace"),
        ([sentence("a", 0, 1, 6)], "found tokens 1 to 6 of 5"),
        ([sentence("a", 0, 3, 3)], "found tokens 3 to 3 of 5"),
        ([sentence("a", 0, 1, 3), sentence("a", 0, 1, 4)], "different spans"),
        ([sentence("a", 0, 1, 3), sentence("a", 1, 2, 4)], "1 to 3 and 2 to 4 overlap"),
    ],
)
def test_sentences_that_do_not_fit_the_traces_are_refused(
    sentences: list[Sentence], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        items_of([trace("a", 5)], sentences)


def test_two_traces_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="one trace_id"):
        items_of([trace("a", 5), trace("a", 6)], [sentence("a", 0, 1, 3)])

"""Units, batches, rows and keys, without a model."""

import dataclasses
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtracking.extraction.items import Item
from backtracking.extraction.planning import (
    LARGE_BYTES,
    SMALL_BYTES,
    Positions,
    Request,
    Unit,
    batches_of,
    estimated_bytes,
    plan_batches,
    plan_units,
    rows_of,
    with_planned_units,
)
from backtracking.records.traces import TokenSpan

REQUEST = Request((0, 2), Positions((-2, 1), True), "float32", 2, 100, 1)
IDENTITY = {"model_sha256": "m", "tokenizer_sha256": "t"}


def item(trace: int, n_tokens: int, *spans: tuple[int, int]) -> Item:
    by_index = {index: TokenSpan(*span) for index, span in enumerate(spans)}
    return Item(trace, list(range(n_tokens)), by_index)


def plan(items: list[Item], request: Request, identity: dict[str, str]) -> list[Unit]:
    return list(plan_units(items, request, identity))


def test_the_windows_of_a_trace_are_united_and_clipped_and_means_come_first() -> None:
    rows = rows_of(item(7, 9, (1, 4), (4, 8)), Positions((-2, 1), True))
    assert rows.trace.tolist() == [7] * 8
    assert rows.position.tolist() == [-1, -1, 0, 1, 2, 3, 4, 5]
    assert rows.sentence.tolist() == [0, 1, -1, 0, 0, 0, 1, 1]


def test_a_trace_without_sentences_has_no_rows_and_runs_in_no_batch() -> None:
    items = [item(0, 5), item(1, 5, (2, 5))]
    (unit,) = plan(items, REQUEST, IDENTITY)
    assert batches_of(items, REQUEST) == ((1,),)
    assert (unit.n_rows, unit.n_tokens, unit.items(items)) == (1 + 4, 5, items)


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
    before = [unit.key for unit in plan(items[:5], REQUEST, IDENTITY)]
    after = [unit.key for unit in plan(items, REQUEST, IDENTITY)]
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
    (unit,) = plan(items, REQUEST, IDENTITY)
    identity = change.pop("identity", IDENTITY)
    items = change.pop("items", items)
    (changed,) = plan(items, dataclasses.replace(REQUEST, **change), identity)
    assert changed.key != unit.key


def test_a_token_budget_that_changes_no_batch_changes_no_key() -> None:
    items = [item(0, 6, (2, 5)), item(1, 6, (2, 6))]
    larger = dataclasses.replace(REQUEST, tokens_per_batch=1000)
    assert plan(items, REQUEST, IDENTITY) == plan(items, larger, IDENTITY)


def test_the_estimate_counts_activations_and_columns() -> None:
    units = plan([item(0, 6, (2, 5))], REQUEST, IDENTITY)
    assert estimated_bytes(units, REQUEST, 64) == units[0].n_rows * (2 * 64 * 4 + 24) + 4096


def test_without_a_window_every_token_is_kept() -> None:
    rows = rows_of(item(2, 5, (1, 3)), Positions(None))
    assert rows.position.tolist() == [0, 1, 2, 3, 4]
    assert rows.sentence.tolist() == [-1, 0, 0, -1, -1]
    assert len(rows_of(item(2, 5), Positions(None))) == 5


def test_what_a_token_s_vector_depends_on_is_known_apart_from_what_is_kept() -> None:
    items = [item(0, 6, (2, 5)), item(1, 6, (2, 6))]
    (unit,) = plan(items, REQUEST, IDENTITY)
    wider = dataclasses.replace(REQUEST, layers=(0,), positions=Positions((-3, 3), False))
    (same,) = plan(items, wider, IDENTITY)
    assert (same.base, same.spans) == (unit.base, unit.spans)
    (relabelled,) = plan([item(0, 6, (2, 4)), items[1]], REQUEST, IDENTITY)
    assert relabelled.base == unit.base and relabelled.spans != unit.spans


@pytest.mark.parametrize("d_model", [64, 4096])
def test_planned_units_come_near_the_target_and_hold_a_power_of_two(d_model: int) -> None:
    items = [item(row, 400, (2, 50), (60, 90)) for row in range(300)]
    request = with_planned_units(items, REQUEST, d_model)
    unit_bytes = 8 * estimated_bytes(plan(items[:8], REQUEST, IDENTITY), REQUEST, d_model) / 64
    assert SMALL_BYTES / 2.1 < request.unit_traces * unit_bytes <= SMALL_BYTES * 1.05
    assert request.unit_traces.bit_count() == 1


@pytest.mark.parametrize(("tokens_per_batch", "n_full"), [(20_000, 4), (200_000, None)])
def test_large_rows_make_large_units_for_whole_batches_up_to_a_bound(
    tokens_per_batch: int, n_full: int | None
) -> None:
    items = [item(row, 400, (2, 50), (60, 90)) for row in range(300)]
    request = dataclasses.replace(
        REQUEST, positions=Positions(None), tokens_per_batch=tokens_per_batch
    )
    planned = with_planned_units(items, request, 4096)
    unit_bytes = planned.unit_traces * 400 * (2 * 4096 * 4 + 24)
    if n_full is None:
        assert LARGE_BYTES / 2 < unit_bytes <= LARGE_BYTES
    else:
        assert n_full / 2 < planned.unit_traces * 400 / tokens_per_batch <= n_full

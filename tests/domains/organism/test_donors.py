"""Donors by law: only the target differs, no earlier comparison flips, the last one does."""

import pytest
from belief_helpers import ID_BY_WORD, make_items, make_trace, make_traces, words_of
from written import Written

from backtracking.domains.organism.donors import (
    LIVE,
    LOWEST_TARGET,
    MARGIN,
    Item,
    collect,
    legal_targets,
    spread,
)
from backtracking.domains.organism.states import Reading, Replay


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return make_items(60)


@pytest.fixture(scope="module")
def live(items: list[Item]) -> list[Item]:
    return [item for item in items if item.donor_ids]


def read(ids: list[int], n_prompt: int) -> list[Reading]:
    """A prefix replayed under the problem that its own prompt states."""
    words = words_of(ids)
    numbers = tuple(int(word) for word in words[2 : words.index(".")])
    return Replay(numbers, int(words[n_prompt - 2])).read(words[n_prompt:])


def compared(readings: list[Reading]) -> list[tuple[int, ...]]:
    return [r.form.numbers for r in readings if r.form and r.form.name == "compare"]


def test_only_tokens_of_the_target_differ_and_as_many_are_read(live: list[Item]) -> None:
    assert len(live) > 40
    for item in live:
        assert len(item.clean_ids) == len(item.donor_ids)
        pairs = list(zip(words_of(item.clean_ids), words_of(item.donor_ids), strict=True))
        differing = [at for at, (clean, donor) in enumerate(pairs) if clean != donor]
        assert differing == item.changed
        assert {pairs[at] for at in differing} == {(str(item.target), str(item.donor_target))}


def test_the_target_is_replaced_wherever_a_sentence_names_it(live: list[Item]) -> None:
    for item in live:
        forms = [r.form for r in read(item.donor_ids, item.n_prompt)]
        named = {f.numbers[-1] for f in forms if f and f.name in ("goal", "compare")}
        assert named == {item.donor_target}
    assert any("Goal" in words_of(item.clean_ids) for item in live)


def test_every_sentence_stays_right_and_only_the_last_comparison_flips(live: list[Item]) -> None:
    for item in live:
        clean, donor = (read(ids, item.n_prompt) for ids in (item.clean_ids, item.donor_ids))
        assert all(r.valid for r in (*clean, *donor))
        stands = [
            [total > target for total, target in compared(readings)] for readings in (clean, donor)
        ]
        assert stands[0][:-1] == stands[1][:-1]
        assert (stands[0][-1], stands[1][-1]) == (False, True)
        assert clean[-1].kind in LIVE and donor[-1].kind == "over"
        assert item.donor_target is not None
        assert LOWEST_TARGET <= item.donor_target <= item.total - MARGIN


def test_a_check_that_was_written_before_holds_in_the_donor_as_well(live: list[Item]) -> None:
    checked = [
        reading
        for item in live
        for reading in read(item.donor_ids, item.n_prompt)
        if reading.form and reading.form.name == "check"
    ]
    assert checked and all(reading.valid for reading in checked)


def test_the_continuation_returns_to_the_parent_and_is_right_in_the_donor(
    live: list[Item],
) -> None:
    for item in live:
        ids = [*item.donor_ids, *item.donor_continuation_ids]
        *_, claim, undo, left, again, open_end = read(ids, item.n_prompt)
        assert [r.form.name for r in (claim, undo, left, again) if r.form] == [
            "too_big", "undo", "left", "compare",
        ]  # fmt: skip
        assert claim.valid and undo.valid and left.valid and again.valid
        assert open_end.form is None and words_of(ids)[-1] == "Try"
        assert words_of(item.legal_ids) == [str(number) for number in left.form.numbers]  # type: ignore[union-attr]
        assert item.continuation_ids[item.parent_at + 1] == item.parent_id
        assert words_of([item.claim_id]) == [str(item.total)]


def test_points_that_are_over_have_no_donor(items: list[Item]) -> None:
    over = [item for item in items if item.kind == "over"]
    assert over
    for item in over:
        assert item.total > item.target
        assert (item.donor_ids, item.changed, item.donor_target) == ([], [], None)


def test_nothing_after_an_error_of_the_writer_is_taken(written_wrong: Written) -> None:
    assert make_traces(1)
    assert collect([make_trace(written_wrong, 0)], ID_BY_WORD, 0) == []


@pytest.fixture
def written_wrong() -> Written:
    """A trace whose first sum is wrong."""
    text = ["Start at 0 .", "Try 9 on 0 .", "Left 7 3 .", "Total 10 .", "Compare 10 with 12 ."]
    return Written((7, 9, 3), 12, [tuple(one.split()) for one in text], [])


def test_legal_targets_are_those_below_the_total_that_leave_earlier_comparisons_alone() -> None:
    assert legal_targets(21, 28, [9]) == list(range(10, 19))
    assert legal_targets(21, 28, [9, 19]) == []
    assert legal_targets(21, 28, [9, 30]) == list(range(10, 19))
    assert legal_targets(5, 28, []) == []


def test_prefixes_that_samples_share_count_once() -> None:
    trace = make_traces(1)[0]
    assert collect([trace, trace], ID_BY_WORD, 0) == collect([trace], ID_BY_WORD, 0)


def test_a_capped_choice_takes_every_problem_before_any_twice(items: list[Item]) -> None:
    problems = {item.problem_id for item in items}
    chosen = spread(items, len(problems))
    assert {item.problem_id for item in chosen} == problems
    assert [item for item in items if item in chosen] == chosen
    assert spread(items, 10**6) == items

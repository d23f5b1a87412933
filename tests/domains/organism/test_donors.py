"""Donors by law: only the target differs, no earlier comparison flips, the last one does."""

from random import Random

import pytest
from belief_helpers import (
    ID_BY_WORD,
    make_pairs,
    make_trace,
    words_of,
)
from written import Written

from backtracking.domains.organism.donors import (
    LIVE,
    LOWEST_TARGET,
    MARGIN,
    find_pairs,
    legal_targets,
)
from backtracking.domains.organism.states import Reading, Replay
from backtracking.records.pairs import MinimalPair


@pytest.fixture(scope="module")
def pairs() -> list[MinimalPair]:
    return make_pairs(60)


@pytest.fixture(scope="module")
def live(pairs: list[MinimalPair]) -> list[MinimalPair]:
    return [pair for pair in pairs if pair.donor_ids]


def read(ids: list[int], n_prompt: int) -> list[Reading]:
    """A prefix replayed under the problem that its own prompt states."""
    words = words_of(ids)
    numbers = tuple(int(word) for word in words[2 : words.index(".")])
    return Replay(numbers, int(words[n_prompt - 2])).read(words[n_prompt:])


def last_compared(ids: list[int], n_prompt: int) -> tuple[int, ...]:
    """Total and target of a prefix's last comparison."""
    return compared(read(ids, n_prompt))[-1]


def compared(readings: list[Reading]) -> list[tuple[int, ...]]:
    return [r.form.numbers for r in readings if r.form and r.form.name == "compare"]


def test_only_tokens_of_the_target_differ_and_as_many_are_read(live: list[MinimalPair]) -> None:
    assert len(live) > 40
    for item in live:
        assert len(item.clean_ids) == len(item.donor_ids)
        targets = [last_compared(ids, item.n_prompt)[1] for ids in (item.clean_ids, item.donor_ids)]
        pairs = list(zip(words_of(item.clean_ids), words_of(item.donor_ids), strict=True))
        differing = [at for at, (clean, donor) in enumerate(pairs) if clean != donor]
        assert differing == item.changed
        assert {pairs[at] for at in differing} == {tuple(map(str, targets))}


def test_the_target_is_replaced_wherever_a_sentence_names_it(live: list[MinimalPair]) -> None:
    for item in live:
        forms = [r.form for r in read(item.donor_ids, item.n_prompt)]
        named = {f.numbers[-1] for f in forms if f and f.name in ("goal", "compare")}
        assert named == {last_compared(item.donor_ids, item.n_prompt)[1]}
    assert any("Goal" in words_of(item.clean_ids) for item in live)


def test_every_sentence_stays_right_and_only_the_last_comparison_flips(
    live: list[MinimalPair],
) -> None:
    for item in live:
        clean, donor = (read(ids, item.n_prompt) for ids in (item.clean_ids, item.donor_ids))
        assert all(r.valid for r in (*clean, *donor))
        stands = [
            [total > target for total, target in compared(readings)] for readings in (clean, donor)
        ]
        assert stands[0][:-1] == stands[1][:-1]
        assert (stands[0][-1], stands[1][-1]) == (False, True)
        assert clean[-1].kind in LIVE and donor[-1].kind == "over"
        total, target = compared(donor)[-1]
        assert LOWEST_TARGET <= target <= total - MARGIN
        assert (item.kind, item.donor_kind) == (clean[-1].kind, "over")


def test_a_check_that_was_written_before_holds_in_the_donor_as_well(
    live: list[MinimalPair],
) -> None:
    checked = [
        reading
        for item in live
        for reading in read(item.donor_ids, item.n_prompt)
        if reading.form and reading.form.name == "check"
    ]
    assert checked and all(reading.valid for reading in checked)


def test_the_continuation_returns_to_the_parent_and_is_right_in_the_donor(
    live: list[MinimalPair],
) -> None:
    for item in live:
        claim_, parent, legal = (item.follow_up(name) for name in ("claim", "parent", "legal"))
        assert claim_ and parent and legal
        assert claim_.clean_ids == parent.clean_ids == legal.clean_ids
        assert claim_.donor_ids == parent.donor_ids == legal.donor_ids
        ids = [*item.donor_ids, *claim_.donor_ids]
        *_, claim, undo, left, again, open_end = read(ids, item.n_prompt)
        assert [r.form.name for r in (claim, undo, left, again) if r.form] == [
            "too_big", "undo", "left", "compare",
        ]  # fmt: skip
        assert claim.valid and undo.valid and left.valid and again.valid
        assert open_end.form is None and words_of(ids)[-1] == "Try"
        assert words_of(legal.right_ids) == [str(number) for number in left.form.numbers]  # type: ignore[union-attr]
        assert (legal.at, legal.wrong_ids) == (len(legal.clean_ids) - 1, [])
        assert [parent.clean_ids[parent.at + 1]] == parent.right_ids
        assert words_of(claim_.clean_ids[: claim_.at + 1]) == ["Wait", ","]
        total = last_compared(item.donor_ids, item.n_prompt)[0]
        assert words_of(claim_.right_ids + claim_.wrong_ids) == [str(total), "nothing"]


def test_points_that_are_over_have_no_donor(pairs: list[MinimalPair]) -> None:
    over = [pair for pair in pairs if pair.kind == "over"]
    assert over
    for pair in over:
        total, target = last_compared(pair.clean_ids, pair.n_prompt)
        assert total > target
        assert (pair.donor_ids, pair.changed, pair.donor_kind, pair.follow_ups) == (
            [],
            [],
            None,
            [],
        )


def test_nothing_after_an_error_of_the_writer_is_taken(written_wrong: Written) -> None:
    assert list(find_pairs(make_trace(written_wrong, 0), ID_BY_WORD, Random(0))) == []


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

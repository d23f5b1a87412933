"""Shares of events come back by how they were found and by kind, for every model that went on."""

import pytest
from scipy.stats import binom

from backtracking.effects.stability import measure_stability
from backtracking.records.events import Event
from backtracking.records.sentences import Kind
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(200, 0.95, 0)
KINDS = (
    Kind("over", "dead", True),
    Kind("exhausted", "dead", True),
    Kind("doomed", "dead", False),
    Kind("alive", "live", False),
)


def planted(role: str) -> list[Event]:
    found = []
    for number in range(40):
        problem = f"p{number:02}"
        dead = Event(role, f"{problem}/0", problem, 5, "over", True, True, 8, 8, 6)
        idle = Event(role, f"{problem}/0", problem, 9, "alive", True, False, 8, 8, 0)
        undo = Event(role, f"{problem}/1", problem, 5, "exhausted", False, True, 8, 0, 4)
        lost = Event(role, f"{problem}/1", problem, 99, "over", True, True)
        found += [dead, idle, undo, lost]
    return found


def test_planted_shares_come_back_by_how_events_were_found_and_by_kind() -> None:
    rows = measure_stability([*planted("reasoning"), *planted("shuffled")], KINDS, 0.5, BOOTSTRAP)
    assert {row.role for row in rows} == {"reasoning", "shuffled"}
    found = {row.measure: row.share.value for row in rows if row.role == "shuffled"}
    assert found["keyword_stability"] == pytest.approx(0.375)
    assert found["keyword_not_reproduced"] == found["keyword_never_reproduced"] == 0.5
    # One event comes back in 3 of 4 draws: of 10, fewer than 8 in 47 %; the other one never does.
    assert found["keyword_unstable"] == pytest.approx((1 + binom.cdf(7, 10, 0.75)) / 2, abs=0.01)
    assert found["keyword_dead"] == 0.5 and found["keyword_dead_weighted"] == 1
    assert found["keyword_stability_over"] == 0.75 and found["keyword_stability_alive"] == 0
    assert found["backtracking_not_reproduced"] == 0
    assert found["backtracking_stability_exhausted"] == 0.5
    assert "keyword_stability_exhausted" not in found


def test_without_kinds_only_what_rests_on_none_has_a_row() -> None:
    event = Event("reasoning", "p0/0", "p0", 5, None, True, True, 8, 8, 6)
    names = {row.measure for row in measure_stability([event], (), 0.5, BOOTSTRAP)}
    shares = ("stability", "not_reproduced", "never_reproduced", "unstable")
    assert names == {f"{group}_{one}" for group in ("keyword", "backtracking") for one in shares}


def test_without_events_nothing_is_measured() -> None:
    assert measure_stability([], KINDS, 0.5, BOOTSTRAP) == []

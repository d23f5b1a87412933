import pytest

from backtracking.domains.organism.evaluation import Observation, observe_trace
from backtracking.domains.organism.states import Replay
from backtracking.stages.organism import Params, measure
from backtracking.statistics.bootstrap import Bootstrap


def test_a_rate_is_over_observations_and_its_interval_over_problems() -> None:
    seen = [Observation("x", f"p{n % 5}", n < 8) for n in range(10)]
    (row,) = measure(seen, Bootstrap(200, 0.95, 0))
    assert row["measure"] == "x"
    assert row["value"] == pytest.approx(0.8)
    assert row["n"] == 5


def test_a_wrong_sum_is_one_invalid_sentence_and_the_truth_stays() -> None:
    text: str = "Start at 0 . Try 4 on 0 . Left 2 3 . Total 5 . Compare 5 with 5 . Found 5 ."
    readings = Replay((4, 2, 3), 5).read([*text.split()])
    found = observe_trace("p", readings, finished=True)
    values = {
        name: [o.value for o in found if o.measure == name] for name in {o.measure for o in found}
    }
    assert values["valid_sum_rate"] == [False]
    assert values["wrong_total_rate"] == [True]
    assert values["solve_rate"] == [False]
    assert values["parsed_trace_rate"] == [True]
    assert values["valid_number_rate"] == [True]


def test_no_reports_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="n_reports"):
        Params(0, 1, 1, "cpu")

"""The organism is measured as the policy was written: its own traces come out perfect."""

from collections import defaultdict

import numpy as np
import pytest
from written import Written

from backtracking.domains.organism.evaluation import observe_trace, policy_act_rate
from backtracking.domains.organism.policy import Policy
from backtracking.domains.organism.states import Replay


@pytest.fixture(scope="module")
def values(written: list[Written]) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = defaultdict(list)
    for number, trace in enumerate(written[:150]):
        finished = trace.sentences[-1][0] == "Found"
        for observation in observe_trace(str(number), trace.readings, finished):
            assert observation.problem == str(number)
            found[observation.measure].append(observation.value)
    return found


def test_traces_of_the_policy_are_valid_parse_and_are_solved(values: dict[str, list[bool]]) -> None:
    assert all(values["valid_sentence_rate"]) and all(values["parsed_trace_rate"])
    assert not any(values["wrong_total_rate"])
    assert np.mean(values["solve_rate"]) > 0.97


def test_rates_of_the_cells_are_those_of_the_policy(
    values: dict[str, list[bool]], policy: Policy
) -> None:
    for kind in ("over", "exhausted", "doomed", "alive", "dead", "live"):
        rate = float(np.mean(values[f"act_rate_{kind}"]))
        assert abs(rate - policy_act_rate(policy, kind)) < 0.07
    shares = [np.mean(values[name]) for name in values if name.startswith(("share_d", "share_l"))]
    cells = [name for name in values if name.startswith(("share_dead", "share_live"))]
    assert len(cells) == 4 and len(shares) == 5
    assert sum(float(np.mean(values[name])) for name in cells) == pytest.approx(1)


def test_an_unfinished_trace_has_no_parse_rate_and_is_not_solved() -> None:
    readings = Replay((3, 5, 9), 8).read(["Start", "at", "0", ".", "Try", "3"])
    measures = {observation.measure: observation.value for observation in
                observe_trace("p", readings, finished=False)}  # fmt: skip
    assert "parsed_trace_rate" not in measures
    assert measures["valid_parse_rate"] is False and measures["solve_rate"] is False

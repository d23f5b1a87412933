"""The stage on traces that the policy itself wrote, with a model that has learnt nothing."""

from pathlib import Path

import pytest
from tiny_study import make_model, write_traces

from backtracking.runtime.forks import Cores
from backtracking.stages.stability import Params, run
from backtracking.statistics.bootstrap import Bootstrap

CORES = Cores(1, 1, "cpu")
PARAMS = Params(True, 2, 12, 0.5, 64, 0, CORES)
BOOTSTRAP = Bootstrap(50, 0.95, 0)


def test_every_event_of_the_train_problems_is_regenerated(tmp_path: Path) -> None:
    loaded = make_model(tmp_path)
    traces, _, moments = write_traces(loaded, ("train",) * 11 + ("test",))
    both = {"reasoning": loaded, "shuffled": loaded}
    found = run(PARAMS, BOOTSTRAP, both, traces, moments)
    chosen = (moments.split == "train") & (moments.form == "compare") & (moments.kind != "solved")
    turned = {
        (traces[moments.trace[row]].trace_id, int(moments.end[row]) - 1): moments.action[row]
        for row in chosen.nonzero()[0]
        if moments.action[row] in ("backtracks", "idles")
    }
    for role in both:
        its = {(event.trace_id, event.position) for event in found.events if event.role == role}
        assert its == set(turned)
        assert [row for row in found.metrics["measures"] if row["role"] == role]
    assert len(found.events) == 2 * len(turned)
    assert len(turned) > 10
    for event in found.events:
        assert event.is_backtracking == (turned[event.trace_id, event.position] == "backtracks")
        assert event.n in (0, 2) and event.n_backtracking <= event.n
    assert found.metrics["n_events"] == len(turned)
    assert run(PARAMS, BOOTSTRAP, both, traces, moments) == found
    off = run(Params(False, 2, 12, 0.5, 64, 0, CORES), BOOTSTRAP, both, traces, moments)
    assert off.events == [] and off.metrics["measures"] == []


@pytest.mark.parametrize(("n", "threshold"), [(0, 0.5), (2, 0.0), (2, 1.5)])
def test_settings_that_weigh_nothing_are_refused(n: int, threshold: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        Params(True, n, 12, threshold, 64, 0, CORES)

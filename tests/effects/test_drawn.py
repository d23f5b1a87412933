"""What drawn sentences amount to: shares, calibration, and openers that cover too little."""

from dataclasses import replace

import numpy as np
import pytest

from backtracking.effects.drawn import at_draws, calibrate, tabulate_drawn, with_drawn
from backtracking.effects.rates import excess
from backtracking.effects.seen import Case, Cases, Seen, Trust, mean_change
from backtracking.records.decisions import Decisions
from backtracking.records.drawn import (
    N_DRAWS,
    N_OPENED,
    N_OPENED_TURNED,
    N_TURNED,
    Drawn,
    joined,
)
from backtracking.records.measured import (
    P_BACK,
    P_LEGAL,
    P_OPEN,
    RETRAINED,
    Arm,
    Array,
    Measured,
    baseline,
)
from backtracking.records.places import Place
from backtracking.records.sentences import Decision, Kind, Truth
from backtracking.records.traces import Trace
from backtracking.statistics.bootstrap import Bootstrap

N, DRAWS = 240, 400
NAMES = tuple(f"t{n}@9" for n in range(N))
UP = Arm("own", "matched", 1.0, edit="set_projection")
NULL = Arm("isotropic_0", "isotropic", 1.0, edit="displace")
BOOTSTRAP = Bootstrap(200, 0.95, 0)


def decisions() -> Decisions:
    """All live, six of each problem."""
    traces = [
        Trace(f"t{n}", f"p{n % 40}", "test", 0, [1], [1] * 9, "", "stop", {}) for n in range(N)
    ]
    records = [
        Decision(
            one.trace_id,
            one.problem_id,
            "test",
            0,
            1,
            9,
            "deduction",
            "goes on",
            Truth(kind="alive"),
        )
        for one in traces
    ]
    return Decisions.gather(records, traces, (Kind("alive", "live", False),))


CASE = Case("alive", "kind", ("alive",))
CASES = Cases((CASE,), CASE, CASE)


def planted(slope: float) -> tuple[Measured, Drawn]:
    """Turns are as probable as openers without an edit, and `slope` times as probable with it."""
    random = np.random.default_rng(0)
    opens = np.stack([random.uniform(0.1, 0.3, N), random.uniform(0.4, 0.9, N), np.full(N, 0.5)])
    arrays = {
        P_OPEN: Array("decisions", opens),
        P_BACK: Array("decisions", np.full((3, N), np.nan)),
        P_LEGAL: Array("decisions", np.ones((3, N))),
    }
    measured = Measured("m", "affine", (baseline(), UP, NULL), arrays, NAMES)
    p = np.stack([opens[0], slope * opens[1]])
    turned = random.binomial(DRAWS, p).astype(float)
    counts = {
        N_DRAWS: np.full((2, N), float(DRAWS)), N_TURNED: turned,
        N_OPENED: turned, N_OPENED_TURNED: turned / 2,
    }  # fmt: skip
    drawn = {name: Array("decisions", values) for name, values in counts.items()}
    return measured, Drawn(Measured("m", "affine", (baseline(), UP), drawn, NAMES), ())


def seen(measured: Measured, *, opens_tells: bool = True, is_exact: bool = False) -> Seen:
    trust = Trust(opens_tells=opens_tells, is_exact=is_exact)
    return Seen(measured, decisions(), (), trust=trust)


@pytest.mark.parametrize("slope", [1.0, 0.5])
def test_the_slope_is_the_planted_one_and_half_of_it_is_seen(slope: float) -> None:
    measured, drawn = planted(slope)
    runs = {("affine", "m"): seen(at_draws(measured, drawn.counts))}
    none, up = calibrate(runs, [drawn], BOOTSTRAP)
    for row, expected in ((none, 1.0), (up, slope)):
        assert row.slope.value == pytest.approx(expected, abs=0.06)
        assert row.slope.low is not None and row.slope.low < expected < (row.slope.high or 0)
        assert row.r2.value is not None and row.r2_ceiling is not None
        assert row.r2.value == pytest.approx(row.r2_ceiling, abs=0.05)
    assert up.slope_of_baseline.value == pytest.approx(slope, abs=0.1)


def test_rows_are_shares_of_draws_with_what_openers_cover() -> None:
    measured, drawn = planted(0.5)
    runs = {("affine", "m"): seen(at_draws(measured, drawn.counts))}
    none, up = tabulate_drawn(runs, [drawn], CASES, BOOTSTRAP)
    assert (none.n_draws, none.n_decisions, none.coverage.value) == (N * DRAWS, N, 0.5)
    assert up.effect.value == pytest.approx(0.5 * 0.65 - 0.2, abs=0.02)


def test_draws_are_p_back_where_nothing_reads_it_exactly_and_openers_do_not_stand_in() -> None:
    measured, drawn = planted(0.5)
    (filled,) = with_drawn([measured], [drawn])
    run = seen(filled)
    assert run.endpoint == "P_back" and run.p(UP, CASE).mean() == pytest.approx(0.325, abs=0.02)
    assert run.flaw == "" and run.null_effects(UP, CASE, "isotropic") == ()
    bounded = seen(filled, is_exact=True)
    assert bounded.p(NULL, CASE).mean() == pytest.approx(0.5, abs=0.02)
    assert seen(measured, opens_tells=False).flaw == "openers"
    exact = {P_BACK: Array("decisions", np.zeros((3, N)))}
    known = replace(measured, arrays={**measured.arrays, **exact})
    assert with_drawn([known], [drawn]) == [known]


def test_an_interval_of_draws_is_not_that_of_openers_under_directions_estimated_again() -> None:
    """P(an opener) rises by 0.4 under each of them, and what is drawn does not move."""
    measured, _ = planted(0.0)
    place = Place("base", "matched", (0, 0), 0)
    up = replace(UP, place=place)
    again = [replace(up, name=f"again_{k}", group=RETRAINED) for k in range(5)]
    opens = measured.values(P_OPEN)
    arrays = {
        P_OPEN: Array("decisions", np.stack([opens[0], opens[0], *[opens[0] + 0.4] * 5])),
        P_BACK: Array("decisions", np.vstack([np.full((2, N), 0.2), np.full((5, N), np.nan)])),
        P_LEGAL: Array("decisions", np.ones((7, N))),
    }
    run = seen(Measured("m", "affine", (baseline(), up, *again), arrays, NAMES))
    found = mean_change(run, up, CASE, BOOTSTRAP)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_two_runs_are_compared_at_the_same_decisions_alone() -> None:
    measured, drawn = planted(0.5)
    (filled,) = with_drawn([measured], [drawn])
    other = replace(filled, decisions=NAMES[::-1])
    with pytest.raises(ValueError, match="read at other decisions"):
        excess((seen(filled), UP), (seen(other), UP), CASE, BOOTSTRAP)


def test_parts_are_joined_decision_by_decision() -> None:
    _, drawn = planted(1.0)
    parts = []
    for some in (slice(0, 100), slice(100, N)):
        arrays = {
            name: Array("decisions", one.values[:, some])
            for name, one in drawn.counts.arrays.items()
        }
        counts = replace(drawn.counts, arrays=arrays, decisions=NAMES[some])
        parts.append(Drawn(counts, ()))
    again = joined(parts).counts
    assert again.decisions == NAMES
    np.testing.assert_array_equal(again.values(N_TURNED), drawn.counts.values(N_TURNED))

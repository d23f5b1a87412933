"""Tables of ablations: planted changes are found, corrected over components, kind by kind."""

import numpy as np
import pytest
from planted_runs import numbers

from backtracking.effects.components import tabulate, tabulate_elsewhere, tabulate_forced
from backtracking.records import reader
from backtracking.records.decisions import Decisions
from backtracking.records.measured import Arm, Array, Measured, Where, baseline
from backtracking.records.rows.components import AblatedForced
from backtracking.records.sentences import Decision, Kind, Truth
from backtracking.records.traces import Trace
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(200, 0.95, 0)
KINDS = (Kind("stuck", "dead", True), Kind("lost", "dead", False), Kind("open", "live", False))
N_PROBLEMS, N_LAYERS = 9, 3
WHERES: tuple[Where, ...] = ("decision", "other")


def arm(layer: int, where: Where) -> Arm:
    return Arm(
        f"mlp.{layer}", "mlp", where=where, edit="ablate", layer=layer, component="mlp",
        value="mean",
    )  # fmt: skip


ARMS = (baseline(), *(arm(layer, where) for layer in range(N_LAYERS) for where in WHERES))
PLANTED, SILENT = arm(1, "decision"), arm(2, "decision")


def decide(kinds: tuple[Kind, ...] = KINDS) -> Decisions:
    """Three decisions a trace, two traces a problem; of the kinds, `lost` occurs nowhere."""
    traces, records = [], []
    for number in range(2 * N_PROBLEMS):
        problem = f"p{number // 2}"
        traces.append(Trace(f"{problem}/{number}", problem, "test", number, [1], [2], "", "", {}))
        for at, kind in enumerate(("stuck", "open", "stuck")):
            truth = Truth(kind=kind) if kinds else None
            records.append(
                Decision(
                    f"{problem}/{number}", problem, "test", at, at, at, "deduction", None, truth
                )
            )
    return Decisions.gather(records, traces, kinds)


@pytest.fixture(scope="module")
def measured() -> Measured:
    """One arm lowers P where the search is stuck, one changes nothing, the others are noise."""
    rng, decisions = np.random.default_rng(0), decide()
    p = rng.uniform(0.4, 0.6, len(decisions)) + rng.normal(0, 0.01, (len(ARMS), len(decisions)))
    p[ARMS.index(PLANTED), decisions.kind == "stuck"] -= 0.3
    p[ARMS.index(SILENT)] = p[0]
    kl = rng.uniform(0.1, 0.2, p.shape)
    kl_other, elsewhere = kl + 1, rng.uniform(0, 0.1, (len(ARMS), 2 * N_PROBLEMS))
    kl_other[:, ::5] = np.nan
    arrays = {
        "p_open": Array("decisions", p),
        "kl_decision": Array("decisions", kl),
        "kl_other": Array("decisions", kl_other),
        "kl_elsewhere": Array("prefixes", elsewhere),
    }
    prefixes = tuple(dict.fromkeys(decisions.trace_id.tolist()))
    return Measured("reasoning", "test", ARMS, arrays, tuple(decisions.ids), prefixes)


def row_of(rows: list[AblatedForced], arm: Arm, kind: str) -> AblatedForced:
    wanted = (arm.name, arm.where, kind)
    (row,) = [r for r in rows if (r.ablated.component, r.ablated.place, r.kind) == wanted]
    return row


def test_the_planted_change_is_found_where_it_is_and_is_significant(measured: Measured) -> None:
    rows = tabulate_forced(measured, decide(), BOOTSTRAP)
    assert [row.kind for row in rows] == ["stuck"] * (len(ARMS) - 1) + ["open"] * (len(ARMS) - 1)
    row = row_of(rows, PLANTED, "stuck")
    assert row.change.value == pytest.approx(-0.3, abs=0.02) and numbers(row.change)[2] < -0.25
    assert row.p < 0.05 and (row.change.n, row.n_decisions) == (N_PROBLEMS, 4 * N_PROBLEMS)
    assert row.baseline == pytest.approx(0.5, abs=0.05)
    assert row_of(rows, PLANTED, "open").p > 0.05


def test_an_arm_that_changes_nothing_has_a_change_of_0_and_p_1(measured: Measured) -> None:
    row = row_of(tabulate_forced(measured, decide(), BOOTSTRAP), SILENT, "stuck")
    assert (row.change.value, row.change.low, row.change.high, row.p) == (0, 0, 0, 1)


def test_kl_is_of_the_places_where_the_component_was_taken_away(measured: Measured) -> None:
    rows = tabulate_forced(measured, decide(), BOOTSTRAP)
    for row in rows:
        low, high = (0.1, 0.2) if row.ablated.place == "decision" else (1.1, 1.2)
        value, lower, higher = numbers(row.kl)
        assert low < lower <= value <= higher < high


def test_changes_elsewhere_have_a_row_for_every_arm_by_the_problem_of_its_trace(
    measured: Measured,
) -> None:
    rows = tabulate_elsewhere(measured, decide(), BOOTSTRAP)
    assert len(rows) == len(ARMS) - 1 and {row.kl.n for row in rows} == {N_PROBLEMS}
    expected = measured.values("kl_elsewhere")[1:].mean(axis=1)
    np.testing.assert_allclose([numbers(row.kl)[0] for row in rows], expected)


def test_tables_have_the_test_runs_alone_in_the_order_of_the_targets(measured: Measured) -> None:
    runs = [
        Measured(target, run, measured.arms, measured.arrays, measured.decisions, measured.prefixes)
        for target in ("a", "b")
        for run in ("dev", "test")
    ]
    found = tabulate(("b", "a", "c"), runs, decide(), [], BOOTSTRAP, 0.5)
    for name in ("forced", "elsewhere"):
        targets = [row["target"] for row in reader.encode(found[name])]
        assert list(dict.fromkeys(targets)) == ["b", "a"]
    assert len(found["forced"]) == 2 * 2 * (len(ARMS) - 1)


def test_where_no_kind_is_known_there_is_no_row_of_kinds(measured: Measured) -> None:
    found = tabulate(("reasoning",), [measured], decide(()), [], BOOTSTRAP, 0.5)
    assert found["forced"] == found["free"] == found["evidence"] == []
    assert len(found["elsewhere"]) == len(ARMS) - 1

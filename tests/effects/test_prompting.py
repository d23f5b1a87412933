"""What an instruction changes, at the decisions that both runs have, whatever their order."""

import numpy as np
import pytest
from planted_runs import arm, cases, decisions_of, plant

from backtracking.claims.verdicts import judge_prompting
from backtracking.effects.prompting import prompted_change
from backtracking.effects.seen import Seen
from backtracking.records.measured import baseline
from backtracking.report.because import because
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(100, 0.95, 0)
KINDS = ["alive", "over"] * 8
PROBLEMS = [f"p{number // 2}" for number in range(16)]


def read(p: np.ndarray, rows: list[int] | None = None) -> Seen:
    decisions = decisions_of(KINDS, PROBLEMS)
    kept = list(range(16)) if rows is None else rows
    return plant([baseline(), arm("base", 1.0)], np.stack([p, p + 0.5])[:, kept],
                 decisions[np.array(kept)])  # fmt: skip


@pytest.mark.parametrize(("rises", "verdict"), [(0.2, "holds"), (0.0, "fails"), (-0.1, "fails")])
def test_the_change_is_paired_by_decision_and_has_to_be_above_0(rises: float, verdict: str) -> None:
    p = np.linspace(0.1, 0.3, 16)
    plain, prompted = read(p), read(p + rises, [12, 3, 2, 0, 7, 4])
    found = prompted_change(plain, prompted, cases(plain).live, BOOTSTRAP)
    assert found.value == pytest.approx(rises) and found.n == 4
    row = judge_prompting("reasoning", "alive", "P_open", found)
    assert (row.claim, row.finding.target, row.finding.verdict) == (
        "prompting",
        "reasoning",
        verdict,
    )
    assert verdict == "holds" or "down to chance" in because(row.finding)


def test_without_such_a_run_it_is_untestable() -> None:
    plain = read(np.full(16, 0.2))
    found = prompted_change(plain, None, cases(plain).live, BOOTSTRAP)
    assert judge_prompting("reasoning", "alive", "P_open", found).finding.verdict == "untestable"

"""Which components backtracking depends on: tables of ablations, corrected over components."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from backtracking.effects.without_components import Run, tabulate_runs
from backtracking.records.decisions import Decisions
from backtracking.records.measured import P_OPEN, Arm, Measured
from backtracking.records.rows.components import Ablated, AblatedElsewhere, AblatedForced
from backtracking.records.rows.table import Row
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.multiplicity import familywise_p


def tabulate(
    targets: Sequence[str],
    measured: Sequence[Measured],
    decisions: Decisions,
    runs: Sequence[Run],
    bootstrap: Bootstrap,
    kept_share: float,
) -> dict[str, Sequence[Row]]:
    """All tables of the ablations, by name.

    Args:
        targets: roles of the models, in the order of the tables.
        measured: what stage `ablate` measured; only its run `test` is tabulated.
        decisions: all decisions of the study.
        runs: what it wrote, with the observations.
        bootstrap: of every interval.
        kept_share: of the whole model's solved problems and valid sentences, that has to be left.
    """
    by_target = {one.target: one for one in measured if one.run == "test"}
    test = [by_target[target] for target in targets if target in by_target]
    free, outcomes, evidence = tabulate_runs(runs, bootstrap, kept_share)
    return {
        "forced": [row for one in test for row in tabulate_forced(one, decisions, bootstrap)],
        "elsewhere": [row for one in test for row in tabulate_elsewhere(one, decisions, bootstrap)],
        "free": free,
        "outcomes": outcomes,
        "evidence": evidence,
    }


def tabulate_forced(
    measured: Measured, decisions: Decisions, bootstrap: Bootstrap
) -> list[AblatedForced]:
    """One row per arm and kind: the change of P(backtrack), and KL where it was taken away."""
    read = decisions[decisions.rows_of(measured.decisions)]
    p, at_decision, at_other = (
        measured.values(name) for name in (P_OPEN, "kl_decision", "kl_other")
    )
    is_at_decision = np.array([[arm.where == "decision"] for arm in measured.arms])
    kl = np.where(is_at_decision, at_decision, at_other)
    rows = []
    for kind in read.kinds():
        chosen = read.kind == kind
        problems = list(read.problem[chosen])
        change = (p[1:] - p[0])[:, chosen]
        intervals = bootstrap.intervals(change.T, problems)
        corrected = _corrected(measured.arms[1:], change, problems, bootstrap)
        divergences = bootstrap.intervals(kl[1:, chosen].T, problems)
        baseline = float(p[0, chosen].mean())
        told = zip(measured.arms[1:], intervals, corrected, divergences, strict=True)
        rows += [
            AblatedForced(
                _key(measured.target, arm), kind, baseline, one, p_, int(chosen.sum()), nats
            )
            for arm, one, p_, nats in told
        ]
    return rows


def tabulate_elsewhere(
    measured: Measured, decisions: Decisions, bootstrap: Bootstrap
) -> list[AblatedElsewhere]:
    """One row per arm: KL at generated positions that are no decision and no matched position."""
    read = decisions[decisions.rows_of(measured.decisions)]
    problem_by_trace = dict(zip(read.trace_id, read.problem, strict=True))
    problems = [problem_by_trace[trace] for trace in measured.prefixes]
    intervals = bootstrap.intervals(measured.values("kl_elsewhere")[1:].T, problems)
    return [
        AblatedElsewhere(_key(measured.target, arm), one)
        for arm, one in zip(measured.arms[1:], intervals, strict=True)
    ]


def _corrected(
    arms: Sequence[Arm],
    change: Float[np.ndarray, "arms decisions"],
    problems: Sequence[str],
    bootstrap: Bootstrap,
) -> list[float]:
    distinct, number = np.unique(np.asarray(problems), return_inverse=True)
    sums = np.zeros((len(distinct), len(arms)))
    np.add.at(sums, number, change.T)
    p = np.ones(len(arms))
    families = [(arm.value, arm.where) for arm in arms]
    for family in dict.fromkeys(families):
        columns = [column for column, other in enumerate(families) if other == family]
        p[columns] = familywise_p(sums[:, columns], bootstrap.n_resamples, bootstrap.seed)
    return p.tolist()


def _key(target: str, arm: Arm) -> Ablated:
    return Ablated(target, arm.name, arm.value, arm.where)

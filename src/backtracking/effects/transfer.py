"""Which model's direction steers which model: a matrix whose empty cells say why they are empty."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from backtracking.effects.rates import Rows, effect_of
from backtracking.effects.reports import shift_of
from backtracking.effects.seen import Cases, Seen
from backtracking.records.measured import MATCHED
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import Effect

NO_TEST = "no test"


def transfer_matrix(
    tests: Sequence[Seen],
    asked: Mapping[tuple[str, str], Seen],
    bases: Collection[str],
    cases: Cases,
    bootstrap: Bootstrap,
) -> Rows:
    """A cell for each source and target, at live decisions (dose 1) and at dead ones (dose -1).

    A base never backtracks, so that no effect in it is no evidence: its cells need a positive
    control, the same dose shifting its own report beyond random directions. Where that fails, or no
    report can be asked for, the verdict is `no test`.

    Args:
        tests: runs on test problems, one a target.
        asked: runs of questions, by target and by the case at which they were asked.
        bases: roles that never backtrack.
        cases: of decisions.
        bootstrap: resamples and level.
    """
    rows: Rows = []
    for seen in tests:
        for arm in (one for one in seen.main if one.group == MATCHED):
            for case, sign in cases.claimed:
                if not seen.has(case):
                    continue
                dosed = replace(arm, dose=float(sign))
                needs_control = seen.target in bases
                questions = asked.get((seen.target, case.name)) if needs_control else None
                effect = effect_of(seen, dosed, case, bootstrap)
                control = shift_of(questions, dosed, bootstrap)
                rows.append(
                    {"source": arm.name, "target": seen.target, "kind": case.name}
                    | {"dose": dosed.dose}
                    | cell(effect, control, needs_control=needs_control)
                )
    return rows


def cell(effect: Effect, control: Effect | None, *, needs_control: bool) -> dict[str, Any]:
    """The effect against random directions, its positive control, and the verdict."""
    passed = control is not None and control.exceeds_random() == "holds"
    return {
        **asdict(effect.interval),
        "random_bound": effect.bound,
        "p": effect.p,
        "control": None if control is None else _control(control),
        "verdict": NO_TEST if needs_control and not passed else effect.exceeds_random(),
    }


def _control(control: Effect) -> dict[str, Any]:
    return {
        **asdict(control.interval),
        "random_bound": control.bound,
        "p": control.p,
        "verdict": control.exceeds_random(),
    }

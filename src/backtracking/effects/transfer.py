"""Which model's direction steers which model: a matrix whose empty cells say why they are empty."""

from collections.abc import Collection, Mapping, Sequence

from backtracking.effects.rates import effect_of, share_of_ceiling
from backtracking.effects.reports import shift_of
from backtracking.effects.seen import Cases, Seen
from backtracking.records.intervals import Verdict
from backtracking.records.measured import MATCHED
from backtracking.records.rows.steering import Cell, Control
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import Effect


def transfer_matrix(
    tests: Sequence[Seen],
    asked: Mapping[tuple[str, str], Seen],
    bases: Collection[str],
    cases: Cases,
    bootstrap: Bootstrap,
) -> list[Cell]:
    """A cell for each source and target, at live decisions and, with the other sign, at dead ones.

    By the primary edit where it was run, else at dose 1 and -1.

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
    rows = []
    for seen in tests:
        for arm in (one for one in seen.main if one.group == MATCHED):
            for case, sign in cases.claimed:
                if not seen.has(case):
                    continue
                assert arm.place is not None
                dosed = seen.primary(arm.place.role, sign)
                if dosed is None:
                    continue
                needs_control = seen.target in bases
                questions = asked.get((seen.target, case.name)) if needs_control else None
                effect = effect_of(seen, dosed, case, bootstrap)
                control = shift_of(questions, dosed, bootstrap)
                rows.append(
                    Cell(
                        source=arm.name,
                        target=seen.target,
                        kind=case.name,
                        dose=dosed.dose,
                        edit=dosed.edit,
                        effect=effect.interval,
                        by_null=effect.bars,
                        legal=effect.legal,
                        of_ceiling=share_of_ceiling(seen, dosed, case, bootstrap),
                        control=None if control is None else _control(control),
                        verdict=judge(effect, control, needs_control=needs_control),
                    )
                )
    return rows


def judge(effect: Effect, control: Effect | None, *, needs_control: bool) -> Verdict:
    """The verdict on an effect: `no test` where a positive control is needed and does not pass."""
    passed = control is not None and control.verdict == "holds"
    return "no test" if needs_control and not passed else effect.verdict


def _control(found: Effect) -> Control:
    return Control(found.interval, found.bound, found.p, found.verdict)

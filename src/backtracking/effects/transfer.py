"""Which model's direction steers which model: a matrix whose empty cells say why they are empty."""

from collections.abc import Callable, Collection, Mapping, Sequence

from backtracking.effects.rates import effect_of
from backtracking.effects.reports import shift_of
from backtracking.effects.seen import Cases, Seen
from backtracking.records.intervals import Verdict
from backtracking.records.measured import MATCHED, Arm
from backtracking.records.rows.steering import Cell, Control
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import Effect


def transfer_matrix(
    tests: Sequence[Seen],
    judged: Callable[[str, str], Seen],
    asked: Mapping[tuple[str, str], Seen],
    bases: Collection[str],
    cases: Cases,
    bootstrap: Bootstrap,
) -> list[Cell]:
    """A cell for each source and target, at live decisions and, with the other sign, at dead ones.

    By the primary edit where that was run beside nulls, else at dose 1 and -1.

    A base never backtracks, so that no effect in it is no evidence: its cells need a positive
    control, the same dose shifting its own report beyond random directions. Where that fails, or no
    report can be asked for, the verdict is `no test`.

    Args:
        tests: runs on test problems, one a target.
        judged: the run in which a source is judged in a target, which come target first.
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
                where, dosed = _judged(seen, judged, arm.place.role, sign)
                if dosed is None:
                    continue
                needs_control = seen.target in bases
                questions = asked.get((seen.target, case.name)) if needs_control else None
                effect = effect_of(where, dosed, case, bootstrap)
                control = shift_of(questions, dosed, bootstrap)
                rows.append(
                    Cell(
                        source=arm.name,
                        target=seen.target,
                        kind=case.name,
                        dose=dosed.dose,
                        edit=dosed.edit,
                        effect=effect.interval,
                        by_null=effect.all_bars,
                        legal=effect.legal,
                        control=None if control is None else _control(control),
                        verdict=judge(effect, control, needs_control=needs_control),
                    )
                )
    return rows


def _judged(
    seen: Seen, judged: Callable[[str, str], Seen], source: str, sign: int
) -> tuple[Seen, Arm | None]:
    """The run and the arm by which a source is judged: of those with nulls the primary."""
    where = judged(seen.target, source)
    arm = where.primary(source, sign)
    has_null = arm is not None and where.null_names(arm)
    return (where, arm) if has_null else (seen, seen.along(source, float(sign)))


def judge(effect: Effect, control: Effect | None, *, needs_control: bool) -> Verdict:
    """The verdict on an effect: `no test` where a positive control is needed and does not pass."""
    passed = control is not None and control.verdict == "holds"
    return "no test" if needs_control and not passed else effect.verdict


def _control(found: Effect) -> Control:
    return Control(found.interval, found.bound, found.p, found.verdict)

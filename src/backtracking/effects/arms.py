"""All arms of the model under study beside every null, and the doses that break nothing."""

from collections.abc import Sequence
from itertools import takewhile

import numpy as np

from backtracking.effects.rates import tabulate
from backtracking.effects.seen import NULLS, Cases, Seen, is_baseline, key_of
from backtracking.records.intervals import Interval
from backtracking.records.measured import COSINE, RANDOM, RETRAINED, Arm
from backtracking.records.rows.arms import Compared, Untested
from backtracking.records.rows.choice import Usable, UsableDose, UsableWindow
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import Effect, is_legal

_REASON = "the study has no instruction to prompt with"


def compare_arms(seen: Seen, cases: Cases, bootstrap: Bootstrap) -> list[Compared]:
    """One row per arm and case at dose 1 and -1, beside its nulls and shuffled labels.

    An arm is held against the nulls at its own dose: a positive one against what 95 % of them stay
    below, a negative one against what 95 % stay above.
    """
    chosen = [arm for arm in seen.arms if is_baseline(arm) or _is_compared(arm)]
    found = {key_of(seen.target, arm): arm for arm in chosen}
    case_by_name = {case.name: case for case in cases.listed}
    rows = []
    for row in tabulate(seen.with_only(chosen), cases, bootstrap):
        arm, case = found[row.arm], case_by_name[row.kind]
        if not is_baseline(arm):
            nulls, sign = seen.nulls(arm, case), 1 if arm.dose > 0 else -1
            beside = seen.beside(arm, case)
            judged = Effect(row.effect, nulls, sign, row.legal, beside=beside, flaw=seen.flaw)
            cosine = float(seen.measured.values(COSINE, arm))
            told = None if np.isnan(cosine) else cosine
            verdict = judged.verdict if judged.bars else None
            rows.append(Compared(told, row, judged.all_bars, verdict))
    return rows


def untested_arms(target: str) -> list[Untested]:
    """The arms that cannot be run, with the reason."""
    return [Untested("prompting", target, "prompting", "no test", _REASON)]


def _is_compared(arm: Arm) -> bool:
    is_null = arm.group in (RANDOM, RETRAINED, *NULLS)
    return arm.where == "decision" and abs(arm.dose) == 1 and not is_null


def usable_doses(dev: Seen, min_agreement: float, bootstrap: Bootstrap) -> Usable:
    """The usable doses of every arm, and the window around 0 of each direction, on dev problems."""
    values, problems = dev.measured.values("agreement").T, list(dev.prefix_problem)
    intervals = bootstrap.intervals(values, problems) if problems else []
    doses = [
        _usable(dev, arm, one, min_agreement)
        for arm, one in zip(dev.arms, intervals, strict=False)
        if not is_baseline(arm) and arm.edit == "add"
    ]
    at_decisions = [one for one in doses if one.where == "decision"]
    windows = [
        _window(name, [one for one in at_decisions if one.direction == name])
        for name in dict.fromkeys(one.direction for one in doses)
    ]
    return Usable(min_agreement, tuple(doses), tuple(windows))


def _usable(dev: Seen, arm: Arm, agreement: Interval, least: float) -> UsableDose:
    legal = dev.legal(arm)
    stays = agreement.value is not None and agreement.value >= least
    return UsableDose(arm.name, arm.dose, arm.where, agreement, legal, stays and is_legal(legal))


def _window(direction: str, doses: Sequence[UsableDose]) -> UsableWindow:
    return UsableWindow(direction, _last_usable(doses, -1), _last_usable(doses, 1))


def _last_usable(doses: Sequence[UsableDose], sign: int) -> float:
    """The largest dose of a sign such that it and every smaller one is usable."""
    one_sided = sorted((one for one in doses if one.dose * sign > 0), key=lambda one: abs(one.dose))
    usable = list(takewhile(lambda one: one.usable, one_sided))
    return usable[-1].dose if usable else 0.0

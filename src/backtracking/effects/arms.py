"""All arms of the model under study beside two nulls, and the doses that leave the rest alone."""

from collections.abc import Sequence
from itertools import takewhile

import numpy as np

from backtracking.effects.rates import tabulate
from backtracking.effects.seen import Cases, Seen, is_baseline, key_of
from backtracking.records.intervals import Verdict
from backtracking.records.measured import COSINE, RANDOM, SHUFFLED, Arm
from backtracking.records.rows.arms import Compared, Forced, Untested
from backtracking.records.rows.choice import Usable, UsableDose, UsableWindow
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import Effect

NULLS = (RANDOM, SHUFFLED)

_REASON = "the models read problems and take no prompts"


def compare_arms(seen: Seen, cases: Cases, bootstrap: Bootstrap) -> list[Compared]:
    """One row per arm and case at dose 1 and -1, against random directions and shuffled labels.

    An arm is held against the nulls at its own dose: a positive one against what 95 % of them stay
    below, a negative one against what 95 % stay above. `cosine` is to the model's own direction:
    one of shuffled labels, brought to the same norm, may well lie along it, where what tells the
    classes apart is most of what varies.
    """
    chosen = [arm for arm in seen.arms if is_baseline(arm) or _is_compared(arm)]
    found = {key_of(seen.target, arm): arm for arm in chosen}
    case_by_name = {case.name: case for case in cases.listed}
    null = {
        (group, case.name, dose): tuple(
            float(seen.change(arm, case).mean()) for arm in seen.nulls(dose, group)
        )
        for group in NULLS
        for case in cases.listed
        for dose in (1.0, -1.0)
        if seen.has(case)
    }
    rows = []
    for row in tabulate(seen.with_only(chosen), cases, bootstrap):
        arm, case = found[row.arm], case_by_name[row.kind]
        if not is_baseline(arm):
            random, shuffled = (_beside(row, null[one, case.name, arm.dose]) for one in NULLS)
            cosine = float(seen.measured.values(COSINE, arm))
            told = None if np.isnan(cosine) else cosine
            rows.append(Compared(arm.group, told, row, *random, *shuffled))
    return rows


def untested_arms(target: str) -> list[Untested]:
    """The arms that cannot be run, with the reason."""
    return [Untested("prompting", target, "prompting", "no test", _REASON)]


def _is_compared(arm: Arm) -> bool:
    return arm.where == "decision" and abs(arm.dose) == 1 and arm.group != RANDOM


def _beside(
    row: Forced, null: tuple[float, ...]
) -> tuple[float | None, float | None, Verdict | None]:
    """Bound, p and verdict of an arm beside a null; nothing where there is none."""
    effect = Effect(row.effect, null, 1 if row.arm.dose > 0 else -1)
    return effect.bound, effect.p, effect.exceeds_random() if null else None


def usable_doses(dev: Seen, min_agreement: float, bootstrap: Bootstrap) -> Usable:
    """The usable doses of every arm, and the window around 0 of each direction, on dev problems."""
    values, problems = dev.measured.values("agreement").T, list(dev.prefix_problem)
    intervals = bootstrap.intervals(values, problems) if problems else []
    doses = [
        UsableDose(
            arm.name, arm.dose, arm.where, one, one.value is not None and one.value >= min_agreement
        )
        for arm, one in zip(dev.arms, intervals, strict=False)
        if not is_baseline(arm)
    ]
    at_decisions = [one for one in doses if one.where == "decision"]
    windows = [
        _window(name, [one for one in at_decisions if one.direction == name])
        for name in dict.fromkeys(one.direction for one in doses)
    ]
    return Usable(min_agreement, tuple(doses), tuple(windows))


def _window(direction: str, doses: Sequence[UsableDose]) -> UsableWindow:
    return UsableWindow(direction, _last_usable(doses, -1), _last_usable(doses, 1))


def _last_usable(doses: Sequence[UsableDose], sign: int) -> float:
    """The largest dose of a sign such that it and every smaller one is usable."""
    one_sided = sorted((one for one in doses if one.dose * sign > 0), key=lambda one: abs(one.dose))
    usable = list(takewhile(lambda one: one.usable, one_sided))
    return usable[-1].dose if usable else 0.0

"""Whole generations without the components that backtracking depends on, against random ones.

An ablation that breaks the model also stops it from backtracking. So solved problems and valid
sentences stand beside it, and the same for other components of the same kinds.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from backtracking.effects.rollouts import Observed
from backtracking.effects.seen import NO_INTERVAL
from backtracking.records.intervals import Interval, Verdict
from backtracking.records.measured import BASELINE
from backtracking.records.rollouts import Rollouts
from backtracking.records.rows.claims import Evidence, Finding
from backtracking.records.rows.components import (
    AblatedFree,
    Outcome,
    Specific,
    SpecificVerdict,
    TopOutcome,
)
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.nulls import random_direction_p

Run = tuple[Rollouts, Mapping[str, Observed]]
"""Rollouts with what is observed of them, by measure."""

JUDGED = ("backtracking_rate", "solve_rate", "conditional_validity")
"""What the verdict is made of: all have to be measured."""


def tabulate_runs(
    runs: Sequence[Run], bootstrap: Bootstrap, kept_share: float
) -> tuple[list[AblatedFree], list[TopOutcome], list[Specific]]:
    """Whole generations: every measure of every run; outcomes, and evidence, of every top set."""
    runs = [(run, with_any(observed)) for run, observed in runs]
    free, outcomes, evidence = [], [], []
    for run, observed in runs:
        free += [
            AblatedFree(run.target, run.name, _names(run), name, _level(one, bootstrap))
            for name, one in observed.items()
        ]
    for run, observed in runs:
        if run.group != "top":
            continue
        own = [one for one in runs if one[0].target == run.target]
        (baseline,) = (found for other, found in own if other.group == BASELINE)
        randoms = [
            found
            for other, found in own
            if other.group == "random" and len(other.arms) == len(run.arms)
        ]
        compared = compare(baseline, observed, randoms, bootstrap)
        outcomes += [
            TopOutcome(run.target, len(run.arms), name, one) for name, one in compared.items()
        ]
        evidence.append(to_claim(run, compared, judge(compared, kept_share)))
    return free, outcomes, evidence


def with_any(observed: Mapping[str, Observed]) -> dict[str, Observed]:
    """Beside the share of sentences that backtrack, whether a rollout backtracks at all."""
    if "backtracking_rate" not in observed:
        return dict(observed)
    one = observed["backtracking_rate"]
    found: dict[str, float] = {}
    for value, problem in zip(one.values, one.problem_ids, strict=True):
        found[problem] = max(value, found.get(problem, 0.0))
    return {**observed, "backtracks_rate": Observed(list(found.values()), list(found))}


def compare(
    baseline: Mapping[str, Observed],
    chosen: Mapping[str, Observed],
    randoms: Sequence[Mapping[str, Observed]],
    bootstrap: Bootstrap,
) -> dict[str, Outcome]:
    """The outcome of every measure that all of these runs have."""
    names = [name for name in baseline if all(name in one for one in (chosen, *randoms))]
    return {
        name: _outcome(baseline[name], chosen[name], [one[name] for one in randoms], bootstrap)
        for name in names
    }


def judge(
    outcome_by_measure: Mapping[str, Outcome], kept_share: float
) -> tuple[SpecificVerdict, dict[str, bool]]:
    """Whether ablating the chosen components takes backtracking away and little else.

    `specific` needs all parts: backtracking falls, and by more than without each of the random
    sets; solved problems and valid sentences do not fall beyond the mean random set; and the
    lower bounds of both stay at `kept_share` of the whole model's or more, since random sets may
    break the model as well. `no effect` where backtracking does not fall; `untestable` where the
    whole model does not backtrack or solve, where there is no random set, or where a measure is
    missing.
    """
    if not set(JUDGED) <= set(outcome_by_measure):
        return "untestable", {}
    backtracking, *others = (outcome_by_measure[name] for name in JUDGED)
    does = all(_is_above(one.baseline, 0.0) for one in (backtracking, *others))
    if not does or not backtracking.excess_by_set:
        return "untestable", {}
    parts = {
        "falls": _is_below(backtracking.change, 0.0),
        "falls_beyond_each_random_set": all(
            _is_below(one, 0.0) for one in backtracking.excess_by_set
        ),
    }
    for name, one in zip(JUDGED[1:], others, strict=True):
        assert one.baseline.value is not None
        parts[f"{name}_not_beyond_random"] = not _is_below(one.excess, 0.0)
        parts[f"{name}_kept"] = _is_above(one.level, kept_share * one.baseline.value)
    if not parts["falls"]:
        return "no effect", parts
    return "specific" if all(parts.values()) else "unspecific", parts


def to_claim(
    run: Rollouts,
    outcome_by_measure: Mapping[str, Outcome],
    judged: tuple[SpecificVerdict, dict[str, bool]],
) -> Specific:
    """A row of claims.json: the run's components write backtracking, and not something all needs.

    `null` is the largest fall without a random set, and `p` the share of sets, the chosen one
    among them, that fall as far: with few sets it cannot be small.
    """
    outcome, parts = judged
    verdicts: dict[str, Verdict] = {"specific": "holds", "untestable": "untestable"}
    measured = outcome_by_measure.get(JUDGED[0])
    change = measured.change if measured else NO_INTERVAL
    random = [one.value for one in measured.random if one.value is not None] if measured else []
    lowest, p = None, None
    if random and change.value is not None:
        lowest = min(random)
        p = random_direction_p(-change.value, -np.array(random))
    finding = Finding.beside(
        verdicts.get(outcome, "fails"),
        change,
        lowest,
        p=p,
        parts={name: "holds" if part else "fails" for name, part in parts.items()},
        why=f"without {'+'.join(_names(run))}",
        target=run.target,
    )
    evidence = Evidence(
        claim="ablation_specific",
        contrast="backtracking sentences per sentence, whole generations: ablated - baseline",
        threshold="below 0 and below every random set; solved problems and valid sentences "
        "kept, and not below the random sets",
        kind="emergent",
        finding=finding,
    )
    return Specific(_names(run), evidence, outcome)


def _outcome(
    baseline: Observed, chosen: Observed, randoms: Sequence[Observed], bootstrap: Bootstrap
) -> Outcome:
    pooled = Observed(
        [value for one in randoms for value in one.values],
        [problem for one in randoms for problem in one.problem_ids],
    )
    return Outcome(
        baseline=_level(baseline, bootstrap),
        level=_level(chosen, bootstrap),
        change=_difference(chosen, baseline, bootstrap),
        excess=_difference(chosen, pooled, bootstrap),
        random=tuple(_difference(one, baseline, bootstrap) for one in randoms),
        excess_by_set=tuple(_difference(chosen, one, bootstrap) for one in randoms),
    )


def _level(observed: Observed, bootstrap: Bootstrap) -> Interval:
    return bootstrap.intervals(np.array(observed.values), observed.problem_ids)[0]


def _difference(first: Observed, second: Observed, bootstrap: Bootstrap) -> Interval:
    if not first.values or not second.values:
        return NO_INTERVAL
    values = [np.array(one.values) for one in (first, second)]
    found = bootstrap.differences(values[0], first.problem_ids, values[1], second.problem_ids)
    return found[0]


def _is_above(interval: Interval, bound: float) -> bool:
    return interval.low is not None and interval.low > bound


def _is_below(interval: Interval, bound: float) -> bool:
    return interval.high is not None and interval.high < bound


def _names(run: Rollouts) -> tuple[str, ...]:
    return tuple(arm.name for arm in run.arms)

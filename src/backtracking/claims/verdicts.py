"""Verdicts by code: what has to be true for a claim to hold, and whether it is."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from backtracking.effects.rates import Steered, excess, steered
from backtracking.effects.seen import NO_INTERVAL, Cases, Seen
from backtracking.effects.steering import Steering
from backtracking.records.choices import Choice
from backtracking.records.intervals import Interval, Verdict, above, all_of
from backtracking.records.rows.claims import Evidence, Finding
from backtracking.statistics.bootstrap import Bootstrap


def judge_steering(
    steering: Steering, false_claims: Mapping[str, Collection[str]], bootstrap: Bootstrap
) -> list[Evidence]:
    """Rows of claims.json: the primary endpoint, then causality and transfer in every pair.

    Args:
        steering: all runs.
        false_claims: of a control pair's model, what is false of it by construction and must fail.
        bootstrap: resamples and level.
    """
    tests = {role: steering.runs["test", role] for role in steering.pairs}
    rows = [_judge_first(tests, steering.pairs, steering.bases, steering.cases, bootstrap)]
    for role, base in steering.pairs.items():
        for name, source in (("causal", role), ("transfer", base)):
            found = steered(tests[role], source, steering.cases, bootstrap)
            must_fail = name in false_claims.get(role, ())
            rows.append(replace(judge_causal(found, name), must_fail=must_fail))
    return rows


def judge_repeat(steering: Steering, choice: Choice, bootstrap: Bootstrap) -> list[Evidence]:
    """The primary endpoint, causality and transfer in a further pair, at its own place."""
    controls = {role: base for role, base in steering.pairs.items() if role != steering.studied}
    pairs = {choice.model: choice.base} | controls
    tests = {role: steering.runs[choice.model, role] for role in pairs}
    cases, own = steering.cases, tests[choice.model]
    return [
        _judge_first(tests, pairs, steering.bases, cases, bootstrap),
        judge_causal(steered(own, choice.model, cases, bootstrap), "causal"),
        judge_causal(steered(own, choice.base, cases, bootstrap), "transfer"),
    ]


def _judge_first(
    tests: Mapping[str, Seen],
    pairs: Mapping[str, str],
    bases: Collection[str],
    cases: Cases,
    bootstrap: Bootstrap,
) -> Evidence:
    """The primary endpoint of the first pair beside the other pairs and the other bases."""
    (role, base), *controls = pairs.items()
    own = tests[role]

    def beyond(other: Seen, source: str) -> Interval:
        arms = own.along(base, 1.0), other.along(source, 1.0)
        if arms[0] is None or arms[1] is None:
            return NO_INTERVAL
        return excess((own, arms[0]), (other, arms[1]), cases.live, bootstrap)

    return judge_primary(
        steered(own, base, cases, bootstrap),
        {one: beyond(tests[one], source) for one, source in controls},
        {one: beyond(own, one) for one in sorted(set(bases) - {base})},
    )


def judge_causal(steered: Steered, name: str = "causal") -> Evidence:
    """The claim that a direction carries what the target backtracks on.

    It holds where the target tells dead ends from live points at all, where adding the direction
    makes it backtrack at live ones and where subtracting it stops it at dead ones, either more than
    95 % of random directions do.
    """
    parts: dict[str, Verdict] = {
        "tells_dead_from_alive": above(steered.contrast.low, 0.0),
        "raises": steered.raises.exceeds_random(),
        "lowers": steered.lowers.exceeds_random(),
    }
    return _evidence(
        name,
        steered,
        f"P(backtrack | {steered.live}) steered - baseline; "
        f"and P(backtrack | {steered.dead}) with minus sign",
        "contrast > 0; both effects off 0 and beyond 95 % of random directions",
        parts,
    )


def judge_primary(
    steered: Steered,
    excess_by_control: Mapping[str, Interval],
    excess_by_other_base: Mapping[str, Interval],
) -> Evidence:
    """The primary endpoint: the base's direction steers the reasoning model, and only there.

    Args:
        steered: the base's direction in the reasoning model.
        excess_by_control: its effect minus the same effect in each control pair.
        excess_by_other_base: its effect minus that of each other base's direction; may be empty
            where the study has no other base, which is then said in the row.
    """
    parts: dict[str, Verdict] = {"beyond_random": steered.raises.exceeds_random()}
    for kind, excesses in (("control", excess_by_control), ("base", excess_by_other_base)):
        for name, interval in excesses.items():
            parts[f"beyond_{kind}_{name}"] = above(interval.low, 0.0)
    if not excess_by_control:
        parts["beyond_controls"] = "untestable"
    return _evidence(
        "primary",
        steered,
        f"P(backtrack | {steered.live}), teacher-forced, decision, dose 1: steered - baseline",
        "beyond 95 % of random directions, every control pair and "
        f"{len(excess_by_other_base)} other bases",
        parts,
    )


def _evidence(
    claim: str, steered: Steered, contrast: str, threshold: str, parts: Mapping[str, Verdict]
) -> Evidence:
    effect, verdict = steered.raises, all_of(list(parts.values()))
    return Evidence(
        claim=claim,
        pair=f"{steered.direction} -> {steered.target}",
        contrast=contrast,
        threshold=threshold,
        kind="emergent",
        finding=Finding.beside(verdict, effect.interval, effect.bound, p=effect.p, parts=parts),
    )

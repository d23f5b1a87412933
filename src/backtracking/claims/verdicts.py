"""Verdicts by code: what has to be true for a claim to hold, and whether it is.

An effect counts where it is off 0 and at least `FLOOR`, beyond every null that it is held against,
and measured where the model still writes what may stand there; elsewhere the part is `no test`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from backtracking.effects.prompting import prompted_change
from backtracking.effects.rates import Steered, excess, steered
from backtracking.effects.seen import NO_INTERVAL, Seen
from backtracking.effects.steering import Steering
from backtracking.records.choices import Choice
from backtracking.records.intervals import Interval, Verdict, above, all_of
from backtracking.records.measured import CONTROL, PROMPTED, Arm
from backtracking.records.rows.claims import Evidence, Finding
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import FLOOR, MIN_LEGAL, Effect, is_legal


@dataclass(frozen=True)
class Known:
    """What is true and what is false of pairs by construction, by the role of a pair's model.

    Attributes:
        false: claims that must fail there.
        true: claims that must hold there: the positive control.
        untrained: forms of the controls without training that the study asks for.
    """

    false: Mapping[str, Collection[str]] = field(default_factory=dict)
    true: Mapping[str, Collection[str]] = field(default_factory=dict)
    untrained: Sequence[str] = ()

    def mark(self, row: Evidence, role: str) -> Evidence:
        """A row of a pair with what has to become of it."""
        must_fail, must_hold = (row.claim in one.get(role, ()) for one in (self.false, self.true))
        return replace(row, must_fail=must_fail, must_hold=must_hold)

    def negative(self, pairs: Mapping[str, str]) -> dict[str, str]:
        """The pairs that the studied one has to exceed: all but those to which a base transfers."""
        return {
            role: base for role, base in pairs.items() if "transfer" not in self.true.get(role, ())
        }


def judge_steering(steering: Steering, known: Known, bootstrap: Bootstrap) -> list[Evidence]:
    """Rows of claims.json: the primary endpoint, then causality and transfer in every pair, then
    what an instruction does, where there is one.

    Args:
        steering: all runs.
        known: what must fail and hold.
        bootstrap: resamples and level.
    """
    first = _judge_first(steering, steering.pairs, None, known, bootstrap)
    rows = [known.mark(first, steering.studied)]
    for role, base in steering.pairs.items():
        for name, source in (("causal", role), ("transfer", base)):
            found = _steered(steering, role, source, None, bootstrap)
            rows.append(known.mark(judge_causal(found, name), role))
    if prompted := steering.find(PROMPTED):
        found = prompted_change(steering.plain, prompted, steering.cases.live, bootstrap)
        row = judge_prompting(steering.studied, steering.cases.live.name, prompted.endpoint, found)
        rows.append(known.mark(row, steering.studied))
    return rows


def judge_prompting(target: str, live: str, endpoint: str, change: Interval) -> Evidence:
    """The claim that the model can be told to backtrack: where it cannot, no direction may either.

    Args:
        target: role of the model.
        live: the decisions, in words.
        endpoint: what is read there.
        change: with the instruction, no edit.
    """
    verdict = above(change.low, 0.0)
    parts = {"above_0": verdict}
    finding = Finding.beside(verdict, change, parts=parts, direction=PROMPTED, target=target)
    contrast = f"{endpoint} at {live}, behind a prompt with the instruction, - without"
    return Evidence("prompting", contrast, "above 0", "emergent", finding)


def judge_repeat(
    steering: Steering, choice: Choice, known: Known, bootstrap: Bootstrap
) -> list[Evidence]:
    """The primary endpoint, causality and transfer in a further pair, at its own place."""
    controls = {role: base for role, base in steering.pairs.items() if role != steering.studied}
    pair, pairs = choice.model, {choice.model: choice.base} | controls
    own, base = (
        _steered(steering, pair, source, pair, bootstrap) for source in (pair, choice.base)
    )
    return [
        _judge_first(steering, pairs, pair, known, bootstrap),
        judge_causal(own, "causal"),
        judge_causal(base, "transfer"),
    ]


def _steered(
    steering: Steering, target: str, source: str, pair: str | None, bootstrap: Bootstrap
) -> Steered:
    """A source's direction in a target, in the runs in which it is judged."""
    seen, patched = steering.judged(target, source, pair), steering.patched(target, pair)
    return steered(seen, source, steering.cases, bootstrap, patched)


@dataclass(frozen=True)
class Excess:
    """How far an effect exceeds another one, which counts where that one could be measured.

    Attributes:
        interval: of the paired difference.
        legal: of the other arm, as in `Effect`.
    """

    interval: Interval
    legal: float | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether the difference is above 0."""
        return above(self.interval.low, 0.0) if is_legal(self.legal) else "no test"


def _judge_first(
    steering: Steering,
    pairs: Mapping[str, str],
    pair: str | None,
    known: Known,
    bootstrap: Bootstrap,
) -> Evidence:
    """The primary endpoint of the first pair beside control pairs, other bases, other directions.

    Args:
        steering: all runs.
        pairs: role of the model and of the base, the judged pair first.
        pair: of a further pair its model, at whose place all of that was run.
        known: what must fail and hold.
        bootstrap: resamples and level.
    """
    (role, base), cases = next(iter(pairs.items())), steering.cases
    own = steering.judged(role, base, pair)
    arm = own.primary(base, 1)

    def beyond(target: str, source: str) -> Excess:
        other = steering.judged(target, source, pair)
        its = other.primary(source, 1)
        return over(other, its) if its and arm and its.edit == arm.edit else Excess(NO_INTERVAL)

    def over(other: Seen, its: Arm) -> Excess:
        assert arm is not None
        found = excess((own, arm), (other, its), cases.live, bootstrap)
        return Excess(found, other.legal(its, cases.live))

    without = own.like(arm, CONTROL) if arm else []
    forms = {one.place.form for one in without if one.place}
    lacking = dict.fromkeys((one for one in known.untrained if one not in forms), NO_INTERVAL)
    controls = {one: source for one, source in known.negative(pairs).items() if one != role}
    return judge_primary(
        _steered(steering, role, base, pair, bootstrap),
        {one: beyond(one, source) for one, source in controls.items()},
        {one: beyond(role, one) for one in sorted(set(steering.bases) - {base})},
        {one.name: over(own, one) for one in without}
        | {form: Excess(interval) for form, interval in lacking.items()},
    )


def judge_causal(steered: Steered, name: str = "causal") -> Evidence:
    """The claim that a direction carries what the target backtracks on.

    It holds where the target tells dead ends from live points at all, where the direction makes it
    backtrack at live ones and stops it at dead ones, either beyond every null and by `FLOOR`.
    """
    parts: dict[str, Verdict] = {
        "tells_dead_from_alive": above(steered.contrast.low, 0.0),
        **_parts_of("raises", steered.raises),
        **_parts_of("lowers", steered.lowers),
    }
    return _evidence(
        name,
        steered,
        f"{steered.endpoint} at {steered.live}, direction {steered.how}, - baseline; and the "
        f"reverse at {steered.dead}",
        f"contrast above 0; both effects {_threshold(steered.raises)}",
        parts,
        (steered.raises, steered.lowers),
    )


def judge_primary(
    steered: Steered,
    excess_by_control: Mapping[str, Excess],
    excess_by_other_base: Mapping[str, Excess],
    excess_by_direction: Mapping[str, Excess] = MappingProxyType({}),
) -> Evidence:
    """The primary endpoint: the base's direction steers the model under study, and only there.

    Where its arm breaks that model, nothing is compared: it would fall short for no reason of the
    direction, and the claim would fail instead of being no test.

    Args:
        steered: the base's direction in the model under study.
        excess_by_control: its effect minus the same effect in each control pair.
        excess_by_other_base: its effect minus that of each other base's direction; may be empty
            where the study has no other base, which is then said in the row.
        excess_by_direction: the same of each control without training: a direction of the base that
            is none of what is claimed, and moves decisions as far.
    """
    parts = dict(steered.raises.parts)
    parts["reaches_floor"] = steered.raises.is_large
    compared = (
        ("control", excess_by_control),
        ("base", excess_by_other_base),
        ("direction", excess_by_direction),
    )
    for kind, excesses in compared if is_legal(steered.raises.legal) else ():
        for name, one in excesses.items():
            parts[f"beyond_{kind}_{name}"] = one.verdict
    if not excess_by_control and not excess_by_direction:
        parts["beyond_controls"] = "untestable"
    return _evidence(
        "primary",
        steered,
        f"{steered.endpoint} at {steered.live}, teacher-forced, direction {steered.how}, "
        "- baseline",
        f"{_threshold(steered.raises)}; above every control pair's and "
        f"{len(excess_by_other_base)} other bases'{_and_directions(len(excess_by_direction))}",
        parts,
        (steered.raises,),
    )


def _parts_of(name: str, effect: Effect) -> dict[str, Verdict]:
    """What an effect has to be: off 0, beyond each null, and as large as a claim needs."""
    found: dict[str, Verdict] = {
        f"{name}_{part}": verdict for part, verdict in effect.parts.items()
    }
    found[f"{name}_reaches_floor"] = effect.is_large
    return found


def _and_directions(n: int) -> str:
    return f", and that of {n} directions without training" if n else ""


def _threshold(effect: Effect) -> str:
    nulls = ", ".join(f"{bar.k} {name}" for name, bar in effect.bars.items()) or "any null"
    return (
        f"off 0, of at least {FLOOR:g}, beyond 95 % of directions of each null ({nulls}), where "
        f"P_legal is at least {MIN_LEGAL:g}"
    )


def _evidence(
    claim: str,
    steered: Steered,
    contrast: str,
    threshold: str,
    parts: Mapping[str, Verdict],
    judged: tuple[Effect, ...],
) -> Evidence:
    effect = steered.raises
    p = [one.p for one in judged]
    legal = [one.legal for one in judged if one.legal is not None]
    finding = Finding.beside(
        all_of([*parts.values()]),
        effect.interval,
        effect.bound,
        p=None if None in p else max(one for one in p if one is not None),
        parts=parts,
        direction=steered.direction,
        target=steered.target,
        nulls=effect.all_bars,
        legal=min(legal, default=None),
        of_ceiling=steered.of_ceiling,
        log_odds=steered.log_odds,
        resampled=effect.resampled if effect.interval.value is not None else "",
    )
    return Evidence(claim, contrast, threshold, "emergent", finding)

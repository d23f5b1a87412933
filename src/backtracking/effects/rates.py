"""Effects of steering: rates at each kind of decision point, paired, with intervals by problem."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from backtracking.claims.verdicts import Steered
from backtracking.effects.dose_response import DoseResponse, peak_dose, respond
from backtracking.models.forced import Forced
from backtracking.models.generation import Where
from backtracking.statistics.bootstrap import Bootstrap, Interval
from backtracking.statistics.effect import Effect

KINDS = ("over", "exhausted", "doomed", "alive")


@dataclass(frozen=True)
class Label:
    """What an arm is.

    Attributes:
        direction: name of the direction; `baseline` and `random_<k>` among them.
        dose: in multiples of the reference norm, signed.
        where: positions at which it is added.
    """

    direction: str
    dose: float
    where: Where


BASELINE = Label("baseline", 0.0, "decision")


@dataclass(frozen=True)
class Measured:
    """A target's forced runs with what their rows and columns are.

    Attributes:
        target: role of the model.
        labels: what each arm is, the baseline first.
        forced: what the arms predict.
        kind, problem: of each decision.
        prefix_problem: of each prefix.
    """

    target: str
    labels: Sequence[Label]
    forced: Forced
    kind: Shaped[np.ndarray, " decisions"]
    problem: Shaped[np.ndarray, " decisions"]
    prefix_problem: Sequence[str]

    def p(self, label: Label, kind: str) -> np.ndarray:
        """P(backtrack) at the decisions of a kind, under one arm."""
        return self.forced.p_marked[self.labels.index(label), self.kind == kind]

    def randoms(self, dose: float, prefix: str = "random_") -> list[Label]:
        """The random directions at a dose, or those of another null with names of its own."""
        return [
            label
            for label in self.labels
            if label.direction.startswith(prefix) and label.dose == dose
        ]

    def with_only(self, arms: Sequence[int]) -> "Measured":
        """Some of the arms, by number; the baseline has to be among them, first."""
        forced = Forced(*(getattr(self.forced, one.name)[arms] for one in fields(Forced)))
        return replace(self, labels=[self.labels[arm] for arm in arms], forced=forced)

    def with_arms_of(self, other: "Measured") -> "Measured":
        """These arms, and then the other's without its baseline, on the same decisions."""
        labels = [*self.labels, *other.labels[1:]]
        return replace(self, labels=labels, forced=self.forced.with_arms_of(other.forced))


def tabulate(measured: Measured, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """One row per arm and kind: P(backtrack) and its paired difference to the baseline."""
    rows = []
    for kind in KINDS:
        chosen: Bool[np.ndarray, " decisions"] = measured.kind == kind
        if not chosen.any():
            continue
        p = measured.forced.p_marked[:, chosen].T
        problems = list(measured.problem[chosen])
        levels = bootstrap.intervals(p, problems)
        effects = bootstrap.intervals(p - p[:, :1], problems)
        for label, level, effect in zip(measured.labels, levels, effects, strict=True):
            rows.append(
                {"target": measured.target, "kind": kind}
                | asdict(label)
                | asdict(level)
                | {f"effect_{key}": value for key, value in asdict(effect).items() if key != "n"}
                | {"n_decisions": int(chosen.sum())}
            )
    return rows


def tabulate_elsewhere(measured: Measured, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """One row per arm: what it changes at the positions that decide nothing.

    `wait_sentence_end` and `wait_mid_sentence` are paired differences of P(marker) to the baseline.
    """
    forced, problems = measured.forced, list(measured.prefix_problem)
    agreement = bootstrap.intervals(forced.agreement.T, problems)
    kl = bootstrap.intervals(forced.kl.T, problems)
    rows = [
        {"target": measured.target}
        | asdict(label)
        | {f"agreement_{key}": value for key, value in asdict(a).items()}
        | {"kl": b.value}
        for label, a, b in zip(measured.labels, agreement, kl, strict=True)
    ]
    for name, p in (
        ("wait_sentence_end", forced.p_sentence_end.T),
        ("wait_mid_sentence", forced.p_mid_sentence.T),
    ):
        changes = bootstrap.intervals(p - p[:, :1], problems)
        for row, level, change in zip(rows, p.T, changes, strict=True):
            row[name] = None if np.isnan(level).all() else float(np.nanmean(level))
            row |= {f"{name}_{key}": value for key, value in asdict(change).items() if key != "n"}
    return rows


def steered(measured: Measured, direction: str, bootstrap: Bootstrap) -> Steered:
    """What a direction does at dose 1, at decisions, against random directions of that norm."""
    return Steered(
        target=measured.target,
        direction=direction,
        contrast=_contrast(measured, bootstrap),
        raises=effect_of(measured, Label(direction, 1.0, "decision"), "alive", bootstrap),
        lowers=effect_of(measured, Label(direction, -1.0, "decision"), "over", bootstrap),
    )


def excess(
    first: tuple[Measured, Label], second: tuple[Measured, Label], kind: str, bootstrap: Bootstrap
) -> Interval:
    """An arm's effect in one target minus another's, there or elsewhere, on the same decisions."""
    change = [one.p(label, kind) - one.p(BASELINE, kind) for one, label in (first, second)]
    problems = list(first[0].problem[first[0].kind == kind])
    return bootstrap.intervals(change[0] - change[1], problems)[0]


def dose_response(
    test: Measured,
    dev: Measured,
    direction: str,
    kind: str,
    sign: int,
    min_agreement: float,
    bootstrap: Bootstrap,
) -> DoseResponse:
    """The curve of a direction at the decisions of a kind, beyond random directions.

    Args:
        test: the target's forced runs, with random directions at every dose.
        dev: the same on dev problems, by which the peak is chosen.
        direction: name of the direction.
        kind: kind of decision.
        sign: of the doses, and of the effect that is claimed: +1 or -1.
        min_agreement: of other predictions on dev, for a dose to be usable.
        bootstrap: resamples and level.
    """
    labels = [
        label
        for label in test.labels
        if (label.direction, label.where) == (direction, "decision") and label.dose * sign > 0
    ]
    labels.sort(key=lambda label: abs(label.dose))
    doses = np.array([abs(label.dose) for label in labels])
    on_test, on_dev = (
        sign * np.stack([_beyond_random(one, label, kind) for label in labels], axis=1)
        for one in (test, dev)
    )
    agreement = np.array(
        [np.nanmean(dev.forced.agreement[dev.labels.index(label)]) for label in labels]
    )
    peak = peak_dose(doses, on_dev.mean(axis=0), agreement >= min_agreement)
    problem, counts = np.unique(test.problem[test.kind == kind], return_inverse=True)
    sums = np.zeros((len(problem), len(doses)))
    np.add.at(sums, counts, on_test)
    return respond(doses, sums, np.bincount(counts).astype(float), peak, bootstrap)


def signs(measured: Measured, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """Share of problems whose own mean effect has the claimed sign, by arm at decisions.

    At `alive` a positive dose is claimed to raise P(backtrack), at `over` a negative one to lower
    it. A mean effect may be that of a few problems.
    """
    rows = []
    for kind, sign in (("alive", 1), ("over", -1)):
        chosen = measured.kind == kind
        if not chosen.any():
            continue
        problems, number = np.unique(measured.problem[chosen], return_inverse=True)
        for label in measured.labels:
            if label.where != "decision" or label.dose * sign <= 0:
                continue
            change = sign * (measured.p(label, kind) - measured.p(BASELINE, kind))
            by_problem = np.bincount(number, change) / np.bincount(number)
            (share,) = bootstrap.intervals((by_problem > 0).astype(float), list(problems))
            rows.append({"target": measured.target, "kind": kind} | asdict(label) | asdict(share))
    return rows


def _beyond_random(measured: Measured, label: Label, kind: str) -> np.ndarray:
    """P(backtrack) under an arm minus its mean over random directions at that dose."""
    randoms = [measured.p(other, kind) for other in measured.randoms(label.dose)]
    return measured.p(label, kind) - np.mean(randoms, axis=0)


def effect_of(
    measured: Measured,
    label: Label,
    kind: str,
    bootstrap: Bootstrap,
    random: tuple[float, ...] | None = None,
) -> Effect:
    """An arm's paired effect at the decisions of a kind, against random directions at its dose.

    A positive dose is claimed to raise P(backtrack), any other to lower it. `random` has the random
    directions' effects where they were measured elsewhere, at the same decisions.
    """
    baseline = measured.p(BASELINE, kind)
    problems = list(measured.problem[measured.kind == kind])
    (interval,) = bootstrap.intervals(measured.p(label, kind) - baseline, problems)
    if random is None:
        randoms = measured.randoms(label.dose)
        random = tuple(float((measured.p(other, kind) - baseline).mean()) for other in randoms)
    return Effect(interval, random, 1 if label.dose > 0 else -1)


def _contrast(measured: Measured, bootstrap: Bootstrap) -> Interval:
    """Baseline P(backtrack | over) minus P(backtrack | alive)."""
    p = measured.forced.p_marked[measured.labels.index(BASELINE)]
    columns = np.stack(
        [np.where(measured.kind == kind, p, np.nan) for kind in ("over", "alive")], axis=1
    )
    return bootstrap.intervals(columns, list(measured.problem), _difference)[0]


def _difference(means: np.ndarray) -> np.ndarray:
    return means[:, :1] - means[:, 1:]

"""Effects of steering: rates at each kind of decision point, paired, with intervals by problem."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from backtracking.claims import Effect, Steered
from backtracking.generation import Where
from backtracking.statistics import Bootstrap, Interval
from backtracking.steering import Forced

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

    def randoms(self, dose: float) -> list[Label]:
        """The random directions at a dose."""
        return [
            label
            for label in self.labels
            if label.direction.startswith("random_") and label.dose == dose
        ]


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
    """One row per arm: what it changes at the positions that decide nothing."""
    problems = list(measured.prefix_problem)
    agreement = bootstrap.intervals(measured.forced.agreement.T, problems)
    kl = bootstrap.intervals(measured.forced.kl.T, problems)
    return [
        {"target": measured.target}
        | asdict(label)
        | {f"agreement_{key}": value for key, value in asdict(a).items()}
        | {"kl": b.value}
        for label, a, b in zip(measured.labels, agreement, kl, strict=True)
    ]


def steered(measured: Measured, direction: str, bootstrap: Bootstrap) -> Steered:
    """What a direction does at dose 1, at decisions, against random directions of that norm."""
    return Steered(
        target=measured.target,
        direction=direction,
        contrast=_contrast(measured, bootstrap),
        raises=_effect(measured, Label(direction, 1.0, "decision"), "alive", bootstrap),
        lowers=_effect(measured, Label(direction, -1.0, "decision"), "over", bootstrap),
    )


def excess(
    first: tuple[Measured, Label], second: tuple[Measured, Label], kind: str, bootstrap: Bootstrap
) -> Interval:
    """An arm's effect in one target minus another's, there or elsewhere, on the same decisions."""
    change = [one.p(label, kind) - one.p(BASELINE, kind) for one, label in (first, second)]
    problems = list(first[0].problem[first[0].kind == kind])
    return bootstrap.intervals(change[0] - change[1], problems)[0]


def _effect(measured: Measured, label: Label, kind: str, bootstrap: Bootstrap) -> Effect:
    baseline = measured.p(BASELINE, kind)
    problems = list(measured.problem[measured.kind == kind])
    (interval,) = bootstrap.intervals(measured.p(label, kind) - baseline, problems)
    random = tuple(
        float((measured.p(other, kind) - baseline).mean()) for other in measured.randoms(label.dose)
    )
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

"""Which components backtracking depends on: tables of ablations, corrected over components."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from backtracking.interventions.components import Ablated, Arm, Component
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.multiplicity import familywise_p

DEAD = ("over", "exhausted")
"""Kinds at which the organism's policy backtracks."""


@dataclass(frozen=True)
class Effects:
    """A target's ablations with what their rows and columns are.

    Attributes:
        target: role of the model.
        arms: what each arm is.
        ablated: what the arms predict.
        kind, problem: of each decision.
        prefix_problem: of each prefix.
    """

    target: str
    arms: Sequence[Arm]
    ablated: Ablated
    kind: Shaped[np.ndarray, " decisions"]
    problem: Shaped[np.ndarray, " decisions"]
    prefix_problem: Sequence[str]


def tabulate(effects: Effects, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """One row per arm and kind: the change of P(backtrack), and KL where it was taken away.

    `p` is of the change, corrected over the components with the same value, place and kind.
    """
    rows = []
    for kind in ("over", "exhausted", "doomed", "alive"):
        chosen = effects.kind == kind
        if not chosen.any():
            continue
        change = _change(effects)[:, chosen]
        problems = list(effects.problem[chosen])
        intervals = bootstrap.intervals(change.T, problems)
        p = _corrected(effects.arms, change, problems, bootstrap)
        at = np.where(
            np.array([[arm.place == "decision"] for arm in effects.arms]),
            effects.ablated.kl_decision[:, chosen],
            effects.ablated.kl_other[:, chosen],
        )
        divergences = bootstrap.intervals(at.T, problems)
        baseline = float(effects.ablated.p_baseline[chosen].mean())
        for number, arm in enumerate(effects.arms):
            rows.append(
                _key(effects.target, arm)
                | {"kind": kind, "baseline": baseline}
                | asdict(intervals[number])
                | {"p": p[number], "n_decisions": int(chosen.sum())}
                | {f"kl_{key}": v for key, v in asdict(divergences[number]).items() if key != "n"}
            )
    return rows


def tabulate_elsewhere(effects: Effects, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """One row per arm: KL at generated positions that are no decision and no matched position."""
    intervals = bootstrap.intervals(effects.ablated.kl_elsewhere.T, list(effects.prefix_problem))
    return [
        _key(effects.target, arm) | asdict(one)
        for arm, one in zip(effects.arms, intervals, strict=True)
    ]


def rank(effects: Effects) -> list[dict[str, Any]]:
    """Components by how far their mean-ablation at decisions lowers P(backtrack | dead end).

    `fall` is that; `fall_other` the same where they are taken away at the matched other positions.
    """
    dead = np.isin(effects.kind, DEAD)
    fall = dict(zip(effects.arms, -_change(effects)[:, dead].mean(axis=1), strict=True))
    components = dict.fromkeys(arm.component for arm in effects.arms)
    rows = [
        {"component": one, "fall": float(fall[Arm(one, "mean", "decision")])}
        | {"fall_other": float(fall[Arm(one, "mean", "other")])}
        for one in components
    ]
    return sorted(rows, key=lambda row: (-row["fall"], row["component"]))


def _change(effects: Effects) -> Float[np.ndarray, "arms decisions"]:
    return effects.ablated.p_marked - effects.ablated.p_baseline


def _corrected(
    arms: Sequence[Arm], change: np.ndarray, problems: Sequence[str], bootstrap: Bootstrap
) -> list[float]:
    distinct, number = np.unique(np.asarray(problems), return_inverse=True)
    sums = np.zeros((len(distinct), len(arms)))
    np.add.at(sums, number, change.T)
    p = np.ones(len(arms))
    families = [(arm.value, arm.place) for arm in arms]
    for family in dict.fromkeys(families):
        columns = [column for column, other in enumerate(families) if other == family]
        p[columns] = familywise_p(sums[:, columns], bootstrap.n_resamples, bootstrap.seed)
    return p.tolist()


def _key(target: str, arm: Arm) -> dict[str, Any]:
    component: Component = arm.component
    return {
        "target": target,
        "component": component.name,
        "value_written": arm.value,
        "place": arm.place,
    }

"""Interventions on the models of a study: chosen on dev problems, run on test problems.

The pieces of the stage `steer`: which prefixes are read, at which layer and window, along which
directions, at which doses, and what comes out: teacher-forced, asked for a report, and set free.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backtracking.directions import estimator
from backtracking.domains.organism.grammar import BACKTRACKING_OPENERS, MARKER
from backtracking.effects.rates import BASELINE, Label, Measured
from backtracking.interventions.rollouts import Rollout, roll_out
from backtracking.models.forced import Arm, Prefix, teacher_force
from backtracking.models.loading import LoadedModel
from backtracking.records.moments import Moments, is_decision
from backtracking.records.traces import Problem, Trace
from backtracking.runtime.forks import run_side_by_side
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage import progress

FORCED_WHERES = ("decision", "generated", "all")


@dataclass(frozen=True)
class Plan:
    """How steering is measured.

    Attributes:
        doses: signed, in multiples of the norm of the reasoning model's matched direction at the
            chosen layer and window; 1 and -1 must be among them. At `generated` and `all`
            positions, and along random directions in other models than `reasoning`, these two
            alone are run.
        n_samples: traces of each test problem that are teacher-forced.
        n_random: random directions, teacher-forced.
        n_few_random: of them, on dev and at other doses than 1 and -1: there their mean counts.
        n_free_random: of them, in free runs.
        n_noise: arms that add a fresh random vector at every decision.
        n_reports: live decisions at which the model is asked to report over or under.
        min_agreement: least agreement of other predictions on dev for a layer to be usable.
        max_new_tokens: length at which free runs are cut.
        rows_per_batch: prefixes times arms in one call of the model.
        seed: of random directions and of free runs.
    """

    doses: tuple[float, ...]
    n_samples: int
    n_random: int
    n_few_random: int
    n_free_random: int
    n_noise: int
    n_reports: int
    min_agreement: float
    max_new_tokens: int
    rows_per_batch: int
    seed: int

    def __post_init__(self) -> None:
        if not {1.0, -1.0} <= set(self.doses) or 0.0 in self.doses:
            raise ValueError(f"doses {list(self.doses)} must hold 1 and -1, and not 0.")
        if not 0 < min(few := (self.n_few_random, self.n_free_random)) <= max(few) <= self.n_random:
            raise ValueError(
                "n_few_random and n_free_random must be 1 or more, and at most n_random."
            )
        counts = (self.n_samples, self.n_noise, self.n_reports, self.max_new_tokens)
        if min(*counts, self.rows_per_batch) < 1:
            raise ValueError(
                "n_samples, n_noise, n_reports, max_new_tokens, rows_per_batch must be 1 or more."
            )


@dataclass(frozen=True)
class Inputs:
    """What the stage reads.

    Attributes:
        model_by_role: base, reasoning and the control pairs' models.
        traces: traces of the reasoning model.
        moments: their sentences with exact labels.
        problems: the problems.
        direction_by_name: as in results/directions.
        residual_norm: mean norm of the residual stream by (role, layer).
        base_by_role: the pairs: role of each model that came from a base or is paired with one,
            `reasoning` first, and role of that base.
    """

    model_by_role: Mapping[str, LoadedModel]
    traces: Sequence[Trace]
    moments: Moments
    problems: Sequence[Problem]
    direction_by_name: Mapping[str, Tensor]
    residual_norm: Mapping[tuple[str, int], float]
    base_by_role: Mapping[str, str]

    @property
    def controls(self) -> list[str]:
        """Roles of the control pairs' models."""
        return [role for role in self.base_by_role if role != "reasoning"]

    @property
    def other_bases(self) -> list[str]:
        """Roles of bases that the reasoning model did not come from."""
        return sorted(set(self.base_by_role.values()) - {self.base_by_role["reasoning"]})

    @property
    def targets(self) -> list[str]:
        """Roles of the models that are steered: all, those of the pair under study first."""
        return [self.base_by_role["reasoning"], *self.base_by_role, *self.other_bases]

    def is_base(self, role: str) -> bool:
        """Whether a role is a base: it never backtracks, so there is nothing to set free."""
        return role in self.base_by_role.values()

    def sources(self, target: str) -> list[str]:
        """Roles whose directions a target is steered along: every model's in the reasoning model.

        In the others the pair under study, and their own; in a base all models that are paired
        with it.
        """
        if target == "reasoning":
            return list(self.model_by_role)
        own = self.base_by_role.get(target, target)
        above = [role for role, base in self.base_by_role.items() if base == target]
        pair = (self.base_by_role["reasoning"], "reasoning")
        return list(dict.fromkeys((*pair, own, target, *above)))

    def marked_ids(self) -> list[int]:
        """Token ids that open backtracking."""
        ids = self.model_by_role["reasoning"].tokenizer.get_vocab()
        return [ids[word] for word in BACKTRACKING_OPENERS]

    def marker_ids(self) -> list[int]:
        """Token ids of the word whose probability is measured where nothing is decided."""
        return [self.model_by_role["reasoning"].tokenizer.get_vocab()[MARKER]]


@dataclass(frozen=True)
class Choice:
    """Layer and window of the intervention, and the norm that dose 1 has there."""

    layer: int
    window: str
    norm: float


def prefixes_of(
    inputs: Inputs, split: str, n_samples: int | None = None
) -> tuple[list[Prefix], list[str], Moments]:
    """Prefixes of a split with their problems, and the decisions in them, in the same order."""
    chosen = is_decision(inputs.moments) & (inputs.moments.split == split)
    chosen &= ~np.isin(inputs.moments.kind, ("", "solved"))
    decisions = inputs.moments[chosen]
    prefixes, problems, order = [], [], []
    for row in sorted(set(decisions.trace.tolist())):
        trace = inputs.traces[row]
        if n_samples is not None and trace.sample >= n_samples:
            continue
        here = np.flatnonzero(decisions.trace == row)
        positions = [int(end) - 1 for end in decisions.end[here]]
        ends = inputs.moments.end[inputs.moments.trace == row] - 1
        other = sorted(set(ends.tolist()) - set(positions))
        prefixes.append(Prefix(trace.ids, len(trace.prompt_ids), positions, other))
        problems.append(trace.problem_id)
        order.extend(here.tolist())
    return prefixes, problems, decisions[np.array(order, dtype=np.int64)]


def score_on_dev(plan: Plan, inputs: Inputs, n_at_once: int = 1) -> list[dict[str, Any]]:
    """For every layer and window: what the base's direction does to the reasoning model on dev.

    `excess` is its effect minus the mean effect of random directions of the same norm.

    Args:
        plan: how many random directions, and the size of batches.
        inputs: models, traces and directions.
        n_at_once: places that are scored at a time.
    """
    start = "reasoning.matched."
    names = (name[len(start) :] for name in inputs.direction_by_name if name.startswith(start))
    places = sorted((int(layer), window) for window, layer in (name.split(".") for name in names))
    jobs = [partial(_score_place, plan, inputs, *place) for place in places]
    return run_side_by_side(jobs, n_at_once, "choosing layer and window")


def _score_place(plan: Plan, inputs: Inputs, layer: int, window: str) -> dict[str, Any]:
    prefixes, _, decisions = prefixes_of(inputs, "dev", n_samples=1)
    loaded = inputs.model_by_role["reasoning"]
    base, own = (
        inputs.direction_by_name[f"{role}.matched.{window}.{layer}"]
        for role in ("base", "reasoning")
    )
    randoms = list(random_units(plan, loaded.d_model).values())[: plan.n_few_random]
    norm = float(own.norm())
    arms = [
        Arm(torch.zeros_like(own), "decision"),
        *(Arm(norm * v / v.norm(), "decision") for v in (base, own, *randoms)),
    ]
    found = teacher_force(loaded, layer, prefixes, arms, inputs.marked_ids(), plan.rows_per_batch)
    alive = found.p_marked[:, decisions.kind == "alive"].mean(axis=1)
    effects = alive - alive[0]
    return (
        {"layer": layer, "window": window, "norm": norm}
        | {"effect": effects[1], "effect_own": effects[2]}
        | {"excess": effects[1] - effects[3:].mean()}
        | {"agreement": float(np.nanmean(found.agreement[1]))}
    )


def choose(plan: Plan, grid: Sequence[Mapping[str, Any]]) -> Choice:
    """The usable layer and window with the largest excess on dev; of all, where none is usable."""
    usable = [row for row in grid if row["agreement"] >= plan.min_agreement]
    best = max(usable or grid, key=lambda row: row["excess"])
    return Choice(best["layer"], best["window"], best["norm"])


def unit_directions(inputs: Inputs, choice: Choice, target: str) -> dict[str, Tensor]:
    """Unit vectors by name: matched directions of its sources, and the target's `action`."""
    found = {
        role: inputs.direction_by_name[f"{role}.matched.{choice.window}.{choice.layer}"]
        for role in inputs.sources(target)
    }
    found["action"] = inputs.direction_by_name[f"{target}.action"]
    return {name: vector / vector.norm() for name, vector in found.items()}


def random_units(plan: Plan, d_model: int) -> dict[str, Tensor]:
    """The same random unit vectors for every target and every kind of run."""
    generator = torch.Generator().manual_seed(plan.seed)
    rows = estimator.random_directions(plan.n_random, d_model, generator).float()
    return {f"random_{number}": row for number, row in enumerate(rows)}


def force(
    plan: Plan,
    inputs: Inputs,
    choice: Choice,
    target: str,
    *,
    split: str = "test",
    n_random: int | None = None,
) -> Measured:
    """Every arm, teacher-forced on the traces of a split, in one target.

    Args:
        plan: doses and sizes.
        inputs: models, traces and directions.
        choice: where the vectors are added.
        target: role of the model.
        split: `test`, or `dev` to choose a dose by.
        n_random: random directions, if fewer than the plan's.
    """
    units = unit_directions(inputs, choice, target)
    d_model = inputs.model_by_role[target].d_model
    labels = [BASELINE]
    labels += [
        Label(name, dose, where)
        for name in units
        for dose in plan.doses
        for where in FORCED_WHERES
        if where == "decision" or abs(dose) == 1
    ]
    randoms = dict(list(random_units(plan, d_model).items())[:n_random])
    labels += [Label(name, dose, "decision") for name in randoms for dose in (1.0, -1.0)]
    if target == "reasoning":
        few, others = list(randoms)[: plan.n_few_random], {*plan.doses} - {1.0, -1.0}
        labels += [Label(name, dose, "decision") for name in few for dose in sorted(others)]
    units |= randoms | {"baseline": torch.zeros(d_model)}
    arms = [Arm(label.dose * choice.norm * units[label.direction], label.where) for label in labels]
    return run_arms(plan, inputs, choice, target, split, labels, arms)


def run_arms(
    plan: Plan,
    inputs: Inputs,
    choice: Choice,
    target: str,
    split: str,
    labels: Sequence[Label],
    arms: Sequence[Arm],
) -> Measured:
    """Arms with their names, the baseline first, teacher-forced on the traces of a split."""
    prefixes, problems, decisions = prefixes_of(inputs, split, plan.n_samples)
    with progress.bar(f"steering {target}", len(arms) * len(prefixes), "rows") as advance:
        forced = teacher_force(
            inputs.model_by_role[target],
            choice.layer,
            prefixes,
            arms,
            inputs.marked_ids(),
            plan.rows_per_batch,
            advance,
            inputs.marker_ids(),
        )
    return Measured(target, labels, forced, decisions.kind, decisions.problem, problems)


def magnitudes(inputs: Inputs, choice: Choice) -> list[dict[str, Any]]:
    """Dose 1 in the three units: norm, raw difference-of-means norms, mean residual norms."""
    return [
        {"role": role, "norm": choice.norm}
        | {"raw_difference_norms": choice.norm / float(inputs.direction_by_name[name].norm())}
        | {"mean_residual_norms": choice.norm / inputs.residual_norm[role, choice.layer]}
        for role in inputs.model_by_role
        for name in [f"{role}.matched.{choice.window}.{choice.layer}"]
    ]


def free_runs(
    plan: Plan, bootstrap: Bootstrap, inputs: Inputs, choice: Choice, target: str
) -> list[dict[str, Any]]:
    """Free runs of one model on the test problems: what steering costs, beside what it does.

    `action` and random directions run in the reasoning model only.
    """
    problems = [p for p in inputs.problems if p.split == "test" and p.pool == "study"]
    loaded = inputs.model_by_role[target]
    units = unit_directions(inputs, choice, target)
    is_studied = target == "reasoning"
    further = ("action",) if is_studied else ()
    names = dict.fromkeys((inputs.base_by_role[target], target, *further))
    labels = [BASELINE, *(Label(n, d, "decision") for n in names for d in (1.0, -1.0))]
    randoms = random_units(plan, loaded.d_model)
    if is_studied:
        labels += [Label(name, 1.0, "decision") for name in list(randoms)[: plan.n_free_random]]
    units |= randoms | {"baseline": torch.zeros(loaded.d_model)}
    arms = [label.dose * choice.norm * units[label.direction] for label in labels]
    rollout = Rollout(choice.layer, plan.seed, plan.max_new_tokens, is_studied)
    found = roll_out(loaded, rollout, problems, arms, bootstrap)
    return [
        {"target": target} | asdict(label) | row
        for label, arm_rows in zip(labels, found, strict=True)
        for row in arm_rows
    ]

"""The arms of the experiment, run on one model: each at its matched dose, beside the patch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from backtracking.belief.doses import Direction, Dose, Wait, match_doses
from backtracking.belief.readouts import Asked, Questions, ask
from backtracking.belief.tails import SPANS, Edit, Span, clean
from backtracking.directions.estimator import random_directions
from backtracking.domains.organism.donors import Item
from backtracking.models.loading import LoadedModel
from lifeboat.stage import progress

PATCH, ACTION_ARM = "patch", "action"


@dataclass(frozen=True)
class Plan:
    """How much of the experiment is run.

    Attributes:
        n_items: live test points with donors, at most.
        n_dev_items: the same on dev, on which doses are matched.
        n_over: test points that are over, at most, for necessity.
        doses: grid of the match, in mean norms of the residual stream; the last is the bound.
        n_rounds: refinements of a dose.
        n_random: random directions, in the model under study.
        regularisations: inverse strengths among which dev chooses that of the logistic baseline.
        rows_per_batch: edits in one call of the model.
        seed: of donors' targets, random directions and the pairs of the PCA baseline.
    """

    n_items: int
    n_dev_items: int
    n_over: int
    doses: tuple[float, ...]
    n_rounds: int
    n_random: int
    regularisations: tuple[float, ...]
    rows_per_batch: int
    seed: int

    def __post_init__(self) -> None:
        counts = (self.n_items, self.n_dev_items, self.n_over, self.rows_per_batch)
        if min(*counts, self.n_random) < 1 or self.n_rounds < 0:
            raise ValueError("numbers of items, random directions and rows must be 1 or more.")
        if not self.doses or sorted({0.0, *self.doses}) != [0.0, *self.doses]:
            raise ValueError(f"doses {list(self.doses)} must ascend from above 0.")
        if not self.regularisations or min(self.regularisations) <= 0:
            raise ValueError("regularisations must be above 0, and one at the least.")


@dataclass(frozen=True)
class Arm:
    """What a row of the readouts is.

    Attributes:
        name: `clean`, `patch`, `random_<k>`, or the name of a direction.
        layer, span: where it edits.
    """

    name: str
    layer: int
    span: Span


@dataclass(frozen=True)
class Measured:
    """One model's readouts under every arm.

    Attributes:
        role: the model.
        items: the decision points.
        arms: what each row is, `clean` first.
        doses: dose of every direction by (name, layer).
        asked: the readouts.
    """

    role: str
    items: Sequence[Item]
    arms: Sequence[Arm]
    doses: dict[tuple[str, int], Dose]
    asked: Asked

    @property
    def problems(self) -> list[str]:
        """The problem of each item."""
        return [item.problem_id for item in self.items]

    def change(self, readout: str, arm: Arm) -> Float[np.ndarray, " items"]:
        """Readout under an arm minus that of the clean run."""
        values = getattr(self.asked.arms, readout)
        return values[self.arms.index(arm)] - values[0]

    def natural(self, readout: str) -> Float[np.ndarray, " items"]:
        """Readout in the donor's own run minus that of the clean run."""
        return getattr(self.asked.donor, readout)[0] - getattr(self.asked.arms, readout)[0]

    def at(self, layer: int, span: Span) -> list[Arm]:
        """Arms there, the patch apart: directions in their order, then random ones."""
        return [
            arm
            for arm in self.arms[1:]
            if (arm.layer, arm.span) == (layer, span) and arm.name != PATCH
        ]


def measure(
    plan: Plan,
    loaded: LoadedModel,
    role: str,
    dev: Sequence[Item],
    test: Sequence[Item],
    directions: Sequence[Direction],
    words: Questions,
    reference: str | None = None,
) -> Measured:
    """All readouts of the clean run, the patch and every direction at its dose, on test items.

    A random direction is added with the norm that the direction `reference` has at that layer: what
    any vector of that length does. (Matched to the patch of its own, hardly one would reach it.)

    Args:
        plan: sizes.
        loaded: the model.
        role: its role.
        dev: items on which doses are matched.
        test: items that are read.
        directions: what is added, at their layers; a direction without a dose has no arm.
        words: see `Questions`.
        reference: name of a direction; None for no random directions.
    """
    wait = Wait(loaded, dev, words, plan.rows_per_batch)
    found = match_doses(wait, directions, plan.doses, plan.n_rounds)
    doses = {(one.name, one.layer): dose for one, dose in zip(directions, found, strict=True)}
    layers = sorted({one.layer for one in directions})
    arms = [Arm("clean", 0, "E1"), *(Arm(PATCH, layer, span) for layer in layers for span in SPANS)]
    rows = [clean(loaded), *(Edit("patch", arm.layer, None, arm.span) for arm in arms[1:])]
    for one, dose in zip(directions, found, strict=True):
        _add(arms, rows, one, dose.norm)
    n_followed = len(rows)
    if reference is not None:
        for one in random_at(plan, loaded.d_model, layers):
            _add(arms, rows, one, doses[reference, one.layer].norm)
    with progress.bar(f"asking {role}", len(test), "points") as advance:
        asked = ask(loaded, test, words, rows, n_followed, plan.rows_per_batch, advance)
    return Measured(role, test, arms, doses, asked)


def random_at(plan: Plan, d_model: int, layers: Sequence[int]) -> list[Direction]:
    """The same random directions at every layer."""
    generator = torch.Generator().manual_seed(plan.seed)
    units = random_directions(plan.n_random, d_model, generator)
    return [
        Direction(f"random_{number}", layer, unit)
        for layer in layers
        for number, unit in enumerate(units)
    ]


def _add(arms: list[Arm], rows: list[Edit], direction: Direction, norm: float) -> None:
    if norm == 0:
        return
    for span in SPANS:
        arms.append(Arm(direction.name, direction.layer, span))
        rows.append(Edit("add", direction.layer, norm * direction.unit, span))

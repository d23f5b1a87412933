"""The dose at which an added direction acts as much as the patch does: log-odds of "Wait".

That log-odds is read at the deciding token, where both edit sets are the same edit. So there is one
dose for a direction and layer, whatever the edit set.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from transformers import DynamicCache

from backtracking import hooks
from backtracking.belief.readouts import Questions, log_odds
from backtracking.belief.tails import Edit, clean, read_donor, read_prefix, run_tails
from backtracking.models import LoadedModel
from backtracking.organism.donors import Item

Curve = Callable[[Float[np.ndarray, "n k"]], Float[np.ndarray, "n k"]]
"""Mean change of log-odds(Wait) for k doses of each of n directions."""


@dataclass(frozen=True)
class Direction:
    """A vector at a layer; its norm means nothing, its sign says where more of it is.

    Attributes:
        name: whose direction it is.
        layer: layer of `resid_post`.
        vector: the direction.
    """

    name: str
    layer: int
    vector: Float[Tensor, " d_model"]

    @property
    def unit(self) -> Float[Tensor, " d_model"]:
        """The vector over its norm, in float32."""
        return (self.vector.double() / self.vector.double().norm()).float()


@dataclass(frozen=True)
class Dose:
    """How much of a direction is added.

    Attributes:
        norm: norm of what is added; 0 where there is nothing to match.
        reached: whether its change of log-odds(Wait) on dev gets as large as the patch's.
        change: that change at the dose, on dev.
        target: the patch's change, on dev.
        mean_residual_norms: the norm over the mean norm of the residual stream there.
    """

    norm: float
    reached: bool
    change: float
    target: float
    mean_residual_norms: float


def match(
    curve: Curve,
    target: Float[np.ndarray, " n"],
    grid: Float[np.ndarray, "n k"],
    n_rounds: int,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Shaped[np.ndarray, " n"]]:
    """The smallest dose whose change is the target, its change, and whether there is one.

    The first crossing of the grid is refined by interpolation, `n_rounds` times, always inside the
    bracket. A direction that does not reach its target within the grid gets the dose of its largest
    change; where the target is not above 0, the dose is 0.

    Args:
        curve: evaluates doses.
        target: change wanted of each direction.
        grid: doses to try, ascending and above 0, for each direction.
        n_rounds: refinements.
    """
    n, rows = len(target), np.arange(len(target))
    doses = np.concatenate([np.zeros((n, 1)), grid], axis=1)
    values = np.concatenate([np.zeros((n, 1)), curve(grid)], axis=1)
    above = values >= target[:, None]
    wanted = target > 0
    reached = above.any(axis=1) & wanted
    at = np.where(reached, np.maximum(above.argmax(axis=1), 1), values.argmax(axis=1))
    best, change = doses[rows, at], values[rows, at]
    low, high = np.maximum(at - 1, 0), at
    low_dose, high_dose = doses[rows, low], doses[rows, high]
    low_value, high_value = values[rows, low], values[rows, high]
    for _ in range(n_rounds):
        gap = np.where(high_value > low_value, high_value - low_value, 1)
        share = np.clip((target - low_value) / gap, 0.02, 0.98)
        dose = np.where(reached, low_dose + share * (high_dose - low_dose), best)
        value = curve(dose[:, None])[:, 0]
        closer = reached & (np.abs(value - target) < np.abs(change - target))
        best, change = np.where(closer, dose, best), np.where(closer, value, change)
        beyond = value >= target
        low_dose, low_value = np.where(beyond, low_dose, dose), np.where(beyond, low_value, value)
        high_dose = np.where(beyond, dose, high_dose)
        high_value = np.where(beyond, value, high_value)
    return np.where(wanted, best, 0.0), np.where(wanted, change, 0.0), reached


class Wait:
    """Log-odds of "Wait" at the deciding token of some items, under any edit of it.

    Args:
        loaded: the model.
        items: decision points with donors.
        words: see `Questions`.
        rows_per_batch: edits in one call of the model.
    """

    def __init__(
        self, loaded: LoadedModel, items: Sequence[Item], words: Questions, rows_per_batch: int
    ) -> None:
        self.loaded, self.words, self.rows_per_batch = loaded, words, rows_per_batch
        self.points: list[tuple[DynamicCache, int]] = []
        self.donors: list[dict[int, Tensor]] = []
        norms = []
        for item in items:
            stop = item.clean_ids[-1]
            self.points.append((read_prefix(loaded, item.clean_ids), stop))
            self.donors.append(read_donor(loaded, read_prefix(loaded, item.donor_ids), [stop])[1])
            with hooks.capture(loaded.blocks, range(loaded.n_layers)) as resid_post_by_layer:
                run_tails(loaded, self.points[-1][0], [stop], [clean(loaded)], 1)
            norms.append([float(one.norm()) for one in resid_post_by_layer.values()])
        self.baseline = self.read([clean(loaded)])[0]
        self.mean_residual_norm = np.mean(norms, axis=0)

    def read(self, rows: Sequence[Edit]) -> Float[np.ndarray, " rows"]:
        """Mean log-odds over the items under every edit."""
        total = np.zeros(len(rows))
        for (cache, stop), donor in zip(self.points, self.donors, strict=True):
            log_p = run_tails(self.loaded, cache, [stop], rows, self.rows_per_batch, donor)
            total += log_odds(log_p[:, 0], self.words.marker)
        return total / len(self.points)

    def patch_changes(self) -> Float[np.ndarray, " layers"]:
        """What the patch changes at each layer: the target of every dose."""
        rows = [Edit("patch", layer, None, "E1") for layer in range(self.loaded.n_layers)]
        return self.read(rows) - self.baseline

    def curve(self, directions: Sequence[Direction]) -> Curve:
        """Changes by dose of these directions."""
        units = [one.unit for one in directions]

        def changes(doses: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
            rows = [
                Edit("add", one.layer, torch.tensor(dose, dtype=torch.float32) * unit, "E1")
                for one, unit, of_one in zip(directions, units, doses, strict=True)
                for dose in of_one.tolist()
            ]
            return self.read(rows).reshape(doses.shape) - self.baseline

        return changes


def match_doses(
    wait: Wait, directions: Sequence[Direction], multiples: Sequence[float], n_rounds: int
) -> list[Dose]:
    """The dose of every direction, found on the items of `wait` (dev).

    Args:
        wait: reads the log-odds.
        directions: what is added.
        multiples: the grid, in mean norms of the residual stream at the layer; its last is the
            bound.
        n_rounds: refinements.
    """
    layers = [one.layer for one in directions]
    scale, target = wait.mean_residual_norm[layers], wait.patch_changes()[layers]
    grid = np.outer(scale, np.array(multiples))
    norms, changes, reached = match(wait.curve(directions), target, grid, n_rounds)
    return [
        Dose(float(norm), bool(here), float(change), float(wanted), float(norm / unit))
        for norm, here, change, wanted, unit in zip(
            norms, reached, changes, target, scale, strict=True
        )
    ]

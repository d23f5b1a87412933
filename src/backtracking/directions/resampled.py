"""Directions and class means from train problems that are drawn anew.

What an edit along a direction does would have come out otherwise with other train problems. They
enter it twice: by the direction, and by the mean of a class to which the projection is set.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.directions.estimator import resample_directions, sum_cells
from backtracking.directions.forms import Contrast


@dataclass(frozen=True)
class Resampled:
    """What a draw of the train problems gives, in float32.

    Attributes:
        unit: the direction, with norm 1.
        negative, positive: means of either class in the model that is edited.
    """

    unit: Float[Tensor, " d_model"]
    negative: Float[Tensor, " d_model"]
    positive: Float[Tensor, " d_model"]

    def mean(self, sign: float) -> Float[Tensor, " d_model"]:
        """The mean of the positive class for a sign above 0, else of the negative one."""
        return self.positive if sign > 0 else self.negative


def resample(
    estimated: Contrast, held: Contrast, n: int, generator: torch.Generator
) -> list[Resampled]:
    """The direction and the means for each of n bootstrap samples of the problems.

    A sample without both classes, in a stratum or at all, is left out.

    Args:
        estimated: what the direction is estimated from.
        held: activations of both classes in the model that is edited, of the same problems.
        n: how many samples.
        generator: of the draws.
    """
    weights = _weights(estimated, held, n, generator)
    cells = sum_cells(estimated, weights.shape[1])
    directions = torch.from_numpy(resample_directions(cells, weights.numpy()))
    means = [_means(held, weights, rows) for rows in (~held.is_positive, held.is_positive)]
    units = directions / directions.norm(dim=1, keepdim=True)
    drawn = torch.stack([units, *means], dim=1).float()
    return [Resampled(*one) for one in drawn if one.isfinite().all()]


def _weights(
    estimated: Contrast, held: Contrast, n: int, generator: torch.Generator
) -> Float[Tensor, "n problems"]:
    """How often each problem is drawn, among as many as there are."""
    problems = torch.cat([estimated.problem, held.problem]).unique()
    drawn = problems[torch.randint(len(problems), (n, len(problems)), generator=generator)]
    weights = torch.zeros(n, int(problems.max()) + 1, dtype=torch.float64)
    return weights.scatter_add_(1, drawn, torch.ones(drawn.shape, dtype=torch.float64))


def _means(
    held: Contrast, weights: Float[Tensor, "n problems"], rows: Tensor
) -> Float[Tensor, "n d_model"]:
    by_row = weights[:, held.problem[rows]]
    return by_row @ held.activations[rows].double() / by_row.sum(dim=1, keepdim=True)

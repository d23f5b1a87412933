"""Null directions by name: what steering along a direction is held against.

A provider is asked for directions of norm 1 that say nothing of the contrast beyond what its name
says. They are then moved along as far as the direction under test moves a decision, so that only
where they point differs.
"""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from backtracking.directions.estimator import estimate
from backtracking.directions.forms import Contrast
from backtracking.directions.vectors import random_directions

Provider = Callable[
    [Contrast, Float[Tensor, " d_model"], int, torch.Generator], Float[Tensor, "n d_model"]
]
"""Makes n directions, given the model's activations at decisions, and the direction under test."""


def isotropic(
    contrast: Contrast, direction: Float[Tensor, " d_model"], n: int, generator: torch.Generator
) -> Float[Tensor, "n d_model"]:
    """Uniform on the sphere: what a push of that length does anywhere.

    A weak null where activations have few effective dimensions (the organism's have 2.6 of 64):
    most of what it moves, nothing reads. Source: the usual control of steering studies, as in Ward
    et al., arXiv 2507.12638.
    """
    return random_directions(n, len(direction), generator)


def covariance(
    contrast: Contrast, direction: Float[Tensor, " d_model"], n: int, generator: torch.Generator
) -> Float[Tensor, "n d_model"]:
    """Normal with the covariance of activations within a class, the direction projected out.

    What ordinary variation does that is not the contrast. Drawn as weighted sums of the rows, each
    minus the mean of its class. Source: our own recomputation, in which ordinary variation steers
    far more than isotropic directions of the same length do, and holds the direction itself unless
    it is taken out.
    """
    rows = contrast.activations.double().clone()
    for one in (contrast.is_positive, ~contrast.is_positive):
        rows[one] -= rows[one].mean(dim=0)
    weights = torch.randn(n, len(rows), generator=generator, dtype=torch.float64)
    unit = direction.double() / direction.double().norm()
    drawn = weights @ rows
    return _normalised(drawn - (drawn @ unit)[:, None] * unit)


def sign_flipped(
    contrast: Contrast, direction: Float[Tensor, " d_model"], n: int, generator: torch.Generator
) -> Float[Tensor, "n d_model"]:
    """The estimator's mean of matched differences, the sign of each problem's drawn at random.

    Rows of the two classes are paired within strata, each once, and a stratum weighs as in
    `estimator.estimate`. What the estimator finds where the classes do not differ: it may well lie
    along the direction, where what tells the classes apart is most of what varies. Source: sign
    flips as a test of paired differences, Fisher, The Design of Experiments (1935), section 21.
    """
    positive, negative, weight = _pairs(contrast, generator)
    values = contrast.activations.double()
    differences = weight[:, None] * (values[positive] - values[negative])
    problem = contrast.problem[positive].unique(return_inverse=True)[1]
    by_problem = torch.zeros(int(problem.max()) + 1, values.shape[1], dtype=torch.float64)
    by_problem.index_add_(0, problem, differences)
    signs = torch.randint(0, 2, (n, len(by_problem)), generator=generator).double() * 2 - 1
    return _normalised(signs @ by_problem)


PROVIDERS: Mapping[str, Provider] = {
    "isotropic": isotropic,
    "covariance": covariance,
    "sign_flipped": sign_flipped,
}
"""All nulls by their names, which are the groups of their arms."""


def class_means(
    contrast: Contrast,
) -> tuple[Float[Tensor, " d_model"], Float[Tensor, " d_model"]]:
    """Means of the negative and of the positive rows, in float32."""
    values, is_positive = contrast.activations.double(), contrast.is_positive
    return values[~is_positive].mean(dim=0).float(), values[is_positive].mean(dim=0).float()


def _pairs(
    contrast: Contrast, generator: torch.Generator
) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"], Float[Tensor, " pairs"]]:
    """Rows of either class that are paired within strata, and what each pair weighs."""
    estimate(contrast)  # refuses a contrast that has no stratum with both classes
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for stratum in contrast.stratum.unique().tolist():
        here = contrast.stratum == stratum
        rows = [
            (here & one).nonzero()[:, 0] for one in (contrast.is_positive, ~contrast.is_positive)
        ]
        sizes = [len(one) for one in rows]
        if min(sizes):
            chosen = [one[torch.randperm(len(one), generator=generator)] for one in rows]
            weight = sizes[0] * sizes[1] / sum(sizes) / min(sizes)
            pairs = [one[: min(sizes)] for one in chosen]
            found.append((*pairs, torch.full((min(sizes),), weight, dtype=torch.float64)))
    positive, negative, weight = (torch.cat(parts) for parts in zip(*found, strict=True))
    return positive, negative, weight


def _normalised(rows: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_model"]:
    return rows / rows.norm(dim=1, keepdim=True)

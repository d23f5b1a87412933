"""Vectors of the residual stream: from rows, from the unembedding, at random, and along others."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def difference_of_means(
    positive: Float[Tensor, "n_positive d_model"], negative: Float[Tensor, "n_negative d_model"]
) -> Float[Tensor, " d_model"]:
    """Mean of the positive rows minus mean of the negative rows, in float64."""
    if not len(positive) or not len(negative):
        found = f"{len(positive)} positive and {len(negative)} negative"
        raise ValueError(f"Expected rows of both classes, found {found}.")
    return positive.mean(0, dtype=torch.float64) - negative.mean(0, dtype=torch.float64)


def action(
    w_u: Float[Tensor, "d_vocab d_model"],
    final_norm_gain: Float[Tensor, " d_model"],
    marker_ids: Sequence[int],
    alternative_ids: Sequence[int],
) -> Float[Tensor, " d_model"]:
    """u = gain * (W_U[marker] - W_U[alternative]), the pure "write Wait" direction.

    Means over several tokens on either side; the gain is the factor that the final norm applies.
    Added before that norm, u is what raises the markers' logits over the alternatives' directly.
    """
    difference = difference_of_means(w_u[list(marker_ids)], w_u[list(alternative_ids)])
    return difference * final_norm_gain.double()


def without_span(
    vectors: Float[Tensor, "*n d_model"], rows: Float[Tensor, "k d_model"]
) -> Float[Tensor, "*n d_model"]:
    """The vectors without their components in the span of the rows, in float64.

    With the markers' unembedding rows times the final norm's gain, what is left cannot raise or
    lower a marker's logit directly.
    """
    _, sizes, basis = torch.linalg.svd(rows.double(), full_matrices=False)
    basis = basis[sizes > sizes.max() * 1e-6]
    return vectors.double() - vectors.double() @ basis.T @ basis


def random_directions(
    n: int, d_model: int, generator: torch.Generator
) -> Float[Tensor, "n d_model"]:
    """Directions of norm 1, uniform on the sphere, in float64."""
    directions = torch.randn(n, d_model, generator=generator, dtype=torch.float64)
    return directions / directions.norm(dim=1, keepdim=True)


def project(
    activations: Float[Tensor, "rows d_model"], direction: Float[Tensor, " d_model"]
) -> Float[Tensor, " rows"]:
    """Component of every row along the direction, in float64; the direction's norm cancels."""
    unit = direction.double() / direction.double().norm()
    return activations.double() @ unit

"""Logistic regression with an L2 penalty, many at once: cells of a grid times labels and penalties.

A cell is a matrix of features (one layer and offset). The fits of a cell differ in rows, labels
and penalty only, so that one pass over the cell's rows serves all of them. The minimiser is
L-BFGS (Nocedal and Wright, *Numerical Optimization*, algorithm 7.4), with a Newton search along
each step that needs no further pass. Rows are read in chunks, and all sums are in float64.

A search is preconditioned by the covariance of the features, or of the largest directions where it
is wide (a randomized Nystrom approximation: Frangella, Tropp and Udell, arXiv 2110.02820). A few
directions hold most of the variance of activations, and these are what makes a search long.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.probing.design import CHUNK_BYTES, Design, parts_of

_WHOLE_BYTES = 2**26
_HISTORY = 10
_SEARCHES = 12
_SLOPE = 0.2


@dataclass(frozen=True)
class Search:
    """When a search ends.

    Attributes:
        tolerance: largest entry of the gradient, per unit of weight, at which a fit has converged.
        max_passes: passes over the rows after which it ends anyway; `Fits.gradient` tells.
    """

    tolerance: float = 1e-6
    max_passes: int = 500


@dataclass(frozen=True)
class Fits:
    """Coefficients on the features as they were given, not standardised, in float64.

    Attributes:
        weight: coefficient of each feature.
        intercept: of each fit.
        gradient: largest entry of the gradient where the search ended.
        n_passes: passes over the rows, of the slowest cell.
    """

    weight: Float[Tensor, "cells features fits"]
    intercept: Float[Tensor, "cells fits"]
    gradient: Float[Tensor, "cells fits"]
    n_passes: int

    def score(
        self, features: Float[Tensor, "cells rows features"]
    ) -> Float[Tensor, "cells rows fits"]:
        """Log-odds of the positive class."""
        none = features[:, :0].to(self.weight) @ self.weight  # where there are no rows
        scores = [part @ self.weight for part, _ in parts_of(features)]
        return torch.cat([none, *scores], dim=1) + self.intercept[:, None]


def fit(
    features: Float[Tensor, "cells rows features"],
    labels: Float[Tensor, "cells rows fits"],
    weights: Float[Tensor, "cells rows fits"],
    penalties: Float[Tensor, " fits"],
    search: Search = Search(),
) -> Fits:
    """The minima of mean weighted log loss + penalty / 2 |v|^2, with v on standardised features.

    A feature is standardised by its mean and standard deviation over the cell's rows that any fit
    weighs; the intercept is not penalised. In scikit-learn's terms C = 1 / (penalty * sum of
    weights).

    Args:
        features: of every row, finite.
        labels: 1 where the row is positive, else 0.
        weights: of each row in each fit; 0 leaves it out.
        penalties: of each fit, above 0.
        search: when to end.

    Raises:
        ValueError: where a fit lacks a class, or a penalty is not above 0.
    """
    _check(labels, weights, penalties)
    cells, rows, width = features.shape
    step = max(1, CHUNK_BYTES // (8 * rows * width))
    parts = [
        _fit_together(features[group], labels[group], weights[group], penalties, search)
        for group in (slice(first, first + step) for first in range(0, cells, step))
    ]
    return Fits(
        torch.cat([part.weight for part in parts]),
        torch.cat([part.intercept for part in parts]),
        torch.cat([part.gradient for part in parts]),
        max(part.n_passes for part in parts),
    )


def _fit_together(
    features: Tensor, labels: Tensor, weights: Tensor, penalties: Tensor, search: Search
) -> Fits:
    """The fits of cells that are small enough to be worked on at once, or of one large cell."""
    if 8 * features.numel() <= _WHOLE_BYTES:
        features = features.double()
    design = Design(features, (weights > 0).any(dim=2))
    shares = weights.double() / weights.sum(dim=1, keepdim=True, dtype=torch.float64)
    problem = _Problem(design, labels.double(), shares, penalties.double())
    theta, gradient, n_passes = _minimise(problem, search)
    weight, intercept = design.unstandardise(theta)
    return Fits(weight, intercept, gradient.abs().amax(dim=1), n_passes)


def _check(labels: Tensor, weights: Tensor, penalties: Tensor) -> None:
    sides = torch.stack([(weights * side).sum(dim=1) for side in (labels, 1 - labels)])
    if (sides <= 0).any():
        cell, one = (sides <= 0).any(dim=0).nonzero()[0].tolist()
        positive, negative = sides[:, cell, one].tolist()
        found = f"weights {positive:g} and {negative:g} in fit {one} of cell {cell}"
        raise ValueError(f"Expected positive and negative rows, found {found}.")
    if (penalties <= 0).any():
        raise ValueError(f"Expected penalties above 0, found {penalties.tolist()}.")


class _Problem:
    """The penalised losses of all fits, along lines and at points."""

    def __init__(self, design: Design, labels: Tensor, shares: Tensor, penalties: Tensor) -> None:
        self.design = design
        self.labels = labels
        self.shares = shares
        self._labelled = shares * labels
        width = design.features.shape[2]
        self.penalty = penalties.expand(width + 1, -1).clone()
        self.penalty[-1] = 0.0
        self.shape = (len(labels), width + 1, labels.shape[2])
        # The Hessian of the mean log loss is at most a quarter of the covariance.
        values, self._basis = design.largest_directions()
        p = (self.shares * self.labels).sum(dim=1, keepdim=True)
        self._of_intercept = p * (1 - p)
        self._curvature = values[:, :, None] * self._of_intercept + penalties
        self._is_whole = values.shape[1] == width

    def apply_preconditioner(self, vector: Tensor) -> Tensor:
        """The inverse of the approximate Hessian times a vector."""
        inside = self._basis.mT @ vector[:, :-1]
        found = self._basis @ (inside / self._curvature)
        if not self._is_whole:
            # All other directions as if they had the variance of the least of these.
            found += (vector[:, :-1] - self._basis @ inside) / self._curvature[:, -1:]
        return torch.cat([found, vector[:, -1:] / self._of_intercept], dim=1)

    def gradient(self, theta: Tensor, logits: Tensor) -> Tensor:
        """Gradient at `theta`, whose logits are known."""
        residual = (torch.sigmoid(logits) - self.labels) * self.shares
        return self.design.backward(residual) + self.penalty * theta

    def search(self, theta: Tensor, logits: Tensor, step: Tensor, along: Tensor) -> Tensor:
        """Length of each fit's step: where the slope along it is nearly 0, by safeguarded Newton.

        The loss along a line is convex, so the sign of the slope says on which side the minimum
        lies, and a Newton step that leaves the bracket is replaced.
        """
        linear = (self.penalty * theta * step).sum(dim=1) - (self._labelled * along).sum(dim=1)
        quadratic = (self.penalty * step * step).sum(dim=1)
        low, high = torch.zeros_like(linear), torch.full_like(linear, torch.inf)
        length = torch.ones_like(linear)
        weighted = self.shares * along
        start = (torch.sigmoid(logits) * weighted).sum(dim=1) + linear
        for _ in range(_SEARCHES):
            p = torch.sigmoid(torch.addcmul(logits, along, length[:, None]))
            slope = (p * weighted).sum(dim=1) + linear + length * quadratic
            if (slope.abs() <= _SLOPE * start.abs()).all():
                break
            bend = (p * (1 - p) * weighted * along).sum(dim=1) + quadratic
            low, high = torch.where(slope < 0, length, low), torch.where(slope < 0, high, length)
            newton = length - slope / bend.clamp(min=1e-300)
            middle = torch.where(high.isinf(), 2 * length, (low + high) / 2)
            length = torch.where((newton > low) & (newton < high), newton, middle)
        return length


def _minimise(
    problem: _Problem, search: Search
) -> tuple[Float[Tensor, "cells parameters fits"], Float[Tensor, "cells parameters fits"], int]:
    """Coefficients, their gradient, and the passes that it took."""
    theta = problem.labels.new_zeros(problem.shape)
    logits = torch.zeros_like(problem.labels)
    gradient = problem.gradient(theta, logits)
    history: list[tuple[Tensor, Tensor, Tensor]] = []
    for n_passes in range(1, search.max_passes):
        open_ = (gradient.abs().amax(dim=1, keepdim=True) > search.tolerance).double()
        if not open_.any():
            return theta, gradient, n_passes
        step = -open_ * _two_loops(problem, history, gradient)
        along = problem.design.forward(step)
        length = problem.search(theta, logits, step, along)[:, None]
        step = length * step
        theta, logits = theta + step, logits + length * along
        old, gradient = gradient, problem.gradient(theta, logits)
        change = gradient - old
        product = (step * change).sum(dim=1, keepdim=True)
        history.append((step, change, torch.where(product > 0, 1 / product, 0.0)))
        del history[:-_HISTORY]
    return theta, gradient, search.max_passes


def _two_loops(
    problem: _Problem, history: list[tuple[Tensor, Tensor, Tensor]], gradient: Tensor
) -> Tensor:
    """The approximate inverse Hessian times the gradient (algorithm 7.4)."""
    vector, factors = gradient, []
    for step, change, inverse in reversed(history):
        factors.append(inverse * (step * vector).sum(dim=1, keepdim=True))
        vector = vector - factors[-1] * change
    vector = problem.apply_preconditioner(vector)
    for (step, change, inverse), factor in zip(history, reversed(factors), strict=True):
        back = inverse * (change * vector).sum(dim=1, keepdim=True)
        vector = vector + (factor - back) * step
    return vector

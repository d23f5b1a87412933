"""Features of many cells, standardised without being written out, and what their variance holds."""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor

CHUNK_BYTES = 2**22
"""Features in float64 that are worked on at once: what a processor's cache holds."""

_DENSE = 512
_RANK = 64


def parts_of(
    features: Float[Tensor, "cells rows features"],
) -> Iterator[tuple[Float[Tensor, "cells part features"], slice]]:
    """Consecutive rows in float64, a few megabytes at a time, and which rows they are."""
    cells, rows, width = features.shape
    step = max(1, rows if features.dtype == torch.float64 else CHUNK_BYTES // (8 * cells * width))
    for first in range(0, rows, step):
        chosen = slice(first, min(rows, first + step))
        yield features[:, chosen].double(), chosen


class Design:
    """The standardised features with a last column of ones, of which nothing is written out."""

    def __init__(
        self, features: Float[Tensor, "cells rows features"], used: Bool[Tensor, "cells rows"]
    ) -> None:
        self.features = features
        self._weight = weight = used.double()[:, None] / used.sum(dim=1)[:, None, None]
        self.mean = self._sum(weight)
        square = torch.zeros_like(self.mean)
        self.small = features.shape[2] <= _DENSE
        width = features.shape[2] if self.small else 0
        self.covariance = self.mean.new_zeros(len(features), width, width)
        for part, rows in parts_of(features):
            centred = part - self.mean
            weighted = centred * weight[:, 0, rows, None]
            square += (weighted * centred).sum(dim=1, keepdim=True)
            if self.small:
                self.covariance += weighted.mT @ centred
        # A constant feature has no spread: its coefficient stays 0.
        self.scale = square.sqrt()
        flat = self.scale <= 1e-12 * (1 + self.mean.abs())
        self.inverse_scale = torch.where(flat, 0.0, 1 / self.scale)
        if self.small:
            self.covariance *= self.inverse_scale * self.inverse_scale.mT

    def forward(
        self, theta: Float[Tensor, "cells parameters fits"]
    ) -> Float[Tensor, "cells rows fits"]:
        """Features times coefficients."""
        weight, intercept = self.unstandardise(theta)
        return torch.cat([x @ weight for x, _ in parts_of(self.features)], 1) + intercept[:, None]

    def backward(
        self, residual: Float[Tensor, "cells rows fits"]
    ) -> Float[Tensor, "cells parameters fits"]:
        """Transposed features times one number a row."""
        total = residual.sum(dim=1, keepdim=True)
        sums = self._sum(residual.mT).mT - self.mean.mT * total
        return torch.cat([sums * self.inverse_scale.mT, total], dim=1)

    def unstandardise(
        self, theta: Float[Tensor, "cells parameters fits"]
    ) -> tuple[Float[Tensor, "cells features fits"], Float[Tensor, "cells fits"]]:
        """Coefficients and intercepts for the features as they were given."""
        weight = theta[:, :-1] * self.inverse_scale.mT
        return weight, theta[:, -1] - (self.mean @ weight)[:, 0]

    def largest_directions(
        self,
    ) -> tuple[Float[Tensor, "cells directions"], Float[Tensor, "cells features directions"]]:
        """Eigenvalues of the covariance with their vectors: all, or the largest, approximately."""
        if self.small:
            values, basis = torch.linalg.eigh(self.covariance)
            return values.clamp(min=0.0), basis
        return self._sketched()

    def _sketched(self) -> tuple[Tensor, Tensor]:
        """The largest directions by a randomized Nystrom approximation, largest first."""
        cells, _, width = self.features.shape
        rank = min(_RANK, width)
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(cells, width, rank, generator=generator, dtype=torch.float64)
        test = torch.linalg.qr(drawn.to(self.mean.device)).Q
        along = self.forward(torch.cat([test, test.new_zeros(cells, 1, rank)], dim=1))
        image = self.backward(self._weight.mT * along)[:, :-1]
        inner, vectors = torch.linalg.eigh(test.mT @ image)
        held = inner > 1e-12 * inner[:, -1:]
        half = image @ vectors * torch.where(held, inner, torch.inf).rsqrt()[:, None]
        basis, values, _ = torch.linalg.svd(half, full_matrices=False)
        return values.square(), basis

    def _sum(
        self, factors: Float[Tensor, "cells fits rows"]
    ) -> Float[Tensor, "cells fits features"]:
        cells, _, width = self.features.shape
        total = factors.new_zeros(cells, factors.shape[1], width)
        for part, rows in parts_of(self.features):
            total += factors[:, :, rows] @ part
        return total

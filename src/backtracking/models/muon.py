"""Muon for a model of many small matrices: all of one shape are orthogonalized in one batch."""

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""Of the quintic iteration, and `N_ITERATIONS` of it, as in Jordan et al. 2024."""
N_ITERATIONS = 5


def orthogonalize(matrices: Float[Tensor, "n rows cols"]) -> Float[Tensor, "n rows cols"]:
    """About U V^T of each matrix U S V^T, by Newton-Schulz iterations in bfloat16.

    Singular values end between about 0.7 and 1.2, which is as good as 1 for a step of descent.
    """
    is_tall = matrices.shape[1] > matrices.shape[2]
    wide = matrices.mT if is_tall else matrices
    norms = wide.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    found, (a, b, c) = (wide / norms).bfloat16(), COEFFICIENTS
    for _ in range(N_ITERATIONS):
        gram = found @ found.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        found = torch.baddbmm(found, polynomial, found, beta=a)
    return (found.mT if is_tall else found).to(matrices.dtype)


class StackedMuon(torch.optim.Optimizer):
    """`torch.optim.Muon` without weight decay, for matrices that are small and many.

    Args:
        matrices: the parameters, all of two dimensions.
        lr: learning rate; of a tall matrix it is scaled by the root of rows / columns.
        momentum: of Nesterov's momentum.
    """

    def __init__(self, matrices: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step along the gradients that are there."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for shape, alike in by_shape.items():
                updates = orthogonalize(torch.stack([self._ahead(p, group) for p in alike]))
                rate = group["lr"] * math.sqrt(max(1.0, shape[0] / shape[1]))
                torch._foreach_add_(alike, list(updates.unbind()), alpha=-rate)  # pyright: ignore

    def _ahead(self, parameter: Tensor, group: dict) -> Tensor:
        """The gradient, with the momentum that it has just changed."""
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        return gradient.lerp(state["momentum_buffer"], group["momentum"])

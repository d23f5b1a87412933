"""The batched Muon against PyTorch's own, matrix by matrix."""

import pytest
import torch

from backtracking.models.muon import StackedMuon, orthogonalize

SHAPES = ((8, 8), (8, 8), (32, 8), (8, 32), (32, 8))


def test_steps_are_those_of_pytorch() -> None:
    generator = torch.Generator().manual_seed(0)
    ours, theirs = ([torch.nn.Parameter(torch.ones(shape)) for shape in SHAPES] for _ in range(2))
    mine = StackedMuon(ours, lr=0.1)
    reference = torch.optim.Muon(theirs, lr=0.1, weight_decay=0.0)
    for _ in range(4):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        mine.step()
        reference.step()
    for one, other in zip(ours, theirs, strict=True):
        assert not torch.equal(one, torch.ones_like(one))
        # bfloat16 has 8 bits, and sums in a batch may be made in another order.
        torch.testing.assert_close(one, other, atol=0.02, rtol=0.0)


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 48, 16), (2, 16, 48)])
def test_singular_values_come_near_one_and_vectors_stay(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = orthogonalize(matrices)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.5 and values.max() < 1.3
    u, _, vt = torch.linalg.svd(matrices, full_matrices=False)
    alike = torch.einsum("nij,nij->n", found, u @ vt)
    assert (alike > 0.95 * found.norm(dim=(1, 2)) * (u @ vt).norm(dim=(1, 2))).all()


def test_a_parameter_without_a_gradient_stays() -> None:
    still, moved = (torch.nn.Parameter(torch.ones(4, 4)) for _ in range(2))
    moved.grad = torch.eye(4)
    StackedMuon([still, moved], lr=0.1).step()
    assert torch.equal(still, torch.ones(4, 4)) and not torch.equal(moved, still)

"""Patching, ablating, projecting out: by law, only where asked, and put back after."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from torch import Tensor, nn

from backtracking.models import edits

WHERE = torch.tensor([[True, False, True], [False, False, True]])


class Block(nn.Module):
    """Returns its input, alone or in a tuple."""

    def __init__(self, as_tuple: bool) -> None:
        super().__init__()
        self.as_tuple = as_tuple

    def forward(self, stream: Tensor) -> Tensor | tuple[Tensor, str]:
        return (stream, "extra") if self.as_tuple else stream


@pytest.fixture(params=[False, True])
def block(request: pytest.FixtureRequest) -> Block:
    return Block(request.param)


@pytest.fixture
def stream() -> Tensor:
    return torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))


def run(block: Block, stream: Tensor) -> Tensor:
    output = block(stream)
    return output[0] if isinstance(output, tuple) else output


def test_a_patch_writes_values_where_asked_and_no_bit_elsewhere(
    block: Block, stream: Tensor
) -> None:
    values = torch.randn(2, 3, 5)
    with edits.patch(block, values, WHERE):
        found = run(block, stream)
    assert torch.equal(found[WHERE], values[WHERE])
    assert torch.equal(found[~WHERE], stream[~WHERE])
    assert torch.equal(run(block, stream), stream)


def test_patching_with_its_own_values_changes_nothing(block: Block, stream: Tensor) -> None:
    with edits.patch(block, stream.clone()):
        assert torch.equal(run(block, stream), stream)


def test_ablation_leaves_one_vector_everywhere(block: Block, stream: Tensor) -> None:
    mean = stream.mean(dim=(0, 1))
    with edits.ablate(block, mean):
        assert torch.equal(run(block, stream), mean.expand_as(stream))


def test_projecting_out_leaves_no_projection_and_all_of_the_rest(
    block: Block, stream: Tensor
) -> None:
    directions = 3 * torch.randn(2, 5)
    with edits.project_out(block, directions, WHERE):
        found = run(block, stream)
    left = torch.einsum("bpd,bd->bp", found, directions)
    assert left[WHERE].abs().max() < 1e-5
    removed = stream - found
    along = torch.einsum("bpd,bd->bp", removed, directions) / directions.norm(dim=1)[:, None]
    torch.testing.assert_close(along.abs()[WHERE], removed.norm(dim=2)[WHERE])
    assert torch.equal(found[~WHERE], stream[~WHERE])


def test_a_direction_of_zeros_takes_nothing_out(block: Block, stream: Tensor) -> None:
    with edits.project_out(block, torch.zeros(1, 5)):
        assert torch.equal(run(block, stream), stream)


def test_positions_are_asked_for_at_every_call(block: Block, stream: Tensor) -> None:
    masks = iter([WHERE, ~WHERE])
    with edits.ablate(block, torch.zeros(5), lambda: next(masks)):
        assert torch.equal(run(block, stream)[WHERE], torch.zeros(3, 5))
        assert torch.equal(run(block, stream)[WHERE], stream[WHERE])


@pytest.mark.parametrize(
    "context",
    [
        lambda block: edits.patch(block, torch.zeros(2, 4, 5)),
        lambda block: edits.ablate(block, torch.zeros(4)),
        lambda block: edits.ablate(block, torch.zeros(5), lambda: torch.ones(2, 4) > 0),
    ],
)
def test_values_or_masks_that_do_not_fit_are_named_and_no_hook_stays(
    block: Block, stream: Tensor, context: Callable[[Block], AbstractContextManager[None]]
) -> None:
    with pytest.raises(ValueError, match="the call has shape"), context(block):
        run(block, stream)
    assert torch.equal(run(block, stream), stream)

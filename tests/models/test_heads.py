"""The head at single positions: of every family what a whole pass says, and never more at once."""

from pathlib import Path

import pytest
import torch
from tiny_models import CONFIGS, WORDS, save_model
from torch import Tensor, nn

from backtracking.models import heads, loading
from backtracking.models.loading import LoadedModel

N_ROWS, LENGTH = 3, 7
MARKED = torch.tensor([5, 9])


def load(folder: Path, family: str) -> LoadedModel:
    torch.set_num_threads(1)
    return loading.load(save_model(folder, family))


def some_ids(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, len(WORDS), (N_ROWS, LENGTH), generator=generator)


@torch.inference_mode()
def plain(loaded: LoadedModel, ids: Tensor) -> Tensor:
    return loaded.model(input_ids=ids, use_cache=False).logits.float().log_softmax(-1)


@pytest.mark.parametrize("family", CONFIGS)
def test_single_positions_are_those_of_a_whole_pass(family: str, tmp_path: Path) -> None:
    loaded, ids = load(tmp_path, family), some_ids(0)
    expected = plain(loaded, ids)
    with torch.inference_mode():
        run = heads.read(loaded, ids)
        rows, positions = torch.tensor([2, 0, 2]), torch.tensor([6, 0, 3])
        found = run.log_probabilities(rows, positions)
        torch.testing.assert_close(found, expected[rows, positions], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(run.everywhere(), expected, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("n_positions", [1, 2, 5])
def test_pieces_are_compared_as_the_whole_and_are_no_larger(
    tmp_path: Path, n_positions: int
) -> None:
    loaded, rows, positions = load(tmp_path, "llama"), range(1, 3), torch.arange(1, LENGTH)
    clean, run = (heads.read(loaded, some_ids(seed)) for seed in (0, 1))
    whole = heads.compare(clean, 0, run, rows, positions, MARKED)
    head = loaded.model.get_output_embeddings()
    assert isinstance(head, nn.Linear)
    n_values = n_positions * len(rows) * head.out_features
    sizes = list[int]()
    head.register_forward_hook(lambda _module, _inputs, output: sizes.append(output.numel()))
    found = heads.compare(clean, 0, run, rows, positions, MARKED, n_values)
    assert len(sizes) > 2 and max(sizes) <= n_values
    for name in ("is_same", "kl", "p_marked"):
        torch.testing.assert_close(getattr(found, name), getattr(whole, name))
    p, q = plain(loaded, some_ids(0))[0, positions], plain(loaded, some_ids(1))[1:, positions]
    torch.testing.assert_close(found.kl, (p.exp() * (p - q)).sum(-1), rtol=1e-4, atol=1e-5)
    assert torch.equal(found.is_same, p.argmax(-1) == q.argmax(-1))
    torch.testing.assert_close(found.p_marked, q[:, :, MARKED].exp().sum(-1))

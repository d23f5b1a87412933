"""Short continuations: padding, the repeated cache and dropped rows change nothing."""

import pytest
import torch
from tiny_models import FAMILIES, make_keys, make_prompts, save_model
from transformers import DynamicCache

from backtracking.models import loading
from backtracking.models.continuations import continue_prefixes, next_logits
from backtracking.models.generation import generate
from backtracking.models.loading import LoadedModel
from backtracking.models.sampling import Sampling

N, SAMPLING = 3, Sampling(5, 1.0, 9)
PREFIXES, KEYS = make_prompts(7), make_keys(7)


@pytest.fixture(scope="module", params=FAMILIES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return loading.load(save_model(tmp_path_factory.mktemp("model"), request.param))


def never(_ids: list[int]) -> bool:
    return False


def test_continuations_are_those_of_generation_row_by_row(loaded: LoadedModel) -> None:
    found = continue_prefixes(loaded, PREFIXES, KEYS, N, SAMPLING, never, 12)
    expected = generate(
        loaded,
        [prefix for prefix in PREFIXES for _ in range(N)],
        [f"{key}/{number}" for key in KEYS for number in range(N)],
        SAMPLING,
    )
    for row, generation in enumerate(expected):
        n = len(generation.token_ids)
        assert found[row // N][row % N][:n] == generation.token_ids


def test_left_padding_moves_no_position(loaded: LoadedModel) -> None:
    prefix, padding = [1, 7, 9, 12], 6
    ids = torch.tensor([[0] * padding + prefix])
    mask = torch.tensor([[False] * padding + [True] * len(prefix)])
    with torch.inference_mode():
        padded = next_logits(loaded, ids, mask, DynamicCache(config=loaded.model.config))
        plain = loaded.model(torch.tensor([prefix])).logits[:, -1]
    torch.testing.assert_close(padded, plain, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 6, 100])
def test_finished_rows_leave_the_others_as_they_are(loaded: LoadedModel, rows: int) -> None:
    whole = continue_prefixes(loaded, PREFIXES, KEYS, N, SAMPLING, never, 100)
    told: list[int] = []
    cut = continue_prefixes(
        loaded, PREFIXES, KEYS, N, SAMPLING, lambda ids: ids[-1] % 3 == 0, rows, told.append
    )
    assert sum(told) == N * len(PREFIXES)
    for long, short in zip(sum(whole, []), sum(cut, []), strict=True):
        ends = [at for at, token in enumerate(long) if token % 3 == 0]
        assert short == (long[: ends[0] + 1] if ends else long)
    assert any(len(short) < SAMPLING.max_new_tokens for short in sum(cut, []))


def test_the_same_seed_repeats_and_another_does_not(loaded: LoadedModel) -> None:
    first, again = (
        continue_prefixes(loaded, PREFIXES, KEYS, N, SAMPLING, never, 100) for _ in range(2)
    )
    other = continue_prefixes(loaded, PREFIXES, KEYS, N, Sampling(6, 1.0, 9), never, 100)
    assert first == again != other
    assert all(len(one) == 9 for rows in first for one in rows)

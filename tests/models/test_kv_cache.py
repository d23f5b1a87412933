"""The growing cache against the one of transformers."""

import pytest
import torch
from tiny_models import FAMILIES, WORDS, build_model
from transformers import DynamicCache, MistralConfig, MistralForCausalLM
from transformers.cache_utils import DynamicLayer

from backtracking.models import kv_cache
from backtracking.models.kv_cache import GrowingLayer, empty_cache


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@torch.inference_mode()
def next_logits(model, cache: DynamicCache, ids: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Reads 5 tokens, then one at a time, with fewer rows from the tenth on."""
    logits = [model(ids[:, :5], past_key_values=cache, use_cache=True).logits[kept, -1]]
    for at in range(5, ids.shape[1]):
        if at == 10:
            cache.batch_select_indices(kept)
            ids = ids[kept]
        rows = model(ids[:, at : at + 1], past_key_values=cache, use_cache=True).logits[:, -1]
        logits.append(rows if at >= 10 else rows[kept])
    return torch.stack(logits)


def random_ids() -> torch.Tensor:
    return torch.randint(len(WORDS), (4, 21), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("family", FAMILIES)
def test_it_holds_what_the_cache_of_transformers_holds(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kv_cache, "CHUNK", 4)
    model, kept = build_model(family).eval(), torch.tensor([0, 3])
    ours, theirs = empty_cache(model.config), DynamicCache(config=model.config)
    ids = random_ids()
    logits = next_logits(model, ours, ids, kept)
    torch.testing.assert_close(logits, next_logits(model, theirs, ids, kept), atol=1e-5, rtol=0)
    for mine, other in zip(ours.layers, theirs.layers, strict=True):
        assert isinstance(mine, GrowingLayer) and isinstance(other, DynamicLayer)
        held, expected = (mine.keys, mine.values), (other.keys, other.values)
        torch.testing.assert_close(held, expected, atol=1e-5, rtol=0)
    whole = model(ids[kept]).logits[:, 4:].transpose(0, 1)
    torch.testing.assert_close(logits, whole, atol=1e-5, rtol=0)


def test_sliding_windows_keep_the_layers_of_transformers() -> None:
    config = MistralConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        sliding_window=6,
    )
    model, kept, ids = MistralForCausalLM(config).eval(), torch.tensor([1, 2]), random_ids()
    cache = empty_cache(config)
    assert not any(isinstance(layer, GrowingLayer) for layer in cache.layers)
    logits = next_logits(model, cache, ids, kept)
    with torch.inference_mode():
        whole = model(ids[kept]).logits[:, 4:].transpose(0, 1)
    torch.testing.assert_close(logits, whole, atol=1e-5, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("family", FAMILIES)
def test_a_cache_that_is_cut_goes_on_as_one_that_never_read_the_rest(family: str) -> None:
    model = build_model(family).eval()
    ids = torch.randint(3, len(WORDS), (1, 12), generator=torch.Generator().manual_seed(0))
    whole, short = (DynamicCache(config=model.config) for _ in range(2))
    model(ids, past_key_values=whole, use_cache=True)
    model(ids[:, :7], past_key_values=short, use_cache=True)
    cut, tail = kv_cache.cut(whole, 7), ids[:, [3, 5]]
    found, expected = (
        model(tail, past_key_values=one, use_cache=True).logits for one in (cut, short)
    )
    torch.testing.assert_close(found, expected)
    assert (cut.get_seq_length(), whole.get_seq_length()) == (9, 12)

"""Slots against plain passes, in models of every family; those without slots go in step."""

import copy
import random
from pathlib import Path

import pytest
import torch
from extraction.families import FAMILIES, REFUSED, build
from members import few
from tiny_models import build_tokenizer

from backtracking.models import generation, loading, slots
from backtracking.models.generation import generate
from backtracking.models.loading import LoadedModel
from backtracking.models.sampling import Sampling
from backtracking.models.slots import Slots

STEPS = {
    "bloom": "takes no rows at positions of their own",
    "falcon_h1": "LinearAttentionAndFullAttentionLayer",
    "glm_moe_dsa": "indexed_attention",
    "gpt_neo": "local",
    "granitemoehybrid": "LinearAttentionLayer",
    "jamba": "LinearAttentionLayer",
    "llama4_text": "chunked_attention",
    "olmo_hybrid": "LinearAttentionLayer",
}
"""Families that go in step, with what is said of them."""
UNWRITTEN = {*REFUSED, "recurrent_gemma", "bamba", "qwen3_5_text", "qwen3_next"}
"""Refused, or recurrent in all layers of so small a model, where transformers has no cache."""
N_PROMPT = (3, 14, 6, 1, 9, 15, 2)


def load(name: str, folder: Path) -> LoadedModel:
    build(name).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return loading.load(folder)


@torch.inference_mode()
def require_greedy(loaded: LoadedModel, prompt: list[int], written: list[int]) -> None:
    """Checks that each token was, up to rounding, the likeliest behind all before it."""
    fresh = copy.deepcopy(loaded.model)
    for at, token in enumerate(written):
        ids = torch.tensor([[*prompt, *written[:at]]])
        logits = fresh(ids, use_cache=False).logits[0, -1].float()
        assert logits.max() - logits[token] < 1e-3


@pytest.mark.parametrize(
    "name", [*few(("gemma2", "jamba", *sorted({*FAMILIES} - UNWRITTEN - {"gemma2", "jamba"})), 2)]
)
def test_every_family_writes_what_a_plain_pass_says(name: str, tmp_path: Path) -> None:
    """Rows of ragged prompts that end at different lengths, some beyond a sliding window."""
    loaded, chosen = load(name, tmp_path), random.Random(3)
    prompts = [[chosen.randrange(3, 40) for _ in range(n)] for n in N_PROMPT]
    written = generate(
        loaded,
        prompts,
        [str(row) for row in range(len(prompts))],
        Sampling(0, 0.0, 8),
        is_done=lambda ids: len(ids) > 3 and ids[-1] % 3 == 0,
        batch_size=3,
    )
    for prompt, one in zip(prompts, written, strict=True):
        require_greedy(loaded, prompt, one.token_ids)
    reason = slots.why_not(loaded)
    assert STEPS[name] in str(reason) if name in STEPS else reason is None


def test_texts_that_cross_a_limit_go_in_step_and_others_do_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    generation._tell.cache_clear()
    loaded = load("phi3-longrope", tmp_path)
    generate(loaded, [[5] * 4], ["a"], Sampling(0, 0.0, 4))
    assert not caplog.messages
    generate(loaded, [[5] * 4, [5] * 22], ["a", "b"], Sampling(0, 0.0, 4))
    (said,) = caplog.messages
    assert said.endswith("it changes its formula at a length that texts may come to.")


def test_a_slot_shows_nothing_of_the_row_before(tmp_path: Path) -> None:
    loaded, ids = load("llama", tmp_path), torch.arange(3, 12)[None]
    cache = Slots(loaded, 2, 20)
    with torch.inference_mode():
        for first in (0, 1):
            told = cache.place(loaded, first, [0], 9)
            loaded.model(ids + 5 + first, use_cache=True, **told)
        cache.copy([1], [0], 9)
        logits = [
            loaded.model(ids[:, at : at + 1], use_cache=True, **cache.place(loaded, 0, [at], 1))
            for at in range(9)
        ]
        expected = loaded.model(ids).logits[0]
    found = torch.cat([one.logits[:, 0] for one in logits])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_model_that_takes_no_mask_by_row_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load("llama", tmp_path)
    monkeypatch.setattr(slots, "attention_of", lambda masks: None)
    assert "its logits are then off by" in str(slots.why_not(loaded))

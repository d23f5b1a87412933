"""Probabilities of what was written are those of plain forward passes."""

import numpy as np
import pytest
import torch
from tiny_models import make_prompts, save_model

from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.models.scoring import token_nll

PROMPTS, WRITTEN = make_prompts(6), [p[::-1] + [9, 11] for p in make_prompts(6, 1)]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return loading.load(save_model(tmp_path_factory.mktemp("model")))


@pytest.mark.parametrize("tokens", [1, 30, 10_000])
def test_surprise_is_that_of_a_plain_forward_pass_in_any_batch(
    loaded: LoadedModel, tokens: int
) -> None:
    found = token_nll(loaded, PROMPTS, WRITTEN, tokens)
    for prompt, written, nll in zip(PROMPTS, WRITTEN, found, strict=True):
        with torch.inference_mode():
            log_p = loaded.model(torch.tensor([[*prompt, *written]])).logits[0].log_softmax(-1)
        expected = [-float(log_p[len(prompt) + n - 1, token]) for n, token in enumerate(written)]
        np.testing.assert_allclose(nll, expected, atol=1e-5)

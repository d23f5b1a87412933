"""Coherence: probabilities of plain forward passes, and stretches that stood there before."""

import numpy as np
import pytest
import torch
from tiny_models import make_prompts, save_model

from backtracking.domains.organism.states import Replay
from backtracking.effects.coherence import opens_backtracking, repeated_share
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


def test_the_first_tokens_of_backtracking_sentences_are_marked() -> None:
    text = "Start at 0 . Try 9 on 0 . Left 8 . Total 9 . Compare 9 with 8 . "
    text += "Wait , 9 is too big . Undo 9 on 0 ."
    words = [str(word) for word in text.split()]
    marked = opens_backtracking(Replay((9, 8), 8).read(words), len(words) + 1)
    assert [words[at] for at in marked.nonzero()[0]] == ["Wait", "Undo"]
    assert len(marked) == len(words) + 1


def test_repeated_stretches_are_counted_from_their_second_time() -> None:
    assert repeated_share(list(range(20)), 4) == 0
    assert repeated_share([1, 2, 3, 4] * 5, 4) == pytest.approx(1 - 4 / 17)
    assert repeated_share([1, 2, 3], 4) is None

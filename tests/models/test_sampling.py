"""Draws of tokens: their distribution, what they depend on, and what is refused."""

import numpy as np
import pytest
import torch

from backtracking.models.sampling import Sampling, draw, draw_uniforms
from lifeboat.stage.errors import UserError

LOGITS = torch.tensor([1.0, -2.0, 0.5, 3.0, float("-inf"), 0.0])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_with_their_probabilities(temperature: float) -> None:
    n = 20_000
    uniforms = ((np.arange(n) + 0.5) / n).tolist()
    drawn = draw(LOGITS.expand(n, -1), uniforms, temperature)
    shares = torch.bincount(drawn, minlength=len(LOGITS)) / n
    torch.testing.assert_close(shares, (LOGITS / temperature).softmax(0), atol=1e-4, rtol=0)


def test_a_token_without_probability_is_never_drawn() -> None:
    logits = torch.full((2, 4), float("-inf"))
    logits[:, 2] = 1
    assert draw(logits, [0.0, np.nextafter(1, 0)], 1.0).tolist() == [2, 2]


def test_temperature_zero_takes_the_largest_logit() -> None:
    assert draw(LOGITS[None], [0.999], 0.0).tolist() == [3]


def test_a_drawn_token_does_not_depend_on_the_other_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 300, generator=generator)
    uniforms = draw_uniforms(Sampling(0, 1.0, 50), "row").tolist()
    together = draw(logits, uniforms, 1.0).tolist()
    assert [draw(logits[i : i + 1], [u], 1.0).item() for i, u in enumerate(uniforms)] == together


def test_uniforms_depend_on_seed_key_and_step_and_not_on_the_length() -> None:
    uniforms = draw_uniforms(Sampling(0, 1.0, 10_000), "a/0")
    assert np.array_equal(uniforms[:10], draw_uniforms(Sampling(0, 0.7, 10), "a/0"))
    for other in (
        draw_uniforms(Sampling(0, 1.0, 10_000), "a/1"),
        draw_uniforms(Sampling(1, 1.0, 10_000), "a/0"),
    ):
        assert abs(np.corrcoef(uniforms, other)[0, 1]) < 0.05
    assert uniforms.min() >= 0 and uniforms.max() < 1
    assert abs(uniforms.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(uniforms[1:], uniforms[:-1])[0, 1]) < 0.05


def test_uniforms_are_the_same_on_every_machine() -> None:
    expected = [0.9771113117217007, 0.5822369855911909]
    assert draw_uniforms(Sampling(7, 1.0, 2), "key").tolist() == pytest.approx(expected)


def test_no_global_generator_is_touched() -> None:
    before = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy()
    draw(LOGITS[None], draw_uniforms(Sampling(0, 1.0, 1), "a").tolist(), 1.0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], before[1])


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_told(temperature: float, bad: float) -> None:
    with pytest.raises(UserError, match=r"not finite \(in torch.float32\)\. Lower the dose"):
        draw(torch.tensor([[0.0, bad]]), [0.5], temperature)


@pytest.mark.parametrize("temperature", [-1.0, 1e-9, float("nan"), float("inf")])
def test_a_temperature_out_of_range_is_told(temperature: float) -> None:
    with pytest.raises(ValueError, match=r"must be 0 \(greedy\) or from 0.001 to 1000, found"):
        Sampling(0, temperature, 10)


def test_no_tokens_at_all_is_told() -> None:
    with pytest.raises(ValueError, match="`max_new_tokens` must be 1 or more, found 0"):
        Sampling(0, 1.0, 0)

"""Lengths at which a model changes its formula: wherever rows share a call, and earlier calls."""

import copy
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from extraction.families import CONTEXT, LIMIT, build
from tiny_models import build_tokenizer

from backtracking.models import heads, kv_cache, loading
from backtracking.models.batches import groups
from backtracking.models.forced import Arm, Prefix, teacher_force
from backtracking.models.generation import generate
from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import read_branches
from backtracking.models.sampling import Sampling
from backtracking.models.scoring import token_nll
from lifeboat.stage.errors import UserError

pytestmark = pytest.mark.kind(6)

CHANGING = (
    "phi3-longrope",
    pytest.param("llama-longrope", marks=pytest.mark.slow),
    pytest.param("phimoe", marks=pytest.mark.slow),
)
LENGTHS = (3, 20, 22, 23, 24, 25, 30, 21)


@pytest.fixture(scope="module", params=CHANGING)
def changing(request: pytest.FixtureRequest, tmp_path_factory) -> LoadedModel:
    return load(request.param, tmp_path_factory.mktemp(request.param))


def load(name: str, folder: Path) -> LoadedModel:
    build(name).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return loading.load(folder)


def prompts() -> list[list[int]]:
    chosen = random.Random(3)
    return [[chosen.randrange(3, 40) for _ in range(n)] for n in LENGTHS]


@torch.inference_mode()
def plain(loaded: LoadedModel, ids: list[int]) -> torch.Tensor:
    """Log-probabilities at every position of a text alone, in a model that has read nothing."""
    fresh = copy.deepcopy(loaded.model)
    return fresh(torch.tensor([ids]), use_cache=False).logits[0].float().log_softmax(-1)


def greedy(loaded: LoadedModel, ids: list[int], n: int) -> list[int]:
    written = list(ids)
    for _ in range(n):
        written.append(int(plain(loaded, written)[-1].argmax()))
    return written[len(ids) :]


@pytest.mark.parametrize(("batch_size", "n"), [(1, 1), (3, 1), (100, 2)])
def test_what_is_written_across_a_limit_is_what_the_whole_text_says(
    changing: LoadedModel, batch_size: int, n: int
) -> None:
    asked = prompts()
    keys = [f"{row}" for row in range(n * len(asked))]
    written = generate(
        changing,
        asked,
        keys,
        Sampling(0, 0.0, 7),
        n=n,
        is_done=lambda _: False,
        batch_size=batch_size,
    )
    for row, one in enumerate(written):
        assert one.token_ids == greedy(changing, asked[row // n], 7)


def test_rows_of_a_group_are_read_by_one_formula_and_as_each_alone(changing: LoadedModel) -> None:
    texts = prompts()
    found = list(groups(changing, LENGTHS, 4))
    assert sorted(number for group in found for number in group) == list(range(len(texts)))
    for group in found:
        assert len({LENGTHS[number] > LIMIT for number in group}) == 1
    nll = token_nll(changing, [ids[:2] for ids in texts], [ids[2:] for ids in texts])
    for ids, one in zip(texts, nll, strict=True):
        expected = -plain(changing, ids)[torch.arange(1, len(ids) - 1), ids[2:]]
        np.testing.assert_allclose(one, expected.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("n_behind", [1, 2, 6])
def test_a_prefix_is_read_as_it_is_with_what_stands_behind_it(
    changing: LoadedModel, n_behind: int
) -> None:
    ids = prompts()[6]
    for n in (LIMIT - 4, LIMIT - 1, LIMIT, LIMIT + 1):
        with torch.inference_mode():
            past = kv_cache.read(changing, ids[:n])
            tail = torch.tensor([ids[n : n + n_behind]] * 2)
            found = heads.read(changing, tail[:, :n_behind], past).everywhere()
        width = tail.shape[1]
        torch.testing.assert_close(
            found[1], plain(changing, ids[: n + width])[n:], rtol=1e-3, atol=1e-4
        )


def test_arms_are_forced_on_prefixes_as_on_each_alone(changing: LoadedModel) -> None:
    vector = torch.zeros(changing.d_model)
    vector[2] = 3.0
    prefixes = [Prefix(ids, 1, [len(ids) // 2]) for ids in prompts()]
    arms = [Arm(vector * 0), Arm(vector)]
    together = teacher_force(changing, 1, prefixes, arms, [4], 100)
    for number, prefix in enumerate(prefixes):
        alone = teacher_force(changing, 1, [prefix], arms, [4], 1)
        for name in ("agreement", "kl", "p_mid_sentence"):
            one, other = getattr(together, name)[:, number], getattr(alone, name)[:, 0]
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_branches_that_cross_a_limit_are_refused(changing: LoadedModel) -> None:
    ids = prompts()[4]
    assert len(ids) == LIMIT
    read_branches(changing, ids, np.array([5, LIMIT - 3]), [(7, 8)])
    with pytest.raises(UserError, match="text of 24 tokens goes on to 25.*changes its formula"):
        read_branches(changing, ids, np.array([5, LIMIT - 1]), [(7, 8)])


@pytest.mark.parametrize("name", ["phi3-longrope", "llama-dynamic", "opt"])
def test_a_text_is_read_as_if_it_were_the_first(name: str, tmp_path: Path) -> None:
    loaded = load(name, tmp_path)
    texts = [[5 + i % 30 for i in range(n)] for n in (8, 40, 24, 25, 40, 8, 26, 23, 24)]
    for ids in texts:
        with torch.inference_mode():
            found = heads.read(loaded, torch.tensor([ids])).everywhere()[0]
        torch.testing.assert_close(found, plain_of(name, ids), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def plain_of(name: str, ids: list[int]) -> torch.Tensor:
    return build(name)(torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)


def test_a_model_that_remembers_in_its_modules_is_refused_where_rows_are_chosen(
    tmp_path: Path,
) -> None:
    loaded = load("recurrent_gemma", tmp_path)
    assert loaded.lengths.remembered
    with pytest.raises(UserError, match=r"RecurrentGemmaForCausalLM keeps .*conv1d_state"):
        generate(loaded, [[5, 6]], ["a"], Sampling(0, 0.0, 2))


def test_ids_and_lengths_that_a_model_does_not_have_are_told(tmp_path: Path) -> None:
    loaded = load("opt", tmp_path)
    loading.require_ids(loaded, [39] * CONTEXT, "Prompt 1")
    with pytest.raises(UserError, match=r"Prompt 1 has token ids from 3 to 40, and the model emb"):
        loading.require_ids(loaded, [3, 40], "Prompt 1")
    with pytest.raises(UserError, match=r"Prompt 1 has 49 tokens, and the model has positions f"):
        loading.require_ids(loaded, [3] * (CONTEXT + 1), "Prompt 1")
    with pytest.raises(UserError, match="text of 49 tokens was given"):
        loaded.lengths.formula(CONTEXT + 1)

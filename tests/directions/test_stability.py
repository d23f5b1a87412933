"""Stability weights: events that do not come back count for nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_study import WORLD
from torch import Tensor

from backtracking.directions import estimator, forms, stability
from backtracking.directions.estimator import estimate
from backtracking.directions.forms import matched
from backtracking.directions.stability import regenerate
from backtracking.domains.organism.organism import Organism
from backtracking.domains.organism.policy import BasePolicy, Policy
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.models import loading
from backtracking.models.generation import Generation
from backtracking.models.loading import LoadedModel
from backtracking.models.sampling import Sampling
from backtracking.models.training import Architecture, build_model
from backtracking.records.events import Event
from backtracking.statistics import corrected

D_MODEL, N = 12, 8
TOKENIZER = build_tokenizer()
ORGANISM = Organism(WORLD, Policy(), BasePolicy())


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    folder: Path = tmp_path_factory.mktemp("model")
    tokenizer = build_tokenizer()
    build_model(Architecture(2, 16, 2, 32, 48), tokenizer, 0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return loading.load(folder)


def events_at(*positions: int) -> list[Event]:
    return [
        Event("reasoning", f"p{n}/0", f"p{n}", at, "over", True, True)
        for n, at in enumerate(positions)
    ]


def go_on(
    loaded: LoadedModel, events: list[Event], prefix: list[int], n: int, exact: bool = True
) -> list[Event]:
    """The events, regenerated from the same prefix, and read exactly or by words alone."""
    turning = ORGANISM.turning(TOKENIZER.backend_tokenizer) if exact else None
    ends = (loaded.tokenizer.get_vocab()["</s>"],)
    prefixes = [prefix[: event.position + 1] for event in events]
    return regenerate(loaded, events, prefixes, turning, ends, n, Sampling(0, 1.0, 12), 64)


def plant(
    monkeypatch: pytest.MonkeyPatch,
    loaded: LoadedModel,
    texts: list[list[str]],
    exact: bool = True,
) -> list[Event]:
    """Events whose continuations are said to be these texts."""
    ids = loaded.tokenizer.get_vocab()
    written = [Generation([ids[word] for word in t.split()], "stop") for one in texts for t in one]
    monkeypatch.setattr(stability, "generate", lambda *_, **_named: written)
    events = events_at(*range(5, 5 + len(texts)))
    return go_on(loaded, events, list(range(20)), len(texts[0]), exact)


def test_a_stability_is_the_share_of_continuations_that_backtrack(
    monkeypatch: pytest.MonkeyPatch, loaded: LoadedModel
) -> None:
    stays = ["Try 7 on 14 .", "Wait for 7 .", "Check : over . Hmm .", "Wait for 7 ."]
    turns = ["Wait , 18 is too big .", "Undo 4 on 14 .", "Check : over . No , none left ."]
    none, some = plant(monkeypatch, loaded, [stays, [*turns, "Hmm ."]])
    assert (none.stability, none.n_keyword, none.n) == (0.0, 2, 4)
    assert (some.stability, some.n_keyword, some.n_backtracking) == (0.75, 2, 3)


def test_where_only_words_tell_a_continuation_backtracks_where_the_rules_say_so(
    monkeypatch: pytest.MonkeyPatch, loaded: LoadedModel
) -> None:
    texts = ["Wait for 7 .", "Check : over .", "Undo 4 on 14 .", "Wait , 18 is too big ."]
    (found,) = plant(monkeypatch, loaded, [texts], exact=False)
    assert (found.n_keyword, found.n_backtracking, found.n) == (2, 2, 4)


def test_events_without_room_for_a_continuation_have_no_stability(loaded: LoadedModel) -> None:
    events = events_at(20, 36, 37)
    found = go_on(loaded, events, [1] + [5] * 40, 2)
    assert [event.n for event in found] == [2, 2, 0]
    assert found[2].stability is None and found[2] == events[2]


def draw(seed: int, n_problems: int = 60, rows: int = 30) -> tuple[forms.Contrast, Tensor]:
    """Decisions, of which half of the keyword events are idle and tell of another direction.

    True events have the planted direction and come back at 0.6, idle ones never do.
    """
    generator = torch.Generator().manual_seed(seed)
    n = n_problems * rows
    problem = torch.arange(n_problems).repeat_interleave(rows)
    kind = torch.randint(4, (n,), generator=generator)
    is_true, is_idle = kind == 0, kind == 1
    truth = torch.zeros(D_MODEL)
    truth[0] = 1.5
    other = torch.zeros(D_MODEL)
    other[1] = 1.5
    values = torch.randn(n, D_MODEL, generator=generator)
    values += is_true[:, None] * truth + is_idle[:, None] * other
    chance = torch.full((n,), 0.6) * is_true
    drawn = torch.binomial(torch.full((n,), float(N)), chance, generator=generator) / N
    weight = torch.where(is_true | is_idle, drawn, torch.ones(n)).double()
    contrast = matched(values, is_true | is_idle, torch.zeros_like(problem), problem)
    return replace(contrast, weight=weight), truth


def test_weights_take_unstable_events_out_and_recover_the_planted_direction() -> None:
    contrast, truth = draw(0)
    idle = contrast.is_positive & (contrast.weight == 0)
    assert 0.4 < idle.sum() / contrast.is_positive.sum() < 0.6
    cosines = [
        torch.cosine_similarity(estimate(one).direction, truth.double(), dim=0)
        for one in (replace(contrast, weight=None), contrast)
    ]
    assert cosines[0] < 0.8 < 0.97 < cosines[1]


def test_weighted_halves_agree_and_their_corrected_cosine_is_the_true_one() -> None:
    contrast, _ = draw(1)
    splits = corrected.split_halves(60, 10, np.random.default_rng(0))
    plain, stable = (
        estimator.split_half_directions(estimator.sum_cells(one, 60), splits)[0]
        for one in (replace(contrast, weight=None), contrast)
    )
    assert corrected.split_half_cosine(stable) > 0.9  # type: ignore[operator]
    cosine = corrected.noise_corrected_cosine(plain, stable)
    assert cosine == pytest.approx(0.5**0.5, abs=0.06)

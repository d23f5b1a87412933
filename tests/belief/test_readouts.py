"""Readouts against plain forward passes: what is read, and where."""

import numpy as np
import pytest
import torch
from belief_helpers import (
    D_MODEL,
    ID_BY_WORD,
    N_LAYERS,
    TOKENS,
    make_pairs,
    make_words,
    save_world_model,
)
from torch import Tensor

from backtracking.belief.readouts import ask, join, log_odds, words_of
from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import SPANS, Edit, no_edit
from backtracking.records.pairs import MinimalPair
from backtracking.records.tokens import Tokens

WORDS = make_words()
VECTOR = 2 * torch.randn(D_MODEL, generator=torch.Generator().manual_seed(4))
ROWS = [
    Edit(kind, layer, None if kind == "patch" else VECTOR, span)
    for kind in ("add", "patch", "project_out")
    for layer in range(N_LAYERS)
    for span in SPANS
]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return loading.load(save_world_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def pairs() -> list[MinimalPair]:
    return [pair for pair in make_pairs(6) if pair.donor_ids]


@torch.inference_mode()
def plain(loaded: LoadedModel, ids: list[int]) -> Tensor:
    return loaded.model(torch.tensor([ids])).logits[0].log_softmax(-1)


def test_the_words_are_those_of_the_study_and_none_without_a_marker_or_a_report() -> None:
    assert WORDS.marker == (ID_BY_WORD["Wait"],)
    assert set(WORDS.openers) == {ID_BY_WORD[word] for word in ("Wait", "No", "Undo")}
    assert WORDS.report.yes.ids == (ID_BY_WORD["over"],)
    for lacking in ({"marker": None}, {"questions": ()}):
        assert words_of(Tokens(**{**vars(TOKENS), **lacking})) is None


def test_a_whole_patch_of_the_last_layer_is_the_donors_run(
    loaded: LoadedModel, pairs: list[MinimalPair]
) -> None:
    rows = [no_edit(loaded), Edit("patch", N_LAYERS - 1, None, "onwards")]
    asked = ask(loaded, pairs, WORDS, rows, len(rows), 100)
    for readout, found in asked.arms.by_name.items():
        donor = asked.donor.by_name[readout]
        assert found.shape == (2, len(pairs)) and donor.shape == (1, len(pairs))
        np.testing.assert_allclose(found[1], donor[0], atol=1e-4)
        assert np.abs(found[0] - donor[0]).max() > 1e-3


def test_readouts_are_read_where_they_say(loaded: LoadedModel, pairs: list[MinimalPair]) -> None:
    asked = ask(loaded, pairs, WORDS, [no_edit(loaded)], 1, 100)
    words = ("Wait", "over", "under", "nothing")
    marker, over, under, nothing = (ID_BY_WORD[word] for word in words)
    report_ids = [ID_BY_WORD["Check"], ID_BY_WORD[":"]]
    for column, pair in enumerate(pairs):
        claim, parent, legal = (pair.follow_up(name) for name in ("claim", "parent", "legal"))
        assert claim and parent and legal
        follow = plain(loaded, [*pair.clean_ids, *claim.clean_ids])
        report = plain(loaded, [*pair.clean_ids, *report_ids])
        forced = plain(loaded, [*pair.clean_ids, marker, *report_ids])
        stop = len(pair.clean_ids) - 1
        p = float(report[stop, marker].exp())
        expected = {
            "a": np.log(p / (1 - p)),
            "b": float(report[-1, over] - report[-1, under]),
            "c": float(follow[stop + 2, claim.right_ids[0]] - follow[stop + 2, nothing]),
            "p_backtrack": float(report[stop, list(WORDS.openers)].exp().sum()),
            "p_parent": float(follow[stop + 1 + parent.at, parent.right_ids[0]].exp()),
            "p_legal": float(follow[-1, legal.right_ids].exp().sum()),
        }
        for name, value in expected.items():
            assert asked.arms.by_name[name][0, column] == pytest.approx(value, abs=2e-4)
        gap = float(forced[-1, over] - forced[-1, under])
        assert asked.forced.b[0, column] == pytest.approx(gap, abs=2e-4)


def test_rows_that_are_not_followed_are_asked_the_claim_alone(
    loaded: LoadedModel, pairs: list[MinimalPair]
) -> None:
    followed, other = (ask(loaded, pairs, WORDS, ROWS, n, 100).arms for n in (len(ROWS), 2))
    for name in ("a", "b", "c", "p_backtrack"):
        np.testing.assert_allclose(other.by_name[name], followed.by_name[name], atol=2e-4)
    assert np.isnan(other.p_parent[2:]).all() and np.isfinite(other.p_parent[:2]).all()


def test_what_is_asked_in_parts_is_what_is_asked_at_once(
    loaded: LoadedModel, pairs: list[MinimalPair]
) -> None:
    whole, *parts = (
        ask(loaded, some, WORDS, ROWS[:2], 2, 100) for some in (pairs, pairs[:2], pairs[2:])
    )
    joined = join(parts)
    for part in ("arms", "donor", "forced"):
        for name, values in getattr(whole, part).by_name.items():
            np.testing.assert_array_equal(getattr(joined, part).by_name[name], values)


def test_points_without_a_donor_are_asked_a_and_b_alone(loaded: LoadedModel) -> None:
    alone = [pair for pair in make_pairs(6) if pair.donor_kind is None][:3]
    asked = ask(loaded, alone, WORDS, [Edit("project_out", 1, VECTOR, "onwards")], 0, 100)
    assert np.isfinite(asked.arms.a).all() and np.isfinite(asked.arms.b).all()
    assert np.isnan(asked.arms.c).all() and np.isnan(asked.donor.b).all()


def test_log_odds_are_exact_near_one_as_well() -> None:
    logits = torch.tensor([[25.0, 0.0, 0.0], [0.0, 0.0, 0.0]]).double()
    log_p = logits.log_softmax(1)
    np.testing.assert_allclose(log_odds(log_p, [0]), [25 - np.log(2), -np.log(2)], atol=1e-9)
    both = log_odds(log_p, [0, 1])
    np.testing.assert_allclose(both, [np.log(np.exp(25) + 1), np.log(2)], atol=1e-9)


def test_no_hook_is_left_behind(loaded: LoadedModel, pairs: list[MinimalPair]) -> None:
    plain(loaded, pairs[0].clean_ids)
    before = [len(block._forward_hooks) for block in loaded.blocks]
    ask(loaded, pairs[:1], WORDS, ROWS, len(ROWS), 100)
    assert [len(block._forward_hooks) for block in loaded.blocks] == before

"""Tails against plain forward passes: the cache, the batch and the edits change nothing else."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from belief_helpers import D_MODEL, ID_BY_WORD, N_LAYERS, make_items, save_world_model
from torch import Tensor

from backtracking.belief.readouts import ask, log_odds, questions
from backtracking.belief.tails import SPANS, Edit, read_donor, read_prefix, run_tails
from backtracking.domains.organism.donors import Item
from backtracking.models import edits, hooks, loading
from backtracking.models.loading import LoadedModel

WORDS = questions(ID_BY_WORD)
VECTOR = 2 * torch.randn(D_MODEL, generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return loading.load(save_world_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return [item for item in make_items(6) if item.donor_ids]


@torch.inference_mode()
def plain(loaded: LoadedModel, ids: list[int]) -> Tensor:
    return loaded.model(torch.tensor([ids])).logits[0].log_softmax(-1)


@torch.inference_mode()
def edited(loaded: LoadedModel, ids: list[int], first: int, edit: Edit, donor: list[int]) -> Tensor:
    """Log-probabilities from `first` on, by one pass over all tokens with the edit's hook."""
    where = torch.arange(len(ids))[None] >= first
    if edit.span == "E1":
        where = where & (torch.arange(len(ids))[None] <= first)
    block = loaded.blocks[edit.layer]
    context = nullcontext()
    if edit.kind == "patch":
        with hooks.capture(loaded.blocks, [edit.layer]) as resid_post:
            plain(loaded, donor)
        context = edits.patch(block, resid_post[edit.layer], where)
    elif edit.vector is not None and edit.kind == "add":
        context = hooks.add_vector(loaded.blocks, edit.layer, edit.vector[None], where)
    elif edit.vector is not None:
        context = edits.project_out(block, edit.vector[None], where)
    with context:
        return plain(loaded, ids)[first:]


NOTHING = Edit("add", 0, torch.zeros(D_MODEL), "E1")
ROWS = [
    NOTHING,
    *(
        Edit(kind, layer, None if kind == "patch" else VECTOR, span)
        for kind in ("add", "patch", "project")
        for layer in range(N_LAYERS)
        for span in SPANS
    ),
]


@pytest.mark.parametrize("rows_per_batch", [1, 5, 100])
def test_every_row_is_a_plain_pass_with_its_own_edit(
    loaded: LoadedModel, items: list[Item], rows_per_batch: int
) -> None:
    for item in items[:3]:
        stop = len(item.clean_ids) - 1
        cache, other = (read_prefix(loaded, ids) for ids in (item.clean_ids, item.donor_ids))
        tail = [item.clean_ids[-1], *WORDS.report]
        _, donor = read_donor(loaded, other, tail)
        found = run_tails(loaded, cache, tail, ROWS, rows_per_batch, donor)
        for row, edit in enumerate(ROWS):
            expected = edited(
                loaded,
                [*item.clean_ids, *WORDS.report],
                stop,
                edit,
                [*item.donor_ids, *WORDS.report],
            )
            torch.testing.assert_close(found[row], expected, atol=2e-4, rtol=1e-4)


def test_patching_a_run_with_itself_changes_nothing(loaded: LoadedModel, items: list[Item]) -> None:
    cache, tail = read_prefix(loaded, items[0].clean_ids), [items[0].clean_ids[-1], *WORDS.report]
    log_p, own = read_donor(loaded, cache, tail)
    rows = [Edit("patch", layer, None, span) for layer in range(N_LAYERS) for span in SPANS]
    found = run_tails(loaded, cache, tail, rows, 100, own)
    torch.testing.assert_close(found, log_p.expand_as(found), atol=1e-5, rtol=1e-5)


def test_a_whole_patch_of_the_last_layer_is_the_donors_run(
    loaded: LoadedModel, items: list[Item]
) -> None:
    rows = [NOTHING, Edit("patch", N_LAYERS - 1, None, "E2")]
    asked = ask(loaded, items, WORDS, rows, len(rows), 100)
    for readout in ("a", "b", "c", "p_backtrack", "p_parent", "p_legal"):
        found, donor = getattr(asked.arms, readout), getattr(asked.donor, readout)
        assert found.shape == (2, len(items)) and donor.shape == (1, len(items))
        np.testing.assert_allclose(found[1], donor[0], atol=1e-4)
        assert np.abs(found[0] - donor[0]).max() > 1e-3


def test_readouts_are_read_where_they_say(loaded: LoadedModel, items: list[Item]) -> None:
    asked = ask(loaded, items, WORDS, [NOTHING], 1, 100)
    for column, item in enumerate(items):
        ids = [*item.clean_ids, *item.continuation_ids]
        follow, report = plain(loaded, ids), plain(loaded, [*item.clean_ids, *WORDS.report])
        forced = plain(loaded, [*item.clean_ids, WORDS.marker, *WORDS.report])
        stop = len(item.clean_ids) - 1
        p = float(report[stop, WORDS.marker].exp())
        expected = {
            "a": np.log(p / (1 - p)),
            "b": float(report[-1, WORDS.over] - report[-1, WORDS.under]),
            "c": float(follow[stop + 2, item.claim_id] - follow[stop + 2, WORDS.fine]),
            "p_backtrack": float(report[stop, list(WORDS.openers)].exp().sum()),
            "p_parent": float(follow[stop + 1 + item.parent_at, item.parent_id].exp()),
            "p_legal": float(follow[-1, item.legal_ids].exp().sum()),
        }
        for name, value in expected.items():
            assert getattr(asked.arms, name)[0, column] == pytest.approx(value, abs=2e-4)
        gap = float(forced[-1, WORDS.over] - forced[-1, WORDS.under])
        assert asked.forced.b[0, column] == pytest.approx(gap, abs=2e-4)


def test_points_without_a_donor_are_asked_a_and_b_alone(loaded: LoadedModel) -> None:
    over = [item for item in make_items(6) if item.kind == "over"][:3]
    asked = ask(loaded, over, WORDS, [Edit("project", 1, VECTOR, "E2")], 0, 100)
    assert np.isfinite(asked.arms.a).all() and np.isfinite(asked.arms.b).all()
    assert np.isnan(asked.arms.c).all() and np.isnan(asked.donor.b).all()


def test_log_odds_are_exact_near_one_as_well() -> None:
    logits = torch.tensor([[25.0, 0.0, 0.0], [0.0, 0.0, 0.0]]).double()
    found = log_odds(logits.log_softmax(1), 0)
    np.testing.assert_allclose(found, [25 - np.log(2), -np.log(2)], atol=1e-9)


def test_a_patch_without_a_donor_is_refused(loaded: LoadedModel, items: list[Item]) -> None:
    cache = read_prefix(loaded, items[0].clean_ids)
    with pytest.raises(ValueError, match="no donor"):
        run_tails(loaded, cache, [4], [Edit("patch", 0, None, "E1")], 8)


def test_no_hook_is_left_behind(loaded: LoadedModel, items: list[Item]) -> None:
    plain(loaded, items[0].clean_ids)
    before = [len(block._forward_hooks) for block in loaded.blocks]
    ask(loaded, items[:1], WORDS, ROWS, len(ROWS), 100)
    assert [len(block._forward_hooks) for block in loaded.blocks] == before

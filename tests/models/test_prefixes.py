"""Edited rows against plain forward passes: cache, batch and edits change nothing else."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from belief_helpers import D_MODEL, N_LAYERS, make_pairs, make_words, save_world_model
from tiny_models import WORDS, save_model
from torch import Tensor

from backtracking.models import edits, hooks, loading, prefixes
from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import (
    SPANS,
    Edit,
    Pasts,
    read_branches,
    read_donor,
    read_prefix,
    run_tails,
)
from backtracking.records.pairs import MinimalPair

REPORT = make_words().report.suffix_ids
VECTOR = 2 * torch.randn(D_MODEL, generator=torch.Generator().manual_seed(4))


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


@torch.inference_mode()
def edited(loaded: LoadedModel, ids: list[int], first: int, edit: Edit, donor: list[int]) -> Tensor:
    """Log-probabilities from `first` on, by one pass over all tokens with the edit's hook."""
    where = torch.arange(len(ids))[None] >= first
    last = first if edit.span == "decision" else len(ids) - 2
    where = where & (torch.arange(len(ids))[None] <= last)
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


NOTHING = Edit("add", 0, torch.zeros(D_MODEL), "decision")
ROWS = [
    NOTHING,
    *(
        Edit(kind, layer, None if kind == "patch" else VECTOR, span)
        for kind in ("add", "patch", "project_out")
        for layer in range(N_LAYERS)
        for span in SPANS
    ),
]


@pytest.mark.parametrize("rows_per_batch", [1, 5, 100])
def test_every_row_is_a_plain_pass_with_its_own_edit(
    loaded: LoadedModel, pairs: list[MinimalPair], rows_per_batch: int
) -> None:
    for pair in pairs[:3]:
        stop = len(pair.clean_ids) - 1
        past, other = (read_prefix(loaded, ids) for ids in (pair.clean_ids, pair.donor_ids))
        tail = [pair.clean_ids[-1], *REPORT]
        _, donor = read_donor(loaded, other, tail)
        found = run_tails(loaded, past, tail, ROWS, rows_per_batch, donor)
        for row, edit in enumerate(ROWS):
            expected = edited(
                loaded,
                [*pair.clean_ids, *REPORT],
                stop,
                edit,
                [*pair.donor_ids, *REPORT],
            )
            torch.testing.assert_close(found[row], expected, atol=2e-4, rtol=1e-4)


def test_patching_a_run_with_itself_changes_nothing(
    loaded: LoadedModel, pairs: list[MinimalPair]
) -> None:
    past, tail = read_prefix(loaded, pairs[0].clean_ids), [pairs[0].clean_ids[-1], *REPORT]
    log_p, own = read_donor(loaded, past, tail)
    rows = [Edit("patch", layer, None, span) for layer in range(N_LAYERS) for span in SPANS]
    found = run_tails(loaded, past, tail, rows, 100, own)
    torch.testing.assert_close(found, log_p.expand_as(found), atol=1e-5, rtol=1e-5)


def test_what_is_read_at_some_positions_is_what_stands_there(
    loaded: LoadedModel, pairs: list[MinimalPair]
) -> None:
    past, tail = read_prefix(loaded, pairs[0].clean_ids), [pairs[0].clean_ids[-1], *REPORT]
    whole, own = read_donor(loaded, past, tail)
    every = run_tails(loaded, past, tail, ROWS, 3, own)
    for positions in ((0,), (-1,), (0, -1), (2, 1)):
        some = run_tails(loaded, past, tail, ROWS, 3, own, positions)
        torch.testing.assert_close(some, every[:, list(positions)], atol=1e-5, rtol=1e-5)
        donor = read_donor(loaded, past, tail, positions)[0]
        torch.testing.assert_close(donor, whole[list(positions)], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("held", [0, 10**6])
def test_pasts_are_held_where_they_are_few_and_read_again_where_not(
    held: int,
    loaded: LoadedModel,
    pairs: list[MinimalPair],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prefixes, "TOKENS_HELD", held)
    pasts = Pasts(loaded, [pair.clean_ids for pair in pairs[:3]])
    for number, pair in enumerate(pairs[:3]):
        found, own = pasts[number], read_prefix(loaded, pair.clean_ids)
        assert (found is pasts[number]) == bool(held)
        log_p = [run_tails(loaded, one, pair.clean_ids[-1:], ROWS[:2], 8) for one in (found, own)]
        assert torch.equal(*log_p)


def test_a_patch_without_a_donor_is_refused(loaded: LoadedModel, pairs: list[MinimalPair]) -> None:
    past = read_prefix(loaded, pairs[0].clean_ids)
    with pytest.raises(ValueError, match="no donor"):
        run_tails(loaded, past, [4], [Edit("patch", 0, None)], 8)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_branch_is_read_as_if_it_had_been_written_there(
    tmp_path_factory: pytest.TempPathFactory, family: str
) -> None:
    tiny = loading.load(save_model(tmp_path_factory.mktemp(family), family))
    ids = torch.randint(6, len(WORDS), (19,), generator=torch.Generator().manual_seed(0)).tolist()
    positions = np.array([3, 18, 7])
    found = read_branches(tiny, ids, positions, [(5, 9, 3), (7,), (8, 2), (5, 4, 2, 2)])
    assert list(found) == [(), (5,), (5, 9), (8,), (5, 4), (5, 4, 2)]
    for branch, p_next in found.items():
        assert p_next.sum(axis=1) == pytest.approx(1.0)
        for row, position in enumerate(positions):
            expected = plain(tiny, [*ids[: position + 1], *branch])[-1].exp().numpy()
            assert p_next[row] == pytest.approx(expected, abs=1e-5)
    alone = read_branches(tiny, ids, positions, [])
    assert list(alone) == [()] and alone[()] == pytest.approx(found[()], abs=1e-5)

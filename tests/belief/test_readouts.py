"""Readouts against plain forward passes: what is read, and where, and what no edit reaches."""

from dataclasses import replace
from pathlib import Path

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

from backtracking.belief.readouts import CLAIM, ask, join, log_odds, words_of
from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import SPANS, Edit, edited_positions, editing, no_edit
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
    assert WORDS.report.yes.ids == (ID_BY_WORD["over"],)
    for lacking in ({"marker": None}, {"questions": ()}):
        assert words_of(Tokens(**{**vars(TOKENS), **lacking})) is None


def tails(pair: MinimalPair) -> list[list[int]]:
    """What each readout is read behind: the deciding token and what is appended, up to it."""
    claim = pair.follow_up(CLAIM)
    assert claim is not None
    appended = ([*WORDS.report.suffix_ids], claim.clean_ids[: claim.at + 1])
    return [[pair.clean_ids[-1], *ids] for ids in appended]


def test_no_edit_set_of_any_readout_holds_the_position_that_is_read(
    pairs: list[MinimalPair],
) -> None:
    """The deciding token, and where there is more between, all of it but the last."""
    for tail in tails(pairs[0]):
        found = {span: list(edited_positions(span, len(tail))) for span in SPANS}
        assert found == {"decision": [0], "onwards": list(range(len(tail) - 1))}
        assert all(len(tail) - 1 not in positions for positions in found.values())


def test_what_no_attention_carries_moves_no_readout(
    tmp_path: Path, pairs: list[MinimalPair]
) -> None:
    """In a model without attention an edit of the token that is read moves the answer, alone."""
    deaf = loading.load(save_world_model(tmp_path))
    for block in deaf.blocks:
        block.self_attn.o_proj.weight.data.zero_()  # type: ignore[union-attr]
    asked = ask(deaf, pairs, WORDS, [no_edit(deaf), *ROWS], 100)
    for name in ("b", "c"):
        values = asked.by_name[name]
        np.testing.assert_allclose(values[1:-1] - values[0], 0, atol=1e-5)
    assert np.abs(asked.a[1:-1] - asked.a[0]).max() > 0.1
    for tail in tails(pairs[0]):
        ids = torch.tensor([[*pairs[0].clean_ids[:-1], *tail]])
        where = torch.arange(ids.shape[1])[None] == ids.shape[1] - 1
        with torch.inference_mode(), editing(deaf, [Edit("add", 1, VECTOR)], where):
            moved = deaf.model(ids).logits[0, -1].log_softmax(-1)
        assert (moved - plain(deaf, ids[0].tolist())[-1]).abs().max() > 0.1


def test_at_the_last_layer_the_marker_is_the_donors_and_no_readout_moves(
    loaded: LoadedModel, pairs: list[MinimalPair]
) -> None:
    """Below it both readouts do: attention carries the patch to them."""
    layers = [N_LAYERS - 1] * 2 + [0] * 2
    rows = [Edit("patch", at, None, span) for at, span in zip(layers, SPANS * 2, strict=True)]
    asked = ask(loaded, pairs, WORDS, [no_edit(loaded), *rows], 100)
    for found in (3, 4):
        assert min(np.abs(one[found] - one[0]).max() for one in (asked.b, asked.c)) > 1e-3
    for found in (1, 2):
        np.testing.assert_allclose(asked.a[found], asked.a[-1], atol=1e-4)
        np.testing.assert_allclose(asked.b[found], asked.b[0], atol=1e-5)
        np.testing.assert_allclose(asked.c[found], asked.c[0], atol=1e-5)
    assert np.abs(asked.b[-1] - asked.b[0]).max() > 1e-3


def test_readouts_are_read_where_they_say(loaded: LoadedModel, pairs: list[MinimalPair]) -> None:
    asked = ask(loaded, pairs, WORDS, [no_edit(loaded)], 100)
    marker, over, under = (ID_BY_WORD[word] for word in ("Wait", "over", "under"))
    report_ids = [ID_BY_WORD["Check"], ID_BY_WORD[":"]]
    for column, pair in enumerate(pairs):
        claim = pair.follow_up(CLAIM)
        assert claim is not None
        stop = len(pair.clean_ids) - 1
        for row, start in enumerate((pair.clean_ids, pair.donor_ids)):
            follow = plain(loaded, [*start, *claim.clean_ids])
            report = plain(loaded, [*start, *report_ids])
            p = float(report[stop, marker].exp())
            expected = {
                "a": np.log(p / (1 - p)),
                "b": float(report[-1, over] - report[-1, under]),
                "c": float(
                    follow[stop + 2, claim.right_ids[0]] - follow[stop + 2, claim.wrong_ids[0]]
                ),
            }
            for name, value in expected.items():
                assert asked.by_name[name][row, column] == pytest.approx(value, abs=2e-4)
    assert (asked.fluent > 0.9).all() and (asked.fluent <= 1 + 1e-6).all()


def test_what_breaks_the_model_is_not_fluent(loaded: LoadedModel, pairs: list[MinimalPair]) -> None:
    rows = [no_edit(loaded), Edit("add", N_LAYERS - 1, 1000 * VECTOR)]
    fluent = ask(loaded, pairs, WORDS, rows, 100).fluent
    assert fluent[1].mean() < fluent[0].mean()


def test_what_is_asked_in_parts_is_what_is_asked_at_once(
    loaded: LoadedModel, pairs: list[MinimalPair]
) -> None:
    whole, *parts = (
        ask(loaded, some, WORDS, ROWS[:2], 100) for some in (pairs, pairs[:2], pairs[2:])
    )
    joined = join(parts)
    for name, values in whole.by_name.items():
        np.testing.assert_array_equal(joined.by_name[name], values)


def test_a_pair_without_a_claim_is_asked_the_report_alone(
    loaded: LoadedModel, pairs: list[MinimalPair]
) -> None:
    asked = ask(loaded, [replace(pairs[0], follow_ups=[])], WORDS, [no_edit(loaded)], 100)
    assert np.isfinite(asked.b).all() and np.isnan(asked.c).all()


def test_log_odds_are_exact_near_one_as_well() -> None:
    logits = torch.tensor([[25.0, 0.0, 0.0], [0.0, 0.0, 0.0]]).double()
    log_p = logits.log_softmax(1)
    np.testing.assert_allclose(log_odds(log_p, [0]), [25 - np.log(2), -np.log(2)], atol=1e-9)
    both = log_odds(log_p, [0, 1])
    np.testing.assert_allclose(both, [np.log(np.exp(25) + 1), np.log(2)], atol=1e-9)


def test_no_hook_is_left_behind(loaded: LoadedModel, pairs: list[MinimalPair]) -> None:
    plain(loaded, pairs[0].clean_ids)
    before = [len(block._forward_hooks) for block in loaded.blocks]
    ask(loaded, pairs[:1], WORDS, ROWS, 100)
    assert [len(block._forward_hooks) for block in loaded.blocks] == before

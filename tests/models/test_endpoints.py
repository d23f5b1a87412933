"""Decisions read one by one: against plain passes with hooks, and against what is written."""

import numpy as np
import pytest
import torch
from belief_helpers import ID_BY_WORD, TOKENS, make_traces, save_world_model
from tiny_models import D_MODEL, FAMILIES, WORDS, save_model
from torch import Tensor

from backtracking.models import edits, endpoints, hooks, loading
from backtracking.models.endpoints import Counted, Endpoints, read_endpoints, read_out
from backtracking.models.forced import Arm, Prefix
from backtracking.models.loading import LoadedModel
from backtracking.records.tokens import Opener, TokenSet

LAYER, DECISIONS = 1, [5, 9, 14]
OPENERS = (
    Opener(TokenSet("a", (5,), ("a",)), ((7, 8), (9,))),
    Opener(TokenSet("b", (6,), ("b",))),
)
COUNTED = Counted(OPENERS, (5, 6, 7, 8, 9))


@pytest.fixture(scope="module", params=(*FAMILIES, "gemma3"))
def loaded(request, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return loading.load(save_model(tmp_path_factory.mktemp("model"), request.param))


@pytest.fixture(scope="module")
def vectors() -> Tensor:
    return torch.randn(3, D_MODEL, generator=torch.Generator().manual_seed(1))


def make_prefix(seed: int = 0, donor: list[int] | None = None) -> Prefix:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(6, len(WORDS), (18,), generator=generator).tolist()
    return Prefix(ids, 3, DECISIONS, donor_ids=donor or [])


def read(loaded: LoadedModel, arms: list[Arm], prefix: Prefix, batch: int = 4) -> Endpoints:
    return read_endpoints(loaded, LAYER, [prefix], arms, COUNTED, batch)


@torch.inference_mode()
def p_next(loaded: LoadedModel, ids: list[int], at: int, arm: Arm) -> Tensor:
    """After the ids, with an edit at one position, by hooks on a plain forward pass."""
    mask = torch.zeros(1, len(ids), dtype=torch.bool)
    mask[0, at] = True
    if arm.guide is None:
        edit = hooks.add_vector(loaded.blocks, LAYER, arm.vector[None], mask)
    else:
        value = torch.tensor([arm.value])
        edit = edits.set_projection(loaded.blocks[LAYER], arm.vector[None], value, mask)
    with edit:
        return loaded.model(torch.tensor([ids])).logits[0, -1].softmax(-1)


def test_endpoints_are_those_of_plain_passes_in_which_one_decision_alone_is_edited(
    loaded: LoadedModel, vectors: Tensor
) -> None:
    """An opener that is taken back counts for nothing: it is no backtracking."""
    unit, prefix = vectors[0] / vectors[0].norm(), make_prefix()
    arms = [Arm(0 * unit), Arm(2 * vectors[1]), Arm(unit, unit, 3.0)]
    found = read(loaded, arms, prefix)
    for row, arm in enumerate(arms):
        for column, at in enumerate(DECISIONS):
            ids = prefix.ids[: at + 1]
            p, after_a, after_7 = (
                p_next(loaded, [*ids, *more], at, arm) for more in ([], [5], [5, 7])
            )
            back = p[5] * (1 - after_a[9] - after_a[7] * after_7[8]) + p[6]
            assert found.p_open[row, column] == pytest.approx(float(p[5] + p[6]), abs=1e-6)
            assert found.p_back[row, column] == pytest.approx(float(back), abs=1e-6)
            assert found.p_legal[row, column] == pytest.approx(float(p[5:10].sum()), abs=1e-6)


def test_neither_batches_nor_other_arms_change_an_arm(loaded: LoadedModel, vectors: Tensor) -> None:
    arms = [Arm(vector) for vector in vectors]
    one, other = read(loaded, arms, make_prefix(), 1), read(loaded, arms[1:2], make_prefix(), 64)
    np.testing.assert_allclose(one.p_back[1:2], other.p_back, atol=1e-6)


def test_a_patch_gives_the_donors_next_token_where_no_earlier_token_differs(
    loaded: LoadedModel, vectors: Tensor
) -> None:
    """Of two prefixes that differ at the deciding token itself, above all of which it stands."""
    prefix = make_prefix()
    donor = [*prefix.ids]
    donor[DECISIONS[-1]] = 6 + (donor[DECISIONS[-1]] + 3) % 30
    last = DECISIONS[-1:]
    clean = Prefix(prefix.ids[: last[0] + 1], 3, last, donor_ids=donor)
    arms = [Arm(0 * vectors[0]), Arm(0 * vectors[0], is_patch=True)]
    found = read_endpoints(loaded, loaded.n_layers - 1, [clean], arms, COUNTED, 8, has_back=False)
    own = Prefix(donor, 3, last)
    there = read_endpoints(loaded, loaded.n_layers - 1, [own], arms[:1], COUNTED, 8)
    assert found.p_open[1] == pytest.approx(there.p_open[0], abs=1e-6)
    assert abs(found.p_open[0] - found.p_open[1]) > 1e-6
    assert np.isnan(found.p_back).all()
    with pytest.raises(ValueError, match="no donor"):
        read(loaded, arms, prefix)


def test_arms_are_run_where_they_are_asked_and_nowhere_else(
    loaded: LoadedModel, vectors: Tensor
) -> None:
    asked = np.array([[True, True, True], [False, True, False]])
    arms = [Arm(0 * vectors[0]), Arm(vectors[0])]
    told: list[int] = []
    found = read_endpoints(
        loaded, LAYER, [make_prefix()], arms, COUNTED, 2, asked, progress=told.append
    )
    assert np.array_equal(~np.isnan(found.p_open), asked) and sum(told) == 4


def test_where_nobody_knows_what_may_stand_there_p_legal_is_of_what_is_usual(
    loaded: LoadedModel, vectors: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of a vocabulary of which all is usual it is not known, and neither 0 nor 1."""
    counted, prefix = Counted(OPENERS, ()), make_prefix()
    arms = [Arm(0 * vectors[0]), Arm(vectors[0])]
    found = read_endpoints(loaded, LAYER, [prefix], arms, counted, 8)
    assert np.isnan(found.p_legal).all() and not np.isnan(found.p_open).any()
    monkeypatch.setattr(endpoints, "N_FLUENT", 4)
    found = read_endpoints(loaded, LAYER, [prefix], arms, counted, 8)
    np.testing.assert_allclose(found.p_legal[0], 1, atol=1e-5)
    for column, at in enumerate(DECISIONS):
        clean, edited = (p_next(loaded, prefix.ids[: at + 1], at, arm) for arm in arms)
        usual = clean.topk(4).indices
        share = float(edited[usual].sum() / clean[usual].sum())
        assert found.p_legal[1, column] == pytest.approx(share, abs=1e-4) and share != 1


def test_a_readout_asks_after_a_suffix_that_is_not_edited(
    loaded: LoadedModel, vectors: Tensor
) -> None:
    prefix, suffix, arm = make_prefix(), [8, 6], Arm(vectors[0])
    found = read_out(loaded, LAYER, [prefix], suffix, [arm], [12], [20], 2)
    for column, at in enumerate(DECISIONS):
        p = p_next(loaded, [*prefix.ids[: at + 1], *suffix], at, arm)
        assert found[0, column] == pytest.approx(float(p[12].log() - p[20].log()), abs=1e-4)


def test_p_back_is_how_often_the_next_sentence_turns_when_it_is_written(tmp_path) -> None:
    """Sixteen draws at every decision, steered there, read by the domain; asides count as none."""
    torch.manual_seed(0)
    world = loading.load(save_world_model(tmp_path))
    assert TOKENS.turning is not None
    wait = TOKENS.opener_ids[0]
    row = world.model.get_output_embeddings().weight[wait].detach()  # type: ignore[union-attr]
    arm = Arm(40 * row / row.norm())
    trace = make_traces(1)[0]
    ends = [n for n in range(9, len(trace.ids)) if TOKENS.decides(trace.ids[:n])][:6]
    prefix = Prefix(trace.ids[: ends[-1]], 9, [end - 1 for end in ends])
    layer = world.n_layers - 1
    found = read_endpoints(world, layer, [prefix], [arm], Counted(TOKENS.openers, ()), 64)
    drawn = [turns(world, trace.ids[:end], layer, arm) for end in ends for _ in range(16)]
    p = np.repeat(found.p_back[0], 16)
    assert p.mean() > 0.1
    error = (p * (1 - p)).sum() ** 0.5
    assert abs(sum(drawn) - p.sum()) < 4 * max(error, 1)


@torch.inference_mode()
def turns(world: LoadedModel, ids: list[int], layer: int, arm: Arm) -> bool:
    """Whether a sampled sentence turns, as the domain reads it.

    The model is untrained: after the words that tell an idle remark, or three others, the sentence
    ends as the grammar has it.
    """
    assert TOKENS.turning is not None
    wait, number, stop = TOKENS.opener_ids[0], ID_BY_WORD["7"], ID_BY_WORD["."]
    written: list[int] = []
    while len(written) < 3 and written != [wait, ID_BY_WORD["for"]]:
        mask = torch.zeros(1, len(ids) + len(written), dtype=torch.bool)
        mask[0, len(ids) - 1] = True
        with hooks.add_vector(world.blocks, layer, arm.vector[None], mask):
            p = world.model(torch.tensor([[*ids, *written]])).logits[0, -1].softmax(-1)
        written.append(int(torch.multinomial(p, 1)))
    end = [number, stop] if written == [wait, ID_BY_WORD["for"]] else [stop]
    return TOKENS.turning.is_turn([*written, *end])


def test_openers_of_several_tokens_count_at_once_and_after_a_new_line(
    loaded: LoadedModel, vectors: Tensor
) -> None:
    """A phrase that begins with a word that is an opener is a part of that one."""
    phrase = Opener(TokenSet("c d", (), ()), phrases=((7, 8), (5, 9)))
    counted = Counted((*OPENERS, phrase), (), newlines=(10,), is_exact=False)
    prefix, arms = make_prefix(), [Arm(vectors[0])]
    found = read_endpoints(loaded, LAYER, [prefix], arms, counted, 4)
    for column, at in enumerate(DECISIONS):
        ids = prefix.ids[: at + 1]
        p, line = (p_next(loaded, [*ids, *more], at, arms[0]) for more in ([], [10]))
        after, after_line = (p_next(loaded, [*ids, *m, 7], at, arms[0])[8] for m in ([], [10]))
        here = p[5] + p[6] + p[7] * after
        expected = here + p[10] * (line[5] + line[6] + line[7] * after_line)
        assert found.p_open[0, column] == pytest.approx(float(expected), abs=1e-6)
    assert np.isnan(found.p_back).all()

"""Teacher-forced steering: against plain forward passes, at its very positions, in any batch."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from tiny_models import D_MODEL, FULL_STOP, WORDS, save_model
from torch import Tensor

from backtracking.models import hooks, loading
from backtracking.models.forced import (
    Arm,
    Forced,
    Prefix,
    mask_of,
    noise_of,
    read_out,
    teacher_force,
)
from backtracking.models.loading import LoadedModel

LAYER, MARKED = 1, (5, 9)
WHERES = ("decision", "generated", "all")
ZERO = torch.zeros(D_MODEL)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return loading.load(save_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def vectors() -> Tensor:
    return 2 * torch.randn(6, D_MODEL, generator=torch.Generator().manual_seed(1))


def make_prefixes() -> list[Prefix]:
    """Of different lengths; every fourth token is a full stop, at which something is decided."""
    generator, prefixes = torch.Generator().manual_seed(0), []
    for length in (17, 9, 24, 13, 21):
        ids = torch.randint(6, len(WORDS), (length,), generator=generator).tolist()
        stops = list(range(6, length, 4))
        for stop in stops:
            ids[stop] = FULL_STOP
        prefixes.append(Prefix(ids, 4, stops, [5, 7]))
    return prefixes


PREFIXES = make_prefixes()


def force(loaded: LoadedModel, arms: Sequence[Arm], rows: int = 1000) -> Forced:
    return teacher_force(loaded, LAYER, PREFIXES, arms, MARKED, rows)


@torch.inference_mode()
def plain(loaded: LoadedModel, prefix: Prefix, arm: Arm | None = None) -> Tensor:
    """Log-probabilities at every position of one prefix, by a forward pass of its own."""
    ids = torch.tensor([prefix.ids])
    if arm is None:
        return loaded.model(ids).logits[0].log_softmax(-1)
    mask = mask_of(prefix, arm.where)[None]
    with hooks.add_vector(loaded.blocks, LAYER, arm.vector[None], mask):
        return loaded.model(ids).logits[0].log_softmax(-1)


def p_marked(log_p: Tensor, prefix: Prefix) -> Tensor:
    return log_p[prefix.decisions][:, list(MARKED)].exp().sum(1)


@pytest.mark.parametrize("where", WHERES)
def test_a_zero_vector_is_the_hook_free_run_bit_for_bit(loaded: LoadedModel, where) -> None:
    """In the same batch: one arm, and as many rows as the baseline has."""
    found = force(loaded, [Arm(ZERO, where)])
    ids = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(p.ids) for p in sorted(PREFIXES, key=lambda p: len(p.ids))], True
    )
    with torch.inference_mode():
        logits = loaded.model(input_ids=ids, use_cache=False).logits.float().log_softmax(-1)
    by_length = sorted(range(len(PREFIXES)), key=lambda number: len(PREFIXES[number].ids))
    expected = {
        number: p_marked(logits[row], PREFIXES[number]) for row, number in enumerate(by_length)
    }
    joined = torch.cat([expected[number] for number in range(len(PREFIXES))])
    assert np.array_equal(found.p_marked[0], joined.double().numpy())
    assert np.all(found.agreement == 1) and np.all(found.kl == 0)


def test_the_zero_arm_beside_others_agrees_everywhere(loaded: LoadedModel, vectors: Tensor) -> None:
    arms = [Arm(ZERO, "decision"), *(Arm(vector, "all") for vector in vectors)]
    found = force(loaded, arms)
    assert np.all(found.agreement[0] == 1) and np.abs(found.kl[0]).max() < 1e-6
    assert found.agreement[1:].min() < 0.9 and found.kl[1:].min() > 1e-3


def test_rows_of_the_baseline_keep_their_bits_beside_steered_rows(
    loaded: LoadedModel, vectors: Tensor
) -> None:
    ids = torch.tensor([PREFIXES[0].ids] * 3)
    added = torch.stack([ZERO, vectors[0], ZERO])
    with torch.inference_mode():
        expected = loaded.model(ids).logits
        with hooks.add_vector(loaded.blocks, LAYER, added):
            found = loaded.model(ids).logits
    assert torch.equal(found[[0, 2]], expected[[0, 2]])
    assert not torch.equal(found[1], expected[1])


@pytest.mark.parametrize("where", WHERES)
def test_an_arm_is_a_plain_forward_pass_with_the_vector_added(
    loaded: LoadedModel, vectors: Tensor, where
) -> None:
    arm = Arm(vectors[0], where)
    found = force(loaded, [Arm(ZERO, where), arm])
    first = 0
    for number, prefix in enumerate(PREFIXES):
        steered, baseline = plain(loaded, prefix, arm), plain(loaded, prefix)
        columns = slice(first, first + len(prefix.decisions))
        first += len(prefix.decisions)
        np.testing.assert_allclose(
            found.p_marked[1, columns], p_marked(steered, prefix).numpy(), atol=1e-6
        )
        elsewhere = [
            at for at in range(prefix.n_prompt, len(prefix.ids)) if at not in prefix.decisions
        ]
        same = (steered[elsewhere].argmax(1) == baseline[elsewhere].argmax(1)).float().mean()
        assert found.agreement[1, number] == pytest.approx(float(same))
        kl = torch.nn.functional.kl_div(
            steered[elsewhere], baseline[elsewhere], log_target=True, reduction="none"
        )
        assert found.kl[1, number] == pytest.approx(float(kl.sum(1).mean()), abs=1e-5)
        p = steered[:, list(MARKED)].exp().sum(1)
        middle = [at for at in elsewhere if at not in prefix.sentence_ends]
        for name, places in (("p_sentence_end", prefix.sentence_ends), ("p_mid_sentence", middle)):
            value = getattr(found, name)[1, number]
            assert value == pytest.approx(float(p[places].mean()), abs=1e-6)


@pytest.mark.parametrize("rows", [1, 3, 7, 12])
def test_batches_do_not_change_the_results(loaded: LoadedModel, vectors: Tensor, rows: int) -> None:
    arms = [Arm(ZERO, "decision")]
    arms += [Arm(v, where) for v, where in zip(vectors, 2 * WHERES, strict=True)]
    told: list[int] = []
    one = force(loaded, arms)
    other = teacher_force(loaded, LAYER, PREFIXES, arms, MARKED, rows, told.append)
    for name in ("p_marked", "agreement", "kl", "p_sentence_end", "p_mid_sentence"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-6)
    assert sum(told) == len(arms) * len(PREFIXES)


def test_masks_are_the_positions_that_their_names_say() -> None:
    prefix = Prefix([1, 6, 7, 4, 8, 4, 9], 3, [3, 5])
    positions = {where: mask_of(prefix, where).nonzero().flatten().tolist() for where in WHERES}
    assert positions == {"decision": [3, 5], "generated": [3, 4, 5, 6], "all": list(range(7))}
    assert mask_of(prefix, "all", end=2).nonzero().flatten().tolist() == [0, 1]
    assert mask_of(prefix, "decision", end=5).nonzero().flatten().tolist() == [3]
    assert not mask_of(Prefix([1, 2], 1, []), "decision").any()


@pytest.mark.parametrize("where", WHERES)
def test_the_residual_stream_changes_at_exactly_these_positions(
    loaded: LoadedModel, vectors: Tensor, where
) -> None:
    prefix = PREFIXES[2]
    with torch.inference_mode(), hooks.capture(loaded.blocks, [LAYER]) as clean:
        loaded.model(torch.tensor([prefix.ids]))
    with hooks.capture(loaded.blocks, [LAYER]) as steered:
        teacher_force(loaded, LAYER, [prefix], [Arm(vectors[0], where)], MARKED, 8)
    change = steered[LAYER][0] - clean[LAYER][0]
    mask = mask_of(prefix, where)
    assert torch.equal(change.abs().amax(1) > 0, mask)
    torch.testing.assert_close(change[mask], vectors[0].expand(int(mask.sum()), -1))


def resid_post(loaded: LoadedModel, prefix: Prefix, arm: Arm) -> Tensor:
    with hooks.capture(loaded.blocks, [LAYER]) as found:
        teacher_force(loaded, LAYER, [prefix], [arm], MARKED, 8)
    return found[LAYER][0]


def test_projecting_out_leaves_nothing_along_the_direction_and_the_rest_as_it_was(
    loaded: LoadedModel, vectors: Tensor
) -> None:
    prefix, unit = PREFIXES[2], vectors[0] / vectors[0].norm()
    clean = resid_post(loaded, prefix, Arm(ZERO, "decision"))
    found = resid_post(loaded, prefix, Arm(vectors[0], "decision", "project_out"))
    mask = mask_of(prefix, "decision")
    assert (found[mask] @ unit).abs().max() < 1e-5 < (clean[mask] @ unit).abs().max()
    along = (clean[mask] @ unit)[:, None] * unit
    torch.testing.assert_close(found[mask], clean[mask] - along)
    assert torch.equal(found[~mask], clean[~mask])


def test_noise_has_the_norm_asked_for_and_is_fresh_at_every_decision(
    loaded: LoadedModel, vectors: Tensor
) -> None:
    prefix, arm = PREFIXES[2], Arm(vectors[0], "decision", "noise", 3)
    mask = mask_of(prefix, "decision")
    change = resid_post(loaded, prefix, arm) - resid_post(loaded, prefix, Arm(ZERO, "decision"))
    assert not change[~mask].any()
    torch.testing.assert_close(
        change[mask].norm(dim=1), vectors[0].norm().expand(int(mask.sum())), rtol=1e-4, atol=1e-4
    )
    units = change[mask] / change[mask].norm(dim=1, keepdim=True)
    cosines = (units @ units.T).fill_diagonal_(0).abs()
    assert len(units) > 1 and cosines.max() < 0.9
    assert torch.equal(noise_of(prefix, arm), noise_of(prefix, arm))
    others = (noise_of(PREFIXES[1], arm), noise_of(prefix, Arm(vectors[0], "decision", "noise", 4)))
    assert not any(torch.equal(one[0], noise_of(prefix, arm)[0]) for one in others)


@pytest.mark.parametrize("edit", ["add", "noise", "project_out"])
def test_a_zero_vector_of_any_edit_is_the_baseline_bit_for_bit(loaded: LoadedModel, edit) -> None:
    zero = Arm(ZERO, "decision", edit) if edit != "noise" else Arm(ZERO, "decision")
    one, other = (force(loaded, [arm]) for arm in (Arm(ZERO, "decision"), zero))
    assert np.array_equal(one.p_marked, other.p_marked)


def test_edits_of_all_kinds_share_batches(loaded: LoadedModel, vectors: Tensor) -> None:
    arms = [
        Arm(ZERO, "decision"),
        Arm(vectors[0], "decision"),
        Arm(vectors[1], "decision", "project_out"),
        Arm(vectors[2], "decision", "noise", 1),
        Arm(vectors[2], "all", "project_out"),
    ]
    together = force(loaded, arms)
    for number, arm in enumerate(arms):
        alone = force(loaded, [arm])
        np.testing.assert_allclose(together.p_marked[number], alone.p_marked[0], atol=1e-6)
    assert len({tuple(np.round(p, 6)) for p in together.p_marked}) == len(arms)


def test_arms_are_joined_without_the_second_baseline(loaded: LoadedModel, vectors: Tensor) -> None:
    first = force(loaded, [Arm(ZERO, "decision"), Arm(vectors[0], "decision")])
    second = force(loaded, [Arm(ZERO, "decision"), Arm(vectors[1], "decision")])
    joined = first.with_arms_of(second)
    assert np.array_equal(joined.p_marked[:2], first.p_marked)
    assert np.array_equal(joined.kl[2:], second.kl[1:]) and len(joined.agreement) == 3


def test_a_vector_at_a_decision_does_not_reach_what_was_read_before_it(
    loaded: LoadedModel, vectors: Tensor
) -> None:
    prefix = PREFIXES[0]
    late = Prefix(prefix.ids, prefix.n_prompt, prefix.decisions[-1:])
    log_p, clean = plain(loaded, late, Arm(vectors[0], "decision")), plain(loaded, late)
    first = late.decisions[0]
    assert torch.equal(log_p[:first], clean[:first])
    assert not torch.equal(log_p[first], clean[first])


def test_prefixes_without_decisions_or_other_positions_have_no_numbers(
    loaded: LoadedModel, vectors: Tensor
) -> None:
    prefixes = [Prefix([1, 6, 7], 3, []), Prefix([1, 6, 4], 2, [2]), PREFIXES[0]]
    arms = [Arm(ZERO, "decision"), Arm(vectors[0], "decision")]
    found = teacher_force(loaded, LAYER, prefixes, arms, MARKED, 100)
    assert found.p_marked.shape == (2, 1 + len(PREFIXES[0].decisions))
    assert np.isfinite(found.p_marked).all()
    assert np.isnan(found.agreement[:, :2]).all() and np.isnan(found.kl[:, :2]).all()
    assert np.isfinite(found.agreement[:, 2]).all()


def test_no_hook_is_left_behind(loaded: LoadedModel, vectors: Tensor) -> None:
    before = [len(block._forward_hooks) for block in loaded.blocks]
    force(loaded, [Arm(vectors[0], "all")])
    assert [len(block._forward_hooks) for block in loaded.blocks] == before


@pytest.mark.parametrize("where", WHERES)
def test_a_readout_asks_after_a_suffix_that_is_not_steered(
    loaded: LoadedModel, vectors: Tensor, where
) -> None:
    suffix, for_id, against_id = [8, 6], 12, 20
    arms = [Arm(ZERO, where), Arm(vectors[0], where), Arm(-vectors[0], where)]
    found = read_out(loaded, LAYER, PREFIXES, suffix, arms, [for_id], [against_id])
    assert found.shape == (3, len(PREFIXES))
    for number, prefix in enumerate(PREFIXES):
        ids = torch.tensor([[*prefix.ids, *suffix]])
        mask = torch.cat([mask_of(prefix, where), torch.zeros(2, dtype=torch.bool)])[None]
        for row, arm in enumerate(arms):
            with (
                torch.inference_mode(),
                hooks.add_vector(loaded.blocks, LAYER, arm.vector[None], mask),
            ):
                logits = loaded.model(ids).logits[0, -1]
            expected = float(logits[for_id] - logits[against_id])
            assert found[row, number] == pytest.approx(expected, abs=1e-4)


def test_what_is_read_once_before_a_readout_makes_no_difference(
    loaded: LoadedModel, vectors: Tensor
) -> None:
    """An arm that changes every position has all arms read everything."""
    arms = [
        Arm(vectors[0], "decision"),
        Arm(vectors[1], "decision", "project_out"),
        Arm(vectors[2], "decision", "noise", 1),
    ]
    asked = ([8, 6], [12], [20])
    shared = [Prefix(one.ids, one.n_prompt, one.decisions[-1:]) for one in PREFIXES]
    alone = read_out(loaded, LAYER, shared, asked[0], arms, *asked[1:])
    beside = read_out(loaded, LAYER, shared, asked[0], [*arms, Arm(ZERO, "all")], *asked[1:])
    np.testing.assert_allclose(alone, beside[:3], atol=1e-5)
    assert len(np.unique(alone.round(4), axis=0)) == 3

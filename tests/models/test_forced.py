"""Teacher-forced steering: against plain forward passes, at its very positions, in any batch."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from tiny_models import D_MODEL, FULL_STOP, WORDS, save_model
from torch import Tensor

from backtracking.models import hooks, loading
from backtracking.models.forced import Arm, Forced, Prefix, teacher_force
from backtracking.models.loading import LoadedModel

LAYER, MARKED = 1, (5, 9)
NAMES = ("agreement", "kl", "p_sentence_end", "p_mid_sentence")
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
def plain(loaded: LoadedModel, prefix: Prefix, vector: Tensor = ZERO) -> Tensor:
    """Log-probabilities at every position of one prefix, by a forward pass of its own."""
    mask = torch.zeros(1, len(prefix.ids), dtype=torch.bool)
    mask[0, prefix.decisions] = True
    with hooks.add_vector(loaded.blocks, LAYER, vector[None], mask):
        return loaded.model(torch.tensor([prefix.ids])).logits[0].log_softmax(-1)


def test_a_zero_vector_changes_nothing_alone_and_beside_others(
    loaded: LoadedModel, vectors: Tensor
) -> None:
    alone = force(loaded, [Arm(ZERO)])
    assert np.all(alone.agreement == 1) and np.all(alone.kl == 0)
    found = force(loaded, [Arm(ZERO), *(Arm(5 * vector) for vector in vectors)])
    assert np.all(found.agreement[0] == 1) and np.abs(found.kl[0]).max() < 1e-6
    assert found.agreement[1:].min() < 0.9 and found.kl[1:].max() > 1e-3


def test_an_arm_is_a_plain_forward_pass_with_the_vector_added(
    loaded: LoadedModel, vectors: Tensor
) -> None:
    found = force(loaded, [Arm(ZERO), Arm(vectors[0])])
    for number, prefix in enumerate(PREFIXES):
        steered, baseline = plain(loaded, prefix, vectors[0]), plain(loaded, prefix)
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


@pytest.mark.parametrize("rows", [1, 7, 12])
def test_batches_do_not_change_the_results(loaded: LoadedModel, vectors: Tensor, rows: int) -> None:
    unit = vectors[0] / vectors[0].norm()
    arms = [Arm(ZERO), *map(Arm, vectors), Arm(unit, unit, 2.0)]
    told: list[int] = []
    one = force(loaded, arms)
    other = teacher_force(loaded, LAYER, PREFIXES, arms, MARKED, rows, told.append)
    for name in NAMES:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-6)
    assert sum(told) == len(arms) * len(PREFIXES)


def test_prefixes_without_decisions_or_other_positions_have_no_numbers(
    loaded: LoadedModel, vectors: Tensor
) -> None:
    prefixes = [Prefix([1, 6, 7], 3, []), Prefix([1, 6, 4], 2, [2]), PREFIXES[0]]
    found = teacher_force(loaded, LAYER, prefixes, [Arm(ZERO), Arm(vectors[0])], MARKED, 100)
    assert np.isnan(found.agreement[:, :2]).all() and np.isnan(found.kl[:, :2]).all()
    assert np.isfinite(found.agreement[:, 2]).all()


def test_no_hook_is_left_behind(loaded: LoadedModel, vectors: Tensor) -> None:
    before = [len(block._forward_hooks) for block in loaded.blocks]
    force(loaded, [Arm(vectors[0])])
    assert [len(block._forward_hooks) for block in loaded.blocks] == before

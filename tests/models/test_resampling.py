"""What is written after an edited decision: against plain passes with hooks, and exact P_back."""

import numpy as np
import pytest
import torch
from belief_helpers import ID_BY_WORD, TOKENS, make_traces, save_world_model
from tiny_models import CONTEXT, D_MODEL, EOS, FAMILIES, WORDS, save_model
from torch import Tensor

from backtracking.models import edits, hooks, loading, resampling
from backtracking.models.endpoints import Counted, read_endpoints
from backtracking.models.forced import Arm, Prefix
from backtracking.models.generation import generate
from backtracking.models.loading import LoadedModel
from backtracking.models.resampling import Draws, has_room, write_on
from backtracking.models.sampling import Sampling, draw, draw_uniforms
from lifeboat.stage.errors import UserError

LAYER, SAMPLING = 1, Sampling(3, 1.0, 8)
DRAWS = Draws(3, SAMPLING, 4)


def ended(ids: list[int]) -> bool:
    return ids[-1] == EOS


@pytest.fixture(scope="module", params=(*FAMILIES, "gemma3"))
def loaded(request, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return loading.load(save_model(tmp_path_factory.mktemp("model"), request.param))


@pytest.fixture(scope="module")
def vectors() -> Tensor:
    return torch.randn(3, D_MODEL, generator=torch.Generator().manual_seed(1))


def make_prefix(seed: int = 0) -> Prefix:
    generator = torch.Generator().manual_seed(seed)
    ids, donor = torch.randint(6, len(WORDS), (2, 14), generator=generator).tolist()
    return Prefix(ids, 3, [13], donor_ids=donor)


@torch.inference_mode()
def written_plainly(loaded: LoadedModel, prefix: Prefix, arm: Arm, key: str) -> list[int]:
    """Token by token without a cache, the edit made again in every pass."""
    written: list[int] = []
    mask = torch.zeros(1, len(prefix.ids) + SAMPLING.max_new_tokens, dtype=torch.bool)
    mask[0, len(prefix.ids) - 1] = True
    donor = None
    if arm.is_patch:
        with hooks.capture(loaded.blocks, [LAYER]) as found:
            loaded.model(torch.tensor([prefix.donor_ids]))
        donor = found[LAYER][:, -1:]
    for uniform in draw_uniforms(SAMPLING, key):
        ids = torch.tensor([[*prefix.ids, *written]])
        where = mask[:, : ids.shape[1]]
        if donor is not None:
            edit = edits.patch(loaded.blocks[LAYER], donor.expand(1, ids.shape[1], -1), where)
        elif arm.guide is not None:
            value = torch.tensor([arm.value])
            edit = edits.set_projection(loaded.blocks[LAYER], arm.vector[None], value, where)
        else:
            edit = hooks.add_vector(loaded.blocks, LAYER, arm.vector[None], where)
        with edit:
            logits = loaded.model(ids).logits[:, -1]
        written.append(int(draw(logits, [uniform], SAMPLING.temperature)))
        if ended(written):
            break
    return written


def test_draws_are_those_of_plain_passes_in_which_the_deciding_token_alone_is_edited(
    loaded: LoadedModel, vectors: Tensor
) -> None:
    unit, prefix = vectors[0] / vectors[0].norm(), make_prefix()
    arms = [Arm(0 * unit), Arm(4 * vectors[1]), Arm(unit, unit, 6.0), Arm(0 * unit, is_patch=True)]
    found = write_on(loaded, LAYER, prefix, arms, "d", DRAWS, ended)
    for arm, its in zip(arms, found, strict=True):
        assert its == [written_plainly(loaded, prefix, arm, key) for key in DRAWS.keys("d")]
    assert len({str(its) for its in found}) == len(arms)


def test_without_an_edit_it_is_what_the_model_generates(loaded: LoadedModel) -> None:
    prefix, keys = make_prefix(), DRAWS.keys("d")
    arm = Arm(torch.zeros(D_MODEL))
    (found,) = write_on(loaded, LAYER, prefix, [arm], "d", DRAWS, ended)
    plain = generate(loaded, [prefix.ids], keys, SAMPLING, n=DRAWS.n, is_done=ended)
    assert found == [one.token_ids for one in plain]


@pytest.mark.parametrize("n_calls", [0, 2])
def test_draws_whose_deciding_token_was_edited_otherwise_than_once_are_refused(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, n_calls: int
) -> None:
    real = resampling._next_logits

    def called(loaded, tokens, cache):
        for _ in range(n_calls - 1):
            loaded.model(torch.tensor(tokens)[:, None])
        if n_calls == 0:
            return torch.zeros(len(tokens), len(WORDS))
        return real(loaded, tokens, cache)

    monkeypatch.setattr(resampling, "_next_logits", called)
    arms = [Arm(torch.zeros(D_MODEL))]
    with pytest.raises(UserError, match=f"Expected 3 edits .* found {3 * n_calls}"):
        write_on(loaded, LAYER, make_prefix(), arms, "d", DRAWS, ended)


def test_there_is_room_where_the_last_token_that_is_read_has_a_position(
    loaded: LoadedModel,
) -> None:
    longest = CONTEXT - SAMPLING.max_new_tokens + 1
    assert has_room(loaded, longest, SAMPLING) and not has_room(loaded, longest + 1, SAMPLING)


def test_the_share_of_draws_that_turn_is_the_exact_p_back(tmp_path) -> None:
    """The edit raises it, and a draw is written as the model has it, up to its first full stop."""
    torch.manual_seed(0)
    world, turning = loading.load(save_world_model(tmp_path)), TOKENS.turning
    assert turning is not None
    wait, stop, seven = TOKENS.opener_ids[0], ID_BY_WORD["."], ID_BY_WORD["7"]
    row = world.model.get_output_embeddings().weight[wait].detach()  # type: ignore[union-attr]
    arms = [Arm(0 * row), Arm(40 * row / row.norm())]
    trace, layer = make_traces(1)[0], world.n_layers - 1
    ends = [n for n in range(9, len(trace.ids)) if TOKENS.decides(trace.ids[:n])][:3]
    draws = Draws(64, Sampling(1, 1.0, 3), 128)
    whole = Prefix(trace.ids[: ends[-1]], 9, [end - 1 for end in ends])
    exact = read_endpoints(world, layer, [whole], arms, Counted(TOKENS.openers, ()), 64).p_back
    turned = np.zeros((len(arms), len(ends)))
    for column, end in enumerate(ends):
        prefix = Prefix(trace.ids[:end], 9, [end - 1])
        for number, its in enumerate(
            write_on(world, layer, prefix, arms, f"d/{end}", draws, lambda ids: False)
        ):
            # The model is untrained: the words that tell an idle remark end as the grammar has it.
            told = [[*ids[:2], *([seven] if ids[0] == wait else []), stop] for ids in its]
            turned[number, column] = sum(map(turning.is_turn, told))
    assert exact[1].mean() > exact[0].mean() + 0.1
    for number in range(len(arms)):
        error = (draws.n * (exact[number] * (1 - exact[number])).sum()) ** 0.5
        difference = turned[number].sum() - draws.n * exact[number].sum()
        assert abs(difference) < 4 * max(error, 1)

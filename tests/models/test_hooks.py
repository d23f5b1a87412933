"""Reading and changing the residual stream: against transformers, by law, and put back after."""

import copy
from pathlib import Path

import pytest
import torch
from tiny_models import D_MODEL, FAMILIES, N_LAYERS, save_model
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformers import DynamicCache

from backtracking.models import hooks, loading
from backtracking.models.loading import LoadedModel

IDS = torch.tensor([[1, 6, 7, 4, 9], [1, 5, 5, 30, 4]])
LAYERS = range(N_LAYERS)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=FAMILIES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return loading.load(save_model(tmp_path_factory.mktemp(request.param), request.param))


@pytest.fixture
def vector() -> Tensor:
    return torch.randn(2, D_MODEL, generator=torch.Generator().manual_seed(1))


class Block(nn.Module):
    """Returns its input as a tuple, or the same buffer at every call."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.kept = torch.zeros(1, 2, 3)

    def forward(self, stream: Tensor) -> Tensor | tuple[Tensor, str]:
        if self.kind == "buffer":
            return self.kept.add_(1)
        return (stream, "extra") if self.kind == "tuple" else stream


@torch.inference_mode()
def logits_of(loaded: LoadedModel, ids: Tensor = IDS) -> Tensor:
    return loaded.model(ids).logits


def hooks_of(loaded: LoadedModel) -> list[list[object]]:
    """Those of transformers, which keeps some for `output_hidden_states`, included."""
    return [list(block._forward_hooks.values()) for block in loaded.blocks]


@torch.inference_mode()
def test_layer_l_is_hidden_state_l_plus_1_and_the_last_is_before_the_norm(
    loaded: LoadedModel,
) -> None:
    with hooks.capture(loaded.blocks, LAYERS) as resid_post_by_layer:
        hidden_states = loaded.model(IDS, output_hidden_states=True).hidden_states
    for layer in LAYERS[:-1]:
        assert torch.equal(resid_post_by_layer[layer], hidden_states[layer + 1])
    normed = loaded.final_norm(resid_post_by_layer[N_LAYERS - 1])
    assert torch.equal(normed, hidden_states[-1])


def test_the_vector_is_added_where_asked_and_nowhere_else(
    loaded: LoadedModel, vector: Tensor
) -> None:
    where = torch.tensor([[True, False, True, False, False], [False, False, False, False, True]])
    with hooks.capture(loaded.blocks, LAYERS) as clean:
        logits_of(loaded)
    added = hooks.add_vector(loaded.blocks, 1, vector, where)
    with hooks.capture(loaded.blocks, LAYERS) as steered, added:
        logits_of(loaded)
    assert torch.equal(steered[0], clean[0])
    assert torch.equal(steered[1][~where], clean[1][~where])
    expected = (clean[1] + vector[:, None])[where]
    assert torch.equal(steered[1][where], expected)
    first = [where[0].tolist().index(True), where[1].tolist().index(True)]
    assert torch.equal(steered[2][1, : first[1]], clean[2][1, : first[1]])
    assert not torch.equal(steered[2][0, first[0] :], clean[2][0, first[0] :])


def test_capture_sees_the_steered_stream_whichever_context_is_opened_first(
    loaded: LoadedModel, vector: Tensor
) -> None:
    with hooks.capture(loaded.blocks, [1]) as outer, hooks.add_vector(loaded.blocks, 1, vector):
        logits_of(loaded)
    with hooks.add_vector(loaded.blocks, 1, vector), hooks.capture(loaded.blocks, [1]) as inner:
        logits_of(loaded)
    assert torch.equal(outer[1], inner[1])


def test_a_zero_vector_keeps_every_bit(loaded: LoadedModel) -> None:
    with hooks.add_vector(loaded.blocks, 1, torch.zeros(2, D_MODEL, dtype=torch.float64)):
        steered = logits_of(loaded)
    assert steered.dtype == torch.float32
    assert torch.equal(steered, logits_of(loaded))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_zero_component_keeps_minus_zero_and_the_dtype(dtype: torch.dtype) -> None:
    block, stream = Block("plain"), torch.full((1, 2, 3), -0.0, dtype=dtype)
    with hooks.add_vector([block], 0, torch.tensor([[0.0, 1.0, -0.0]])):
        out = block(stream)
    assert out.dtype == dtype
    assert out.signbit().tolist() == [[[True, False, True]] * 2]
    assert out[0, :, 1].tolist() == [1, 1]


def test_a_block_that_returns_a_tuple_keeps_the_rest_of_it() -> None:
    block = Block("tuple")
    with hooks.add_vector([block], 0, torch.ones(1, 3)), hooks.capture([block], [0]) as captured:
        out, extra = block(torch.zeros(1, 2, 3))
    assert extra == "extra"
    assert torch.equal(out, torch.ones(1, 2, 3))
    assert torch.equal(captured[0], out)


def test_what_is_captured_does_not_change_with_the_models_buffers() -> None:
    block = Block("buffer")
    with hooks.capture([block], [0]) as captured:
        block(torch.zeros(1, 2, 3))
    block(torch.zeros(1, 2, 3))
    assert torch.equal(captured[0], torch.ones(1, 2, 3))


@torch.inference_mode()
def test_steering_with_a_cache_is_steering_without(loaded: LoadedModel, vector: Tensor) -> None:
    asked = []

    def where() -> Tensor:
        asked.append(None)
        return torch.ones(2, 3 if len(asked) == 1 else 1, dtype=torch.bool)

    cache = DynamicCache(config=loaded.model.config)
    with hooks.add_vector(loaded.blocks, 1, vector, where):
        parts = [
            loaded.model(ids, past_key_values=cache, use_cache=True).logits
            for ids in (IDS[:, :3], IDS[:, 3:4], IDS[:, 4:])
        ]
    with hooks.add_vector(loaded.blocks, 1, vector):
        whole = logits_of(loaded)
        again = logits_of(loaded)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=0)
    assert torch.equal(whole, again)
    assert len(asked) == 3
    assert not torch.allclose(whole, logits_of(loaded), atol=1e-2)


def test_steering_is_what_a_hook_of_transformer_lens_does(tmp_path: Path, vector: Tensor) -> None:
    loaded = loading.load(save_model(tmp_path))
    with hooks.add_vector(loaded.blocks, 1, vector):
        ours = logits_of(loaded)
    bridge = TransformerBridge.boot_transformers(
        str(tmp_path), hf_model=copy.deepcopy(loaded.model), tokenizer=loaded.tokenizer
    )
    point = ("blocks.1.hook_resid_post", lambda stream, hook: stream + vector[:, None])
    theirs = bridge.run_with_hooks(IDS, fwd_hooks=[point], return_type="logits")
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_no_hook_stays_after_an_error(loaded: LoadedModel, vector: Tensor) -> None:
    clean, before = logits_of(loaded), hooks_of(loaded)
    read, added = hooks.capture(loaded.blocks, LAYERS), hooks.add_vector(loaded.blocks, 0, vector)
    with pytest.raises(KeyboardInterrupt), read, added:
        raise KeyboardInterrupt
    assert hooks_of(loaded) == before
    assert torch.equal(logits_of(loaded), clean)


def test_vectors_of_two_contexts_add_up(loaded: LoadedModel, vector: Tensor) -> None:
    with hooks.add_vector(loaded.blocks, 1, vector), hooks.add_vector(loaded.blocks, 1, -vector):
        both = logits_of(loaded)
    torch.testing.assert_close(both, logits_of(loaded), atol=1e-4, rtol=0)


@pytest.mark.parametrize("layer", [-1, N_LAYERS])
def test_a_layer_that_does_not_exist_is_told(layer: int, vector: Tensor) -> None:
    blocks = [Block("plain")] * N_LAYERS
    for opened in (hooks.capture(blocks, [layer]), hooks.add_vector(blocks, layer, vector)):
        with pytest.raises(ValueError, match=f"a layer from 0 to 2, found {layer}"), opened:
            pass


def test_a_vector_or_mask_that_does_not_fit_the_call_is_told(loaded: LoadedModel) -> None:
    before = hooks_of(loaded)
    narrow = hooks.add_vector(loaded.blocks, 1, torch.ones(1, D_MODEL))
    with pytest.raises(ValueError, match=r"`vector`: .* \(2, 16\), found \(1, 16\)"), narrow:
        logits_of(loaded)
    where = torch.ones(2, 4, dtype=torch.bool)
    short = hooks.add_vector(loaded.blocks, 1, torch.ones(2, D_MODEL), where)
    with pytest.raises(ValueError, match=r"`where`: .* \(2, 5\), found \(2, 4\)"), short:
        logits_of(loaded)
    assert hooks_of(loaded) == before

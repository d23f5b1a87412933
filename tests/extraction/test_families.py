"""Every family of models: activations equal a plain forward pass, and what is written is added."""

import dataclasses
from pathlib import Path

import pytest
import torch
from extraction.conftest import make_items
from extraction_helpers import tokens_of
from tiny_models import CONFIGS, D_MODEL, N_LAYERS, WORDS, build_model, build_tokenizer, save_model

from backtracking.activations.format import Positions
from backtracking.activations.reader import ActivationStore
from backtracking.extraction import engine, selfcheck
from backtracking.extraction.items import Item
from backtracking.extraction.planning import Request
from backtracking.models import components, hooks, loading
from backtracking.models.loading import LoadedModel
from lifeboat.stage.errors import UserError

FLOOR = 1e-5
ITEMS = make_items(9, len(WORDS))
EVERY = Positions(None)
REQUEST = Request(tuple(range(N_LAYERS)), EVERY, "float32", 5, 150, 1)
FAST = ("gemma3", "gpt2", "llama")
FEW_ARE_FAST = [
    family if family in FAST else pytest.param(family, marks=pytest.mark.slow) for family in CONFIGS
]
ADDING = [family for family in CONFIGS if family != "granite"]
WRITERS = {
    "gemma2": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "gemma3": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "olmo2": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "opt": ("self_attn", "fc2"),
    "bloom": ("self_attention.dense", "mlp.dense_4h_to_h"),
    "llama": ("self_attn", "mlp"),
    "gpt2": ("attn", "mlp"),
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedModel]:
    return {}


@pytest.fixture
def family_model(
    request: pytest.FixtureRequest, loaded: dict[str, LoadedModel], tmp_path_factory
) -> LoadedModel:
    family = request.param
    if family not in loaded:
        loaded[family] = loading.load(save_model(tmp_path_factory.mktemp(family), family))
    return loaded[family]


def extracted(model: LoadedModel, request: Request, folder: Path) -> ActivationStore:
    engine.extract(model, ITEMS, request, store=folder / "store", out=folder / "out", floor=FLOOR)
    return ActivationStore(folder / "out")


@torch.inference_mode()
def plain(model: LoadedModel, item: Item) -> list[torch.Tensor]:
    """`resid_pre` of every layer and last the output of the last block, of one trace alone."""
    ids = torch.tensor([item.ids])
    with hooks.capture(model.blocks, [model.n_layers - 1]) as last:
        hidden_states = model.model(ids, output_hidden_states=True, use_cache=False).hidden_states
    return [*(state[0] for state in hidden_states[:-1]), last[model.n_layers - 1][0]]


@pytest.mark.parametrize("family_model", CONFIGS, indirect=True)
def test_resid_post_equals_a_plain_forward_pass_of_one_trace(
    family_model: LoadedModel, tmp_path: Path
) -> None:
    expected = [plain(family_model, item) for item in ITEMS]
    for tokens_per_batch in (1, 150, 10_000):
        request = dataclasses.replace(REQUEST, tokens_per_batch=tokens_per_batch)
        store = extracted(family_model, request, tmp_path / str(tokens_per_batch))
        for item, states in zip(ITEMS, expected, strict=True):
            for layer in range(N_LAYERS):
                found = tokens_of(store, layer, item)
                assert selfcheck.relative(found, states[layer + 1]) < FLOOR


@pytest.mark.parametrize("family_model", FEW_ARE_FAST, indirect=True)
@pytest.mark.parametrize(
    "positions", [Positions((-3, 2), True), Positions((0, 0)), Positions((-100, -90), True)]
)
def test_every_selection_of_positions_holds_the_same_vectors(
    family_model: LoadedModel, positions: Positions, tmp_path: Path
) -> None:
    request = dataclasses.replace(REQUEST, positions=positions, layers=(0, 2))
    store = extracted(family_model, request, tmp_path)
    values, rows = store.layer(2)
    assert len(rows)
    expected = {item.trace: plain(family_model, item)[3] for item in ITEMS}
    for value, trace, sentence, position in zip(
        values, rows.trace, rows.sentence, rows.position, strict=True
    ):
        tokens = expected[int(trace)]
        if position < 0:
            span = ITEMS[int(trace)].spans[int(sentence)]
            reference = tokens[span.start : span.end].mean(0)
        else:
            reference = tokens[int(position)]
        assert selfcheck.relative(value[None], reference[None]) < FLOOR


@pytest.mark.parametrize("family_model", ADDING, indirect=True)
def test_what_attention_and_mlp_write_sums_to_what_the_block_adds(
    family_model: LoadedModel, tmp_path: Path
) -> None:
    stores = {
        hook: extracted(family_model, dataclasses.replace(REQUEST, hook=hook), tmp_path / hook)
        for hook in components.HOOKS
    }
    for layer in range(N_LAYERS):
        pre, attention, mlp, post = (stores[hook].layer(layer)[0] for hook in components.HOOKS)
        assert selfcheck.relative(pre + attention + mlp, post) < FLOOR
        assert selfcheck.relative(pre + attention, post) > 1e-3
        assert selfcheck.relative(pre + mlp, post) > 1e-3


@pytest.mark.parametrize("family_model", ADDING, indirect=True)
def test_attention_and_mlp_are_not_mistaken_for_one_another(family_model: LoadedModel) -> None:
    """With another first token, only attention's part of the change is there at equal inputs."""
    writers = components.find_writers(family_model)[0]
    read: dict[str, list[torch.Tensor]] = {"attention": [], "mlp": []}
    for name, kept in read.items():
        site = hooks.Site(getattr(writers, name))
        with torch.inference_mode(), hooks.reading({0: site}, lambda _, t, k=kept: k.append(t)):
            for first in (5, 6):
                ids = torch.tensor([[first, 9, 11]])
                family_model.model(input_ids=ids, use_cache=False)
    first, second = (t.reshape(-1, D_MODEL)[2] for t in read["attention"])
    assert not torch.allclose(first, second, rtol=1e-3)
    names = {id(module): name for name, module in family_model.blocks[0].named_modules()}
    found = (names[id(writers.attention)], names[id(writers.mlp)])
    assert "mlp" not in found[0] and "att" not in found[1]


@pytest.mark.parametrize("family", WRITERS)
def test_the_writers_are_the_modules_that_the_source_code_adds(family: str, tmp_path: Path) -> None:
    model = loading.load(save_model(tmp_path, family))
    for block, writers in zip(model.blocks, components.find_writers(model), strict=True):
        attention, mlp = (block.get_submodule(name) for name in WRITERS[family])
        assert (writers.attention, writers.mlp) == (attention, mlp)


def test_a_block_that_scales_what_it_adds_is_refused_by_name(tmp_path: Path) -> None:
    model = loading.load(save_model(tmp_path, "granite"))
    with pytest.raises(UserError, match=r"GraniteForCausalLM: no two modules of block 0"):
        components.sites(model, "mlp_out")
    with pytest.raises(UserError, match=r"'resid_mid' is not a hook.*attn_out"):
        components.sites(model, "resid_mid")


def test_the_writers_are_found_in_sixteen_bits_too(tmp_path: Path) -> None:
    for family in ("gemma2", "gpt-neox", "qwen2"):
        folder = save_model(tmp_path / family, family)
        exact, coarse = loading.load(folder), loading.load(folder, dtype="bfloat16")
        for one, other in zip(
            components.find_writers(exact), components.find_writers(coarse), strict=True
        ):
            assert repr(one) == repr(other)


def test_left_padding_and_masks_from_pad_ids_have_no_place_here(tmp_path: Path) -> None:
    """A pad token that is also the end token, in the middle of a trace, is a token like others."""
    build_model("llama").save_pretrained(tmp_path)
    tokenizer = build_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    tokenizer.save_pretrained(tmp_path)
    model = loading.load(tmp_path)
    eos = tokenizer.eos_token_id
    assert isinstance(eos, int)
    items = [Item(0, [1, 7, eos, 8, 9], {}), Item(1, [1, eos], {}), Item(2, [0, 0, 5], {})]
    engine.extract(
        model, items, REQUEST, store=tmp_path / "store", out=tmp_path / "out", floor=FLOOR
    )
    store = ActivationStore(tmp_path / "out")
    for item in items:
        found = tokens_of(store, 2, item)
        assert selfcheck.relative(found, plain(model, item)[3]) < FLOOR

"""Every family and every length: each stored row is that of the trace alone in a fresh model."""

import copy
import dataclasses
import random
from pathlib import Path

import pytest
import torch
from extraction.families import CONTEXT, FAMILIES, LENGTHS, LIMIT, REFUSED, VARIANTS, build
from extraction_helpers import tokens_of
from transformers import PreTrainedModel

from backtracking.activations.format import Positions
from backtracking.activations.reader import ActivationStore
from backtracking.extraction import engine, selfcheck
from backtracking.extraction.items import Item
from backtracking.extraction.planning import Request, batches_of
from backtracking.models import hooks, loading, structure
from lifeboat.stage.errors import UserError

pytestmark = pytest.mark.kind(6)

FLOOR = 1e-5
FAST = {"phi3-longrope", "llama-dynamic", "gemma3-dynamic-in-one-kind-of-layer", "bert"}
MEMBERS = [
    name if name in FAST else pytest.param(name, marks=pytest.mark.slow)
    for name in [*VARIANTS, *FAMILIES]
]


def traces(lengths: tuple[int, ...] = LENGTHS) -> list[Item]:
    chosen = random.Random(1)
    return [
        Item(n, [chosen.randrange(3, 40) for _ in range(length)], {})
        for n, length in enumerate(lengths)
    ]


def saved(model: PreTrainedModel, folder: Path) -> Path:
    """Weights alone: only ids are used."""
    model.save_pretrained(folder)
    for left in folder.glob("tokenizer*"):
        left.unlink()
    return folder


def of_every_token(model: loading.LoadedModel, tokens_per_batch: int = 60) -> Request:
    layers = tuple(range(model.n_layers))
    return Request(layers, Positions(None), "float32", 4, tokens_per_batch, 1)


@torch.inference_mode()
def in_a_fresh_model(model: PreTrainedModel, item: Item, folder: Path) -> dict[int, torch.Tensor]:
    fresh = copy.deepcopy(model)
    blocks, _, _ = structure.find_parts(fresh, folder)
    with hooks.capture(blocks, range(len(blocks))) as resid_post_by_layer:
        fresh(torch.tensor([item.ids]), use_cache=False)
    return {layer: values[0] for layer, values in resid_post_by_layer.items()}


@pytest.mark.parametrize("name", MEMBERS)
def test_each_row_is_that_of_the_trace_alone_in_a_fresh_model_or_the_family_is_refused(
    name: str, tmp_path: Path
) -> None:
    pristine = build(name)
    folder = saved(pristine, tmp_path / "model")
    if name in REFUSED:
        with pytest.raises(UserError, match=REFUSED[name]):
            loading.load(folder)
        return
    model, items = loading.load(folder), traces()
    request, store, out = of_every_token(model), tmp_path / "store", tmp_path / "out"
    expected = {len(item.ids): in_a_fresh_model(pristine, item, folder) for item in items}
    turned = [Item(number, item.ids, {}) for number, item in enumerate(reversed(items))]
    # The first half, then all after a resume; then all again in another order.
    for some in (items[:4], items, turned):
        engine.extract(model, some, request, store=store, out=out, floor=FLOOR)
        found = ActivationStore(out)
        for item in some:
            for layer, rows in expected[len(item.ids)].items():
                assert selfcheck.relative(tokens_of(found, layer, item), rows) < FLOOR
    assert model.lengths.vary == any(word in name for word in ("longrope", "dynamic", "phimoe"))


@pytest.mark.parametrize("name", ["phi3-longrope", "llama-dynamic", "phimoe"])
@pytest.mark.parametrize("tokens_per_batch", [200, 10_000])
def test_no_batch_crosses_a_limit_whatever_its_size(
    name: str, tokens_per_batch: int, tmp_path: Path
) -> None:
    model = loading.load(saved(build(name), tmp_path / "model"))
    formula = model.lengths.formula
    assert formula(LIMIT) == formula(2) != formula(LIMIT + 1)
    items = traces()
    for batch in batches_of(items, of_every_token(model, tokens_per_batch), formula):
        assert len({formula(len(items[number].ids)) for number in batch}) == 1


@pytest.mark.parametrize(
    "name",
    [
        "gpt2",
        "opt",
        "gptj",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("codegen", "gpt_neo", "gpt_bigcode")
        ),
    ],
)
@pytest.mark.parametrize("lengths", [(CONTEXT, CONTEXT), (26, 27, 28)])
def test_learned_positions_are_used_to_the_last_and_nothing_is_padded_beyond(
    name: str, lengths: tuple[int, ...], tmp_path: Path
) -> None:
    model, items = loading.load(saved(build(name), tmp_path / "model")), traces(lengths)
    engine.extract(
        model, items, of_every_token(model), store=tmp_path / "s", out=tmp_path / "o", floor=FLOOR
    )
    too_long = [*items, *traces((3, 3, 3, CONTEXT + 1))[3:]]
    with pytest.raises(UserError, match=r"Trace 3 has 49 tokens, and the model has positions fo"):
        engine.extract(
            model,
            too_long,
            of_every_token(model),
            store=tmp_path / "s",
            out=tmp_path / "p",
            floor=FLOOR,
        )
    assert not (tmp_path / "p").exists()


def rare_and_large(folder: Path, value: float) -> Path:
    """A llama in which token 39 alone has one large activation."""
    model = build("llama")
    model.get_input_embeddings().weight.data[39, 3] = value  # type: ignore[index]
    return saved(model, folder)


@pytest.mark.parametrize(
    ("stored", "value"),
    [("float16", 1e5), ("float16", -1e5), ("float32", float("nan")), ("bfloat16", float("inf"))],
)
@pytest.mark.parametrize("at", [0, 23])
def test_what_is_not_finite_is_found_wherever_it_is_stored(
    stored: str, value: float, at: int, tmp_path: Path
) -> None:
    model = loading.load(rare_and_large(tmp_path / "model", value))
    items = [Item(n, [5 + (3 * i + n) % 30 for i in range(8 + n % 12)], {}) for n in range(24)]
    items[at].ids[4] = 39
    request = dataclasses.replace(of_every_token(model), dtype=stored)
    with pytest.raises(UserError, match=rf"Trace {at}, layer \d: activations are not finite") as it:
        engine.extract(
            model, items, request, store=tmp_path / "store", out=tmp_path / "out", floor=1.0
        )
    assert ("bfloat16 or float32" in str(it.value)) == (stored == "float16")
    assert not (tmp_path / "out").exists()

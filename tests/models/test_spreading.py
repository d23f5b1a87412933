"""Models over several cards: the same bytes as on one, and no operation mixes two cards."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from extraction.conftest import make_items
from extraction_helpers import shards_in
from labelled_cards import LabelledCards, aligned, load
from members import few
from tiny_models import (
    CONFIGS,
    D_MODEL,
    EOS,
    FULL_STOP,
    N_LAYERS,
    WORDS,
    make_keys,
    make_prompts,
    save_model,
)
from torch.utils._pytree import tree_leaves

from backtracking.activations.format import Positions
from backtracking.directions.other_estimators import gradient
from backtracking.extraction import engine
from backtracking.extraction.planning import Request
from backtracking.interventions import components
from backtracking.interventions.components import Ablator, arms_of, match_positions, mean_outputs
from backtracking.models import loading, slots, spreading
from backtracking.models.cards import TOKENS
from backtracking.models.endpoints import Counted, read_endpoints, read_out
from backtracking.models.footprint import HELD_LOGITS, PARTS, ROOMY
from backtracking.models.forced import Arm, Prefix, teacher_force
from backtracking.models.generation import Kind, Steering, generate
from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import (
    SPANS,
    Edit,
    read_branches,
    read_donor,
    read_prefix,
    run_tails,
)
from backtracking.models.resampling import Draws, write_on
from backtracking.models.sampling import Sampling
from backtracking.models.scoring import token_nll
from backtracking.records.tokens import Opener, TokenSet
from lifeboat.stage.errors import UserError

EDITED = (0, N_LAYERS - 1)
"""A layer at home, and one that is not."""
ITEMS = make_items(5, len(WORDS))
VECTORS = torch.randn(4, D_MODEL, generator=torch.Generator().manual_seed(1))
UNITS = VECTORS / VECTORS.norm(dim=1, keepdim=True)
ARMS = [
    Arm(torch.zeros(D_MODEL)),
    Arm(VECTORS[0]),
    Arm(UNITS[1], UNITS[1], 2.0),
    Arm(UNITS[2], UNITS[3], -1.0),
]
PATCH = Arm(torch.zeros(D_MODEL), is_patch=True)
REFUSED = ("bloom", "granite", "opt")
"""Families that cannot do some of the works on one card either."""
COUNTED = Counted(
    (
        Opener(TokenSet("a", (5,), ("a",)), ((7, 8), (9,))),
        Opener(TokenSet("b", (6,), ("b",))),
    ),
    (5, 6, 7, 8, 9),
)
KINDS: tuple[Kind, ...] = ("add", "set_projection", "patch", "add")


def make_prefix(seed: int, *, has_donor: bool = False) -> Prefix:
    generator = torch.Generator().manual_seed(seed)
    ids, donor = torch.randint(6, len(WORDS), (2, 18 + seed), generator=generator).tolist()
    return Prefix(ids, 3, [5, 9, 14], [7, 11], donor if has_donor else [])


def extract(loaded: LoadedModel, folder: Path, hook: str) -> Any:
    request = Request(tuple(range(N_LAYERS)), Positions((-3, 2), True), "float32", 2, 90, 1, hook)
    engine.extract(loaded, ITEMS, request, store=folder / "s", out=folder / "o", floor=1e-5)
    return shards_in(folder / "o")


def forced(loaded: LoadedModel, _folder: Path) -> Any:
    prefixes = [make_prefix(seed) for seed in range(3)]
    return [teacher_force(loaded, layer, prefixes, ARMS, [4, 5], 6) for layer in EDITED]


def decisions(loaded: LoadedModel, _folder: Path) -> Any:
    prefixes, arms = [make_prefix(seed, has_donor=True) for seed in range(2)], [*ARMS, PATCH]
    trees = [read_endpoints(loaded, layer, prefixes, arms, COUNTED, 4) for layer in EDITED]
    asked = [read_out(loaded, layer, prefixes, [8, 9], arms, [5], [6], 4) for layer in EDITED]
    branches = read_branches(loaded, prefixes[0].ids, np.array([4, 9]), [(5, 6, 7), (8, 9)])
    return trees, asked, branches


def tails(loaded: LoadedModel, _folder: Path) -> Any:
    ids, donor_ids, tail = make_prompts(3, 2)[2], make_prompts(5, 3)[4], [7, 8, 9]
    past, donor_past = (read_prefix(loaded, [3, *one, 7]) for one in (ids, donor_ids))
    donor = read_donor(loaded, donor_past, tail)
    rows = [
        Edit(kind, layer, None if kind == "patch" else VECTORS[0], span, 0.5)
        for kind in ("add", "project_out", "set_projection", "patch")
        for layer in EDITED
        for span in SPANS
    ]
    return run_tails(loaded, past, tail, rows, 3, donor[1]), donor


def written(loaded: LoadedModel, _folder: Path) -> Any:
    prompts, sampling = make_prompts(4), Sampling(0, 1.0, 12)
    found: list[Any] = [slots.why_not(loaded)]
    for layer in EDITED:
        steering = Steering(
            layer, VECTORS, "decision", lambda ids: ids[-1] == FULL_STOP or len(ids) % 3 == 0,
            KINDS, torch.tensor([0.0, 2.0, 0.0, 0.0]),
        )  # fmt: skip
        own = generate(
            loaded, prompts, make_keys(8), sampling, n=2, steering=steering, batch_size=4
        )
        found += [dataclasses.astuple(one) for one in own]
    return found


def written_on(loaded: LoadedModel, _folder: Path) -> Any:
    ids, draws = make_prefix(0, has_donor=True), Draws(3, Sampling(3, 1.0, 8), 4)
    prefix = Prefix(ids.ids[:15], 3, [14], donor_ids=ids.donor_ids[:15])
    arms = [*ARMS, PATCH]
    return [
        write_on(loaded, layer, prefix, arms, "a", draws, lambda ids: ids[-1] % 7 == EOS)
        for layer in EDITED
    ]


def ablated(loaded: LoadedModel, _folder: Path) -> Any:
    means = mean_outputs(loaded, [item.ids for item in ITEMS], 2)
    ablator, prefixes = Ablator(loaded, means), [make_prefix(seed) for seed in range(2)]
    others = [match_positions(one.decisions, one.sentence_ends) for one in prefixes]
    arms = arms_of(list(means), ("mean", "zero"))
    found = components.force(ablator, prefixes, others, arms, [4, 5], 2)
    with ablator.without(list(means)[::2], "mean"):
        free = generate(loaded, make_prompts(3), make_keys(3), Sampling(0, 1.0, 8))
    return means, found, [dataclasses.astuple(one) for one in free]


def scored(loaded: LoadedModel, _folder: Path) -> Any:
    gain, w_u = loading.final_norm_gain(loaded), loading.unembedding(loaded)
    return token_nll(loaded, make_prompts(4), make_prompts(4, 1), 30), gain, w_u


def slopes(loaded: LoadedModel, _folder: Path) -> Any:
    return gradient(loaded, make_prompts(3), [5, 6])


WORKS: dict[str, Callable[[LoadedModel, Path], Any]] = {
    **{
        f"extract-{hook}": lambda loaded, folder, hook=hook: extract(loaded, folder, hook)
        for hook in ("resid_post", "resid_pre", "attn_out", "mlp_out")
    },
    "forced": forced,
    "decisions": decisions,
    "tails": tails,
    "written": written,
    "written-on": written_on,
    "ablated": ablated,
    "scored": scored,
    "slopes": slopes,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[LoadedModel, Any]]:
    """By family the model on one card, and spread over three, with the mode that watches them."""
    torch.set_num_threads(1)
    found: dict[str, tuple[LoadedModel, Any]] = {}

    def models_(family: str) -> tuple[LoadedModel, Any]:
        if family not in found:
            folder, mode = save_model(tmp_path_factory.mktemp(family), family), LabelledCards()
            alone = loading.load(folder)
            aligned(alone.model)
            found[family] = alone, (load(folder, 3, mode), mode)
        return found[family]

    return models_


def plain(value: Any) -> Iterator[Any]:
    """Bytes of tensors and arrays, and all else as it is."""
    for leaf in tree_leaves(value):
        if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            yield from plain([getattr(leaf, one.name) for one in dataclasses.fields(leaf)])
        elif isinstance(leaf, torch.Tensor):
            yield leaf.cpu().numpy().tobytes()
        else:
            yield leaf.tobytes() if isinstance(leaf, np.ndarray) else leaf


def outcome(work: str, loaded: LoadedModel, folder: Path) -> list[Any] | str:
    """What a work gives, or what is said where an architecture cannot do it."""
    try:
        return list(plain(WORKS[work](loaded, folder)))
    except (UserError, IndexError) as error:
        return str(error)


@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("family", few(("gemma3", *sorted({*CONFIGS} - {"gemma3"}))))
def test_what_is_read_and_written_over_cards_has_the_bytes_of_one(
    models: Callable[[str], tuple[LoadedModel, Any]], family: str, work: str, tmp_path: Path
) -> None:
    alone, (spread, mode) = models(family)
    expected = outcome(work, alone, tmp_path / "alone")
    with mode:
        found = outcome(work, spread, tmp_path / "spread")
    assert found == expected
    assert isinstance(found, list) or family in REFUSED


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3"])
def test_blocks_stand_on_their_cards_and_all_else_at_home(family: str, tmp_path: Path) -> None:
    mode = LabelledCards()
    loaded = load(save_model(tmp_path, family), N_LAYERS, mode)
    with mode:
        assert str(loaded.device) == "cpu:0"
        for layer, block in enumerate(loaded.blocks):
            assert {str(one.device) for one in block.parameters()} == {f"cpu:{layer}"}
        inside = {id(one) for block in loaded.blocks for one in block.parameters()}
        others = [one for one in loaded.model.parameters() if id(one) not in inside]
        assert {str(one.device) for one in others} == {"cpu:0"}


def test_a_model_that_the_cards_do_not_hold_is_refused_with_numbers(tmp_path: Path) -> None:
    folder = save_model(tmp_path)
    with pytest.raises(UserError) as refused:
        load(folder, 2, LabelledCards(), free=10)
    said = str(refused.value)
    assert said.startswith(f"{folder} (LlamaForCausalLM): its weights need 0 MiB, and do not fit: ")
    assert "no layers on cpu:0 (0 MiB of 0 MiB free), layers 0 to 0 on cpu:1" in said
    assert "layers 1 to 2 (0 MiB) have no place." in said


def test_quantised_weights_are_of_unknown_size_and_stand_on_one_card(tmp_path: Path) -> None:
    path = save_model(tmp_path) / "config.json"
    told = json.loads(path.read_text()) | {"quantization_config": {"quant_method": "awq"}}
    path.write_text(json.dumps(told))
    assert spreading.plan(tmp_path, [torch.device("cpu", 0)], "float32") is None


@pytest.mark.parametrize("family", ["llama", "qwen3-moe", "gpt2"])
def test_bytes_are_those_of_the_weights_and_of_the_cache(family: str, tmp_path: Path) -> None:
    loaded = loading.load(save_model(tmp_path, family))
    size = spreading.size_of(loaded.model, loaded.blocks, 4)
    tensors = [*loaded.model.parameters(), *loaded.model.buffers()]
    assert size.weights == sum(one.nbytes // one.itemsize * 4 for one in tensors)
    past: Any = read_prefix(loaded, [5] * 9)
    keys, values = past.layers[-1].keys, past.layers[-1].values
    held = (keys.nbytes + values.nbytes) / 8
    assert size.cache == round(ROOMY * TOKENS * held)


@pytest.mark.parametrize("family", ["llama", "qwen3-moe", "gpt2"])
def test_what_fits_is_planned_from_free_memory(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = loading.load(save_model(tmp_path, family))
    free = 2 * HELD_LOGITS
    monkeypatch.setattr(spreading, "free_beside", lambda _device: free)
    held = {kind: spreading.n_tokens(loaded.model, loaded.blocks, kind) for kind in PARTS}
    assert all(n is not None and n > 0 for n in held.values())
    past: Any = read_prefix(loaded, [5] * 9)
    layers = [one for one in past.layers if one.keys is not None]
    n_bytes = sum(one.keys.nbytes + one.values.nbytes for one in layers) / 8
    assert (held["prompts"] or 0) * n_bytes <= free

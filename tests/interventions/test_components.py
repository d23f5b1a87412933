"""Components: a planted one is found, one that writes nothing changes nothing, no hook stays."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from tiny_models import EOS, FAMILIES, FULL_STOP, N_LAYERS, WORDS, make_keys, save_model

from backtracking.interventions.components import (
    Ablator,
    Component,
    Value,
    arms_of,
    force,
    is_dead_end,
    match_positions,
    mean_outputs,
    rank,
)
from backtracking.models import loading
from backtracking.models.forced import Prefix
from backtracking.models.generation import generate
from backtracking.models.loading import LoadedModel, unembedding
from backtracking.models.sampling import Sampling
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.measured import Arm, Array, Measured, baseline
from backtracking.records.sentences import Decision, Kind, Truth
from backtracking.records.traces import Trace

MARKER = WORDS.index("Wait")
PLANTED, SILENT = Component("mlp", 1), Component("attention", 2)
N_PREFIXES = 18


def make_prefixes() -> list[Prefix]:
    """Of different lengths; every sixth token is a full stop that decides."""
    generator = torch.Generator().manual_seed(0)
    prefixes = []
    for number in range(N_PREFIXES):
        ids = torch.randint(6, len(WORDS), (20 + 3 * (number % 4),), generator=generator).tolist()
        stops = list(range(6, len(ids), 6))
        for stop in stops:
            ids[stop] = ids[stop - 3] = FULL_STOP
        prefixes.append(Prefix(ids, 3, stops))
    return prefixes


PREFIXES = make_prefixes()
OTHERS = [match_positions(one.decisions, [at - 3 for at in one.decisions]) for one in PREFIXES]
VALUES: tuple[Value, ...] = ("mean", "zero")


@pytest.fixture(scope="module")
def ablator(tmp_path_factory: pytest.TempPathFactory) -> Ablator:
    """A random model: one MLP raises the marker after a full stop, one attention writes nothing."""
    torch.set_num_threads(1)
    loaded = loading.load(save_model(tmp_path_factory.mktemp("model")))
    stop = loaded.model.get_input_embeddings().weight[FULL_STOP]  # type: ignore[union-attr]
    row = unembedding(loaded)[MARKER]
    with torch.no_grad():
        for block in loaded.blocks:
            for weights in block.parameters():
                if weights.ndim == 2:
                    weights.mul_(0.4)
        mlp = loaded.blocks[PLANTED.layer].mlp
        mlp.gate_proj.weight[0] = stop / stop.norm()  # type: ignore[index, operator]
        mlp.up_proj.weight[0] = stop / stop.norm()  # type: ignore[index, operator]
        mlp.down_proj.weight[:, 0] = 1.5 * row / row.norm()  # type: ignore[index]
        loaded.blocks[SILENT.layer].self_attn.o_proj.weight.zero_()  # type: ignore[union-attr]
    return make_ablator(loaded, PREFIXES, 4)


def make_ablator(loaded: LoadedModel, prefixes: Sequence[Prefix], rows: int) -> Ablator:
    return Ablator(loaded, mean_outputs(loaded, [prefix.ids for prefix in prefixes], rows))


@pytest.fixture(scope="module")
def arms(ablator: Ablator) -> list[Arm]:
    return arms_of(list(ablator.mean_by_component), VALUES)


@pytest.fixture(scope="module")
def measured(ablator: Ablator, arms: list[Arm]) -> Measured:
    found = force(ablator, PREFIXES, OTHERS, arms, [MARKER], 5)
    names = [f"p{number}/0" for number in range(len(PREFIXES))]
    ids = [
        f"{name}@{at}" for name, one in zip(names, PREFIXES, strict=True) for at in one.decisions
    ]
    return Measured("reasoning", "dev", (baseline(), *arms), found, tuple(ids), tuple(names))


def test_every_component_is_taken_away_in_both_places_with_each_value(arms: list[Arm]) -> None:
    found = {(Component.of(arm), arm.value, arm.where) for arm in arms}
    assert len(found) == len(arms) == 2 * N_LAYERS * 2 * 2


def test_the_planted_component_is_ranked_first(measured: Measured) -> None:
    first, second, *rest = rank(measured, np.ones(len(measured.decisions), dtype=bool))
    assert first.component == PLANTED and len(rest) == 2 * N_LAYERS - 2
    assert first.fall > 0.05 and first.fall > 4 * abs(second.fall)
    assert abs(first.fall_other) < 0.1 * first.fall


def test_the_ranking_reads_dead_ends_alone_and_without_any_there_is_none(
    measured: Measured,
) -> None:
    dead = np.arange(len(measured.decisions)) % 2 == 0
    values = np.where(dead, measured.values("p_open"), np.nan)
    spoilt = Measured(
        "reasoning", "dev", measured.arms, {"p_open": Array("decisions", values)},
        measured.decisions,
    )  # fmt: skip
    assert rank(spoilt, dead) == rank(measured, dead) != rank(measured, ~dead)
    assert rank(measured, np.zeros_like(dead)) == []


@pytest.mark.parametrize("knows_kinds", [True, False])
def test_dead_ends_are_those_that_can_be_seen_or_where_none_is_known_the_positive_class(
    knows_kinds: bool,
) -> None:
    kinds = (Kind("stuck", "dead", True), Kind("lost", "dead", False), Kind("open", "live", False))
    rows = [("stuck", "goes on"), ("lost", "turns"), ("open", "turns"), ("stuck", "turns")]
    records = [
        Decision(
            "p/0", "p", "dev", n, n, n, "deduction", action,  # type: ignore[arg-type]
            Truth(kind=kind) if knows_kinds else None,
        )
        for n, (kind, action) in enumerate(rows)
    ]  # fmt: skip
    trace = Trace("p/0", "p", "dev", 0, [1], [2], "", "stop", {})
    decisions = Decisions.gather(records, [trace], kinds if knows_kinds else ())
    classes = Classes("action", ("turns",), ("goes on",), ())
    expected = [True, False, False, True] if knows_kinds else [False, True, True, True]
    assert is_dead_end(decisions, classes).tolist() == expected


def test_a_component_that_writes_nothing_changes_nothing_bit_for_bit(
    ablator: Ablator, measured: Measured
) -> None:
    assert not ablator.mean_by_component[SILENT].any()
    chosen = [arm for arm in measured.arms if arm.name == SILENT.name]
    assert len(chosen) == 4
    for name, array in measured.arrays.items():
        expected = array.values[0] if name == "p_open" else 0 * array.values[0]
        for arm in chosen:
            assert np.array_equal(measured.values(name, arm), expected, equal_nan=True)


def test_the_first_row_is_the_model_as_it_is(measured: Measured) -> None:
    assert (measured.values("p_open", baseline()) > 0).all()
    for name in ("kl_decision", "kl_elsewhere"):
        assert (measured.values(name, baseline()) == 0).all()
        assert (measured.values(name) >= -1e-6).all() and (measured.values(name) > 1e-4).any()


def test_arms_are_plain_forward_passes_with_the_output_replaced(
    ablator: Ablator, measured: Measured
) -> None:
    model, first = ablator.loaded.model, 0
    for number, prefix in enumerate(PREFIXES):
        columns = slice(first, first + len(prefix.decisions))
        first += len(prefix.decisions)
        for arm in (measured.arms[number] for number in (1, 8, 14, 19)):
            at = prefix.decisions if arm.where == "decision" else [a for a in OTHERS[number] if a]
            with torch.inference_mode():
                clean = model(torch.tensor([prefix.ids])).logits[0].log_softmax(-1)
                found = plain(ablator, prefix.ids, arm, at)
            np.testing.assert_allclose(
                measured.values("p_open", arm)[columns],
                found[prefix.decisions, MARKER].exp().numpy(), atol=1e-6,
            )  # fmt: skip
            kl = torch.nn.functional.kl_div(found, clean, log_target=True, reduction="none").sum(1)
            for name, places in (("kl_decision", prefix.decisions), ("kl_other", OTHERS[number])):
                expected = kl[[a for a in places if a is not None]].numpy()
                np.testing.assert_allclose(measured.values(name, arm)[columns], expected, atol=1e-5)
            rest = set(range(3, len(prefix.ids))) - set(prefix.decisions) - set(OTHERS[number])
            mean = float(kl[sorted(rest)].mean())
            found_mean = measured.values("kl_elsewhere", arm)[number]
            assert found_mean == pytest.approx(mean, abs=1e-5)


def plain(ablator: Ablator, ids: list[int], arm: Arm, at: Sequence[int]) -> torch.Tensor:
    """Log-probabilities with a bare hook that overwrites the output at these positions."""

    def overwrite(_module, _inputs, output):
        tensor = (output[0] if isinstance(output, tuple) else output).clone()
        mean = ablator.mean_by_component[Component.of(arm)]
        tensor[0, list(at)] = mean if arm.value == "mean" else 0.0
        return (tensor, *output[1:]) if isinstance(output, tuple) else tensor

    handle = ablator.module_by_component[Component.of(arm)].register_forward_hook(overwrite)
    try:
        return ablator.loaded.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    finally:
        handle.remove()


def test_means_are_over_all_positions_of_all_traces_and_no_padding(ablator: Ablator) -> None:
    outputs: list[torch.Tensor] = []
    handle = ablator.module_by_component[PLANTED].register_forward_hook(
        lambda _module, _inputs, output: outputs.append(output[0])
    )
    try:
        with torch.inference_mode():
            for prefix in PREFIXES:
                ablator.loaded.model(torch.tensor([prefix.ids]))
    finally:
        handle.remove()
    expected = torch.cat(outputs).double().mean(dim=0).float()
    torch.testing.assert_close(ablator.mean_by_component[PLANTED], expected, rtol=0, atol=1e-5)


def test_a_position_serves_one_decision_and_the_earlier_of_two_equally_near_ones() -> None:
    assert match_positions([10, 20], [5, 15, 18, 30]) == [5, 18]
    assert match_positions([10, 12], [11, 30]) == [11, 30]
    assert match_positions([10, 12], [10, 9]) == [9, None]
    assert match_positions([], [3]) == []


def test_a_decision_without_a_match_has_no_number_there(ablator: Ablator) -> None:
    arms = [PLANTED.ablated("zero", "other")]
    found = force(ablator, PREFIXES[:1], [[None, 3, None][: len(OTHERS[0])]], arms, [MARKER], 2)
    assert np.isnan(found["kl_other"].values[1]).tolist() == [True, False, True][: len(OTHERS[0])]
    assert np.isfinite(found["p_open"].values).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_whole_generations_are_the_same_with_and_without_a_cache_and_no_hook_stays(
    family: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    loaded = loading.load(save_model(tmp_path_factory.mktemp(family), family))
    ablator = make_ablator(loaded, PREFIXES[:4], 2)
    prompts = [[1, 8, 9], [1, 7, 6, 5, 4]]
    greedy = Sampling(0, 0.0, 12)
    sets = [(Component("mlp", 0),), (Component("attention", 1), Component("mlp", 2))]
    before, hooks = generate(loaded, prompts, make_keys(2), greedy), count_hooks(loaded)
    for components in sets:
        with ablator.without(components, "mean"):
            cached = generate(loaded, prompts, make_keys(2), greedy)
            recomputed = [greedily(ablator, prompt, 12) for prompt in prompts]
        assert [one.token_ids for one in cached] == recomputed
        assert recomputed != [one.token_ids for one in before]
    assert generate(loaded, prompts, make_keys(2), greedy) == before
    assert count_hooks(loaded) == hooks


def count_hooks(loaded: LoadedModel) -> int:
    return sum(len(module._forward_hooks) for module in loaded.model.modules())


@torch.inference_mode()
def greedily(ablator: Ablator, prompt: list[int], n: int) -> list[int]:
    """The most likely tokens, each from a forward pass over all that stands before it."""
    ids = list(prompt)
    while len(ids) < len(prompt) + n and (len(ids) == len(prompt) or ids[-1] != EOS):
        logits = ablator.loaded.model(torch.tensor([ids]), use_cache=False).logits
        ids.append(int(logits[0, -1].argmax()))
    return ids[len(prompt) :]


def test_no_hook_stays_after_an_error(ablator: Ablator) -> None:
    hooks = count_hooks(ablator.loaded)
    with pytest.raises(RuntimeError), ablator.without([PLANTED, SILENT], "zero"):
        assert count_hooks(ablator.loaded) == hooks + 2
        raise RuntimeError
    assert count_hooks(ablator.loaded) == hooks


def test_no_component_leaves_every_bit(ablator: Ablator) -> None:
    ids = torch.tensor([PREFIXES[0].ids])
    with torch.inference_mode():
        expected = ablator.loaded.model(ids).logits
        with ablator.without([], "zero"):
            assert torch.equal(ablator.loaded.model(ids).logits, expected)

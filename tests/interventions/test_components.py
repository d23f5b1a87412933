"""Components: a planted one is found, one that writes nothing changes nothing, no hook stays."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from tiny_models import EOS, FAMILIES, FULL_STOP, N_LAYERS, WORDS, make_keys, save_model

from backtracking.effects.components import Effects, rank, tabulate, tabulate_elsewhere
from backtracking.interventions.components import (
    Ablated,
    Ablator,
    Arm,
    Component,
    force,
    make_ablator,
    match_positions,
)
from backtracking.models import loading
from backtracking.models.forced import Prefix
from backtracking.models.generation import generate
from backtracking.models.loading import LoadedModel, unembedding
from backtracking.models.sampling import Sampling
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.multiplicity import familywise_p

MARKER = WORDS.index("Wait")
PLANTED, SILENT = Component("mlp", 1), Component("attention", 2)
BOOTSTRAP = Bootstrap(200, 0.95, 0)
N_PROBLEMS = 9


def make_prefixes() -> list[Prefix]:
    """Two a problem, of different lengths; every sixth token is a full stop that decides."""
    generator = torch.Generator().manual_seed(0)
    prefixes = []
    for number in range(2 * N_PROBLEMS):
        ids = torch.randint(6, len(WORDS), (20 + 3 * (number % 4),), generator=generator).tolist()
        stops = list(range(6, len(ids), 6))
        for stop in stops:
            ids[stop] = ids[stop - 3] = FULL_STOP
        prefixes.append(Prefix(ids, 3, stops))
    return prefixes


PREFIXES = make_prefixes()
OTHERS = [match_positions(one.decisions, [at - 3 for at in one.decisions]) for one in PREFIXES]
PROBLEMS = [f"p{number // 2}" for number in range(2 * N_PROBLEMS)]


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
    return make_ablator(loaded, [prefix.ids for prefix in PREFIXES], 4)


def arms_of(ablator: Ablator) -> list[Arm]:
    return [
        Arm(component, value, place)
        for component in sorted(ablator.module_by_component)
        for value in ("mean", "zero")
        for place in ("decision", "other")
    ]


@pytest.fixture(scope="module")
def ablated(ablator: Ablator) -> Ablated:
    return force(ablator, PREFIXES, OTHERS, arms_of(ablator), [MARKER], 5)


@pytest.fixture(scope="module")
def effects(ablator: Ablator, ablated: Ablated) -> Effects:
    problem = [name for name, one in zip(PROBLEMS, PREFIXES, strict=True) for _ in one.decisions]
    kind = np.array(["over", "exhausted", "alive"] * len(problem), dtype=object)[: len(problem)]
    names = np.array(problem, dtype=object)
    return Effects("reasoning", arms_of(ablator), ablated, kind, names, PROBLEMS)


def test_the_planted_component_is_found_first_and_significant(effects: Effects) -> None:
    first, second, *_ = rank(effects)
    assert first["component"] == PLANTED
    assert first["fall"] > 0.05 and first["fall"] > 4 * abs(second["fall"])
    assert abs(first["fall_other"]) < 0.1 * first["fall"]
    bounds = {"mean": -0.04, "zero": -0.5}
    rows = [
        row
        for row in tabulate(effects, BOOTSTRAP)
        if (row["component"], row["place"]) == (PLANTED.name, "decision")
    ]
    assert len(rows) == 6
    for row in rows:
        assert row["high"] < bounds[row["value_written"]] and row["p"] < 0.05
        assert row["n"] == N_PROBLEMS and row["baseline"] + row["value"] > 0
        assert row["kl_low"] > 0.01


def test_a_component_that_writes_nothing_changes_nothing_bit_for_bit(
    ablator: Ablator, effects: Effects
) -> None:
    assert not ablator.mean_by_component[SILENT].any()
    chosen = [number for number, arm in enumerate(effects.arms) if arm.component == SILENT]
    found = effects.ablated
    assert len(chosen) == 4
    assert (found.p_marked[chosen] == found.p_baseline).all()
    for kl in (found.kl_decision, found.kl_other, found.kl_elsewhere):
        assert (kl[chosen] == 0).all()
    rows = [r for r in tabulate(effects, BOOTSTRAP) if r["component"] == SILENT.name]
    assert rows and all(row["p"] == 1 and row["value"] == 0 for row in rows)


def test_arms_are_plain_forward_passes_with_the_output_replaced(
    ablator: Ablator, ablated: Ablated
) -> None:
    model, arms = ablator.loaded.model, arms_of(ablator)
    first = 0
    for number, prefix in enumerate(PREFIXES):
        columns = slice(first, first + len(prefix.decisions))
        first += len(prefix.decisions)
        for arm_number in (0, 7, 13, 18):
            arm = arms[arm_number]
            at = prefix.decisions if arm.place == "decision" else [a for a in OTHERS[number] if a]
            with torch.inference_mode():
                clean = model(torch.tensor([prefix.ids])).logits[0].log_softmax(-1)
                found = plain(ablator, prefix.ids, arm, at)
            np.testing.assert_allclose(
                ablated.p_marked[arm_number, columns],
                found[prefix.decisions, MARKER].exp().numpy(), atol=1e-6,
            )  # fmt: skip
            kl = torch.nn.functional.kl_div(found, clean, log_target=True, reduction="none").sum(1)
            for name, places in (("kl_decision", prefix.decisions), ("kl_other", OTHERS[number])):
                expected = kl[[a for a in places if a is not None]].numpy()
                np.testing.assert_allclose(
                    getattr(ablated, name)[arm_number, columns], expected, atol=1e-5
                )
            rest = set(range(3, len(prefix.ids))) - set(prefix.decisions) - set(OTHERS[number])
            mean = float(kl[sorted(rest)].mean())
            assert ablated.kl_elsewhere[arm_number, number] == pytest.approx(mean, abs=1e-5)


def plain(ablator: Ablator, ids: list[int], arm: Arm, at: Sequence[int]) -> torch.Tensor:
    """Log-probabilities with a bare hook that overwrites the output at these positions."""

    def overwrite(_module, _inputs, output):
        tensor = (output[0] if isinstance(output, tuple) else output).clone()
        mean = ablator.mean_by_component[arm.component]
        tensor[0, list(at)] = mean if arm.value == "mean" else 0.0
        return (tensor, *output[1:]) if isinstance(output, tuple) else tensor

    handle = ablator.module_by_component[arm.component].register_forward_hook(overwrite)
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


def test_changes_elsewhere_have_a_row_for_every_arm(effects: Effects) -> None:
    rows = tabulate_elsewhere(effects, BOOTSTRAP)
    assert len(rows) == len(effects.arms) == 4 * 2 * N_LAYERS
    assert min(row["value"] for row in rows) >= -1e-9 and max(row["value"] for row in rows) > 1e-4


def test_a_position_serves_one_decision_and_the_earlier_of_two_equally_near_ones() -> None:
    assert match_positions([10, 20], [5, 15, 18, 30]) == [5, 18]
    assert match_positions([10, 12], [11, 30]) == [11, 30]
    assert match_positions([10, 12], [10, 9]) == [9, None]
    assert match_positions([], [3]) == []


def test_a_decision_without_a_match_has_no_number_there(ablator: Ablator) -> None:
    arms = [Arm(PLANTED, "zero", "other")]
    found = force(ablator, PREFIXES[:1], [[None, 3, None][: len(OTHERS[0])]], arms, [MARKER], 2)
    assert np.isnan(found.kl_other[0]).tolist() == [True, False, True][: len(OTHERS[0])]
    assert np.isfinite(found.p_marked).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_whole_generations_are_the_same_with_and_without_a_cache_and_no_hook_stays(
    family: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    loaded = loading.load(save_model(tmp_path_factory.mktemp(family), family))
    ablator = make_ablator(loaded, [prefix.ids for prefix in PREFIXES[:4]], 2)
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


def test_corrected_p_is_null_at_the_nominal_rate_and_finds_what_is_planted() -> None:
    rng = np.random.default_rng(0)
    smallest, planted = [], []
    for seed in range(200):
        sums = rng.standard_normal((25, 8)) * rng.uniform(0.1, 3, 8)
        smallest.append(familywise_p(sums, 199, seed).min())
        planted.append(familywise_p(sums + np.eye(1, 8) * 4 * sums.std(axis=0), 199, seed)[0])
    assert 0.01 < np.mean(np.array(smallest) <= 0.05) < 0.10
    assert np.mean(np.array(planted) <= 0.05) > 0.95


def test_corrected_p_of_one_column_is_scipys_sign_flip_test() -> None:
    from scipy.stats import permutation_test

    sums = np.random.default_rng(3).standard_normal((9, 1)) + 0.6
    expected = permutation_test(
        (sums[:, 0],), np.sum, permutation_type="samples", n_resamples=10**6
    ).pvalue
    assert familywise_p(sums, 20000, 0)[0] == pytest.approx(expected, abs=0.01)

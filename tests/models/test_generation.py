"""Generation: against transformers, without a cache, in other batches, and steered."""

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from tiny_models import (
    CONTEXT,
    D_MODEL,
    EOS,
    FAMILIES,
    FULL_STOP,
    make_keys,
    make_prompts,
    save_model,
)
from torch import Tensor

from backtracking.models import batching, edits, generation, hooks, loading
from backtracking.models.batching import compare_greedy
from backtracking.models.generation import Generation, Kind, Steering, Where, generate
from backtracking.models.loading import LoadedModel
from backtracking.models.sampling import Sampling
from lifeboat.stage.errors import UserError

GREEDY = Sampling(0, 0.0, 30)
SAMPLED = Sampling(0, 1.0, 30)
LAYER = 1


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=FAMILIES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return loading.load(save_model(tmp_path_factory.mktemp(request.param), request.param))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return loading.load(save_model(tmp_path_factory.mktemp("llama")))


@pytest.fixture(params=["in slots", "in step"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Rows in slots, and as they are written where a model's cache has none."""
    if request.param == "in step":
        monkeypatch.setattr(generation.slots, "why_not", lambda loaded: "a test asks for it")
    return request.param


@pytest.fixture
def endless(llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    """The model without an end token, so that every row runs to its length."""
    monkeypatch.setattr(generation, "_ends", lambda loaded: never)
    return llama


def never(_written: list[int]) -> bool:
    return False


def make_vectors(n: int) -> Tensor:
    return 3 * torch.randn(n, D_MODEL, generator=torch.Generator().manual_seed(0))


def is_decision(ids: list[int]) -> bool:
    return ids[-1] == FULL_STOP or ids[-2:] == [7, 8]


def make_steering(vectors: Tensor, where: Where) -> Steering:
    return Steering(LAYER, vectors, where, is_decision if where == "decision" else None)


def expected_positions(ids: list[int], n_prompt: int, where: Where) -> list[bool]:
    if where == "decision":
        return [is_decision(ids[: at + 1]) for at in range(len(ids))]
    return [where == "all" or at >= n_prompt for at in range(len(ids))]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Logits of every step, as they are drawn from."""
    logits_by_step: list[Tensor] = []
    draw = generation.draw

    def note(logits: Tensor, uniforms: list[float], temperature: float) -> Tensor:
        logits_by_step.append(logits.clone())
        return draw(logits, uniforms, temperature)

    monkeypatch.setattr(generation, "draw", note)
    return logits_by_step


def test_greedy_is_what_transformers_generates(loaded: LoadedModel, way: str) -> None:
    prompts = make_prompts(8)
    written = generate(loaded, prompts, make_keys(8), GREEDY)
    for prompt, one in zip(prompts, written, strict=True):
        ids = torch.tensor([prompt])
        model: Any = loaded.model
        theirs = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=GREEDY.max_new_tokens,
            do_sample=False,
            pad_token_id=0,
        )
        assert one.token_ids == theirs[0, len(prompt) :].tolist()


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED])
def test_a_row_does_not_depend_on_its_batch(
    loaded: LoadedModel, way: str, sampling: Sampling
) -> None:
    prompts, keys = make_prompts(12), make_keys(12)
    together = generate(loaded, prompts, keys, sampling, batch_size=12)
    assert len({len(prompt) for prompt in prompts}) > 4
    assert len({tuple(one.token_ids) for one in together}) > 4
    for batch_size in (1, 5):
        assert generate(loaded, prompts, keys, sampling, batch_size=batch_size) == together
    reverse = generate(loaded, prompts[::-1], keys[::-1], sampling, batch_size=7)
    assert reverse[::-1] == together


@pytest.mark.parametrize("share", [1e-9, 2.0])
def test_when_rows_are_dropped_and_begun_changes_nothing(
    llama: LoadedModel, way: str, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    write = partial(generate, llama, make_prompts(40), make_keys(40), SAMPLED, batch_size=9)
    expected = write()
    monkeypatch.setattr(generation, "DROPPED_SHARE", share)
    assert write() == expected


def test_a_slot_is_filled_again_as_its_row_ends(
    llama: LoadedModel, seen: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row waits for a longer one: as many are drawn for as there are slots, up to the end."""
    monkeypatch.setattr(generation, "DROPPED_SHARE", 1e-9)
    written = generate(llama, make_prompts(40), make_keys(40), SAMPLED, batch_size=5)
    n_drawn = [len(logits) for logits in seen]
    assert n_drawn == sorted(n_drawn, reverse=True) and n_drawn[0] == 5
    lengths = [len(one.token_ids) for one in written]
    assert sum(n_drawn) == sum(lengths)
    assert len(n_drawn) <= sum(lengths) / 5 + max(lengths)


def test_prompts_are_read_in_chunks_and_nothing_is_read_twice(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = partial(generate, llama, make_prompts(12), make_keys(12), SAMPLED, batch_size=5)
    expected, sizes = write(), list[int]()
    monkeypatch.setattr(generation, "READ_AT_ONCE", 7)
    handle = llama.model.register_forward_pre_hook(lambda _, ids: sizes.append(ids[0].numel()))
    try:
        assert write() == expected
    finally:
        handle.remove()
    assert max(sizes) <= 7


def test_what_is_slow_is_said_once(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(generation.slots, "why_not", lambda loaded: "its cache holds a state")
    for _ in range(2):
        generate(llama, [[1, 6], [1]], ["a", "b"], GREEDY)
    said = "LlamaForCausalLM writes its rows in step, which is slower: its cache holds a state."
    assert caplog.messages == [said]


def test_every_finish_reason_is_what_it_says(llama: LoadedModel) -> None:
    prompts = make_prompts(300)
    written = generate(llama, prompts, make_keys(300), SAMPLED)
    assert set(Counter(one.finish_reason for one in written)) == {"stop", "length", "empty"}
    for one in written:
        n_new, ends = len(one.token_ids), one.token_ids[-1] == EOS
        assert EOS not in one.token_ids[:-1]
        if one.finish_reason == "length":
            assert n_new == SAMPLED.max_new_tokens and not ends
        else:
            assert ends and (n_new == 1) == (one.finish_reason == "empty")


def test_the_length_limit_counts_from_each_rows_own_prompt(endless: LoadedModel) -> None:
    written = generate(endless, make_prompts(10), make_keys(10), SAMPLED)
    assert {len(one.token_ids) for one in written} == {SAMPLED.max_new_tokens}


def test_draws_are_reproducible_and_differ_by_key_and_seed(llama: LoadedModel) -> None:
    prompts, keys = [[1, 6, 7]] * 3, ["a", "b", "a"]
    first = generate(llama, prompts, keys, SAMPLED)
    assert first == generate(llama, prompts, keys, SAMPLED)
    assert first[0] == first[2] != first[1]
    assert first != generate(llama, prompts, keys, replace(SAMPLED, seed=1))


def test_no_global_generator_is_touched(llama: LoadedModel) -> None:
    before = torch.get_rng_state()
    generate(llama, [[1, 6]], ["a"], SAMPLED)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("batch_size", [1, 6, 100])
def test_rows_that_share_a_prompt_are_those_of_prompts_of_their_own(
    loaded: LoadedModel, batch_size: int
) -> None:
    n, prompts = 3, make_prompts(7)
    keys = [f"{key}/{number}" for key in make_keys(7) for number in range(n)]
    alone = [prompt for prompt in prompts for _ in range(n)]
    whole = generate(loaded, alone, keys, SAMPLED, is_done=never)
    assert {len(one.token_ids) for one in whole} == {SAMPLED.max_new_tokens}
    shared = partial(generate, loaded, prompts, keys, SAMPLED, n=n, batch_size=batch_size)
    assert shared(is_done=never) == whole
    cut = shared(is_done=lambda written: written[-1] % 3 == 0)
    for long, short in zip(whole, cut, strict=True):
        ends = [at for at, token in enumerate(long.token_ids) if token % 3 == 0]
        assert short.token_ids == long.token_ids[: ends[0] + 1 if ends else None]


def test_progress_counts_every_row_once(llama: LoadedModel) -> None:
    counts: list[int] = []
    generate(llama, make_prompts(9), make_keys(9), SAMPLED, batch_size=4, progress=counts.append)
    assert sum(counts) == 9
    assert generate(llama, [], [], SAMPLED) == []


@pytest.mark.parametrize("where", ["decision", "generated", "all"])
def test_steering_with_the_cache_is_steering_without(
    loaded: LoadedModel, way: str, seen: list[Tensor], where: Where
) -> None:
    """Teacher-forced, so that exactly the expected positions are changed, in prompt and after."""
    prompt, vectors = [1, 7, 8, 6, FULL_STOP, 9], make_vectors(1)
    steering = make_steering(vectors, where)
    (one,) = generate(loaded, [prompt], ["a"], SAMPLED, steering=steering)
    ids = prompt + one.token_ids[:-1]
    positions = torch.tensor([expected_positions(ids, len(prompt), where)])
    with torch.inference_mode():
        with hooks.add_vector(loaded.blocks, LAYER, vectors, positions):
            steered = loaded.model(torch.tensor([ids])).logits[0, len(prompt) - 1 :]
        clean = loaded.model(torch.tensor([ids])).logits[0, len(prompt) - 1 :]
    torch.testing.assert_close(torch.cat(seen), steered, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(steered, clean, atol=0.01)


@pytest.mark.parametrize("where", ["decision", "generated", "all"])
def test_every_row_of_a_ragged_batch_gets_its_own_vector(
    llama: LoadedModel, way: str, where: Where
) -> None:
    prompts, keys, vectors = make_prompts(8, seed=1), make_keys(8), make_vectors(8)
    together = generate(llama, prompts, keys, SAMPLED, steering=make_steering(vectors, where))
    for row in range(8):
        alone = make_steering(vectors[row : row + 1], where)
        assert [together[row]] == generate(
            llama, prompts[row : row + 1], keys[row : row + 1], SAMPLED, steering=alone
        )
    again = generate(llama, prompts, keys, SAMPLED, steering=make_steering(vectors, where))
    assert again == together != generate(llama, prompts, keys, SAMPLED)


def test_decision_steering_without_a_decision_changes_nothing(
    llama: LoadedModel, seen: list[Tensor]
) -> None:
    prompts, keys = make_prompts(6), make_keys(6)
    never = Steering(LAYER, make_vectors(6), "decision", lambda ids: False)
    steered = generate(llama, prompts, keys, SAMPLED, steering=never)
    logits = seen.copy()
    seen.clear()
    assert steered == generate(llama, prompts, keys, SAMPLED)
    assert all(torch.equal(a, b) for a, b in zip(logits, seen, strict=True))


def test_decisions_are_asked_with_the_ids_so_far(llama: LoadedModel) -> None:
    asked: list[list[int]] = []

    def note(ids: list[int]) -> bool:
        asked.append(ids.copy())
        return False

    prompts = [[1, 6, 7, 8], [1, 9]]
    steering = Steering(LAYER, make_vectors(2), "decision", note)
    written = generate(llama, prompts, make_keys(2), SAMPLED, steering=steering)
    read = [prompt + one.token_ids[:-1] for prompt, one in zip(prompts, written, strict=True)]
    assert sorted(asked) == sorted(ids[: at + 1] for ids in read for at in range(len(ids)))


@pytest.mark.parametrize("where", ["decision", "generated", "all"])
def test_coefficient_zero_is_the_baseline_bit_for_bit(
    loaded: LoadedModel, way: str, seen: list[Tensor], where: Where
) -> None:
    prompts, keys = make_prompts(12), make_keys(12)
    steering = make_steering(torch.zeros(12, D_MODEL), where)
    steered = generate(loaded, prompts, keys, SAMPLED, steering=steering)
    logits = seen.copy()
    seen.clear()
    assert steered == generate(loaded, prompts, keys, SAMPLED)
    assert all(torch.equal(a, b) for a, b in zip(logits, seen, strict=True))


def test_a_baseline_row_beside_steered_rows_keeps_its_bits(
    endless: LoadedModel, seen: list[Tensor]
) -> None:
    prompts, keys, vectors = [[1, 6, 7]] * 4, ["a"] * 4, make_vectors(4)
    vectors[2] = 0
    mixed = generate(endless, prompts, keys, SAMPLED, steering=make_steering(vectors, "all"))
    logits = [step[2] for step in seen]
    seen.clear()
    clean = generate(endless, prompts, keys, SAMPLED)
    assert mixed[2] == clean[2]
    assert mixed[0] != clean[0]
    assert all(torch.equal(a, b[2]) for a, b in zip(logits, seen, strict=True))


KINDS: tuple[Kind, ...] = ("add", "set_projection", "patch", "add")


@pytest.mark.parametrize("where", ["decision", "generated", "all"])
def test_edits_of_every_kind_share_a_batch(
    llama: LoadedModel, endless: LoadedModel, seen: list[Tensor], way: str, where: Where
) -> None:
    """Teacher-forced, each row beside a plain pass with its own edit; the last row has none."""
    prompt, n = [1, 7, 8, 6, FULL_STOP, 9], len(KINDS)
    vectors, values = make_vectors(n), torch.tensor([0.0, 2.0, 0.0, 0.0])
    vectors[3] = 0
    rule = is_decision if where == "decision" else None
    steering = Steering(LAYER, vectors, where, rule, KINDS, values)
    keys = make_keys(n)
    written = generate(endless, [prompt] * n, keys, SAMPLED, steering=steering)
    for row, (kind, one) in enumerate(zip(KINDS, written, strict=True)):
        ids, block = prompt + one.token_ids[:-1], llama.blocks[LAYER]
        positions = torch.tensor([expected_positions(ids, len(prompt), where)])
        own = vectors[row : row + 1]
        edit = {
            "add": hooks.add_vector(llama.blocks, LAYER, own, positions),
            "set_projection": edits.set_projection(block, own, values[row : row + 1], positions),
            "patch": edits.patch(block, own[:, None].expand(1, len(ids), -1), positions),
        }[kind]
        with torch.inference_mode(), edit:
            plain = llama.model(torch.tensor([ids])).logits[0, len(prompt) - 1 :]
        found = torch.stack([step[row] for step in seen])
        torch.testing.assert_close(found, plain, atol=1e-4, rtol=1e-4)
        assert one.n_steered == (int(positions.sum()) if row < 3 else 0)
    assert written[3] == generate(endless, [prompt], keys[3:], SAMPLED)[0]


def test_kinds_are_one_a_vector() -> None:
    with pytest.raises(ValueError, match="2 vectors and 1 `kinds`"):
        Steering(LAYER, make_vectors(2), "all", None, ("add",))


def test_no_hook_stays_after_an_error(llama: LoadedModel) -> None:
    def fail(ids: list[int]) -> bool:
        if len(ids) > 5:
            raise RuntimeError("grammar")
        return True

    before = [list(block._forward_hooks.values()) for block in llama.blocks]
    clean = generate(llama, [[1, 6]], ["a"], GREEDY)
    with pytest.raises(RuntimeError, match="grammar"):
        steering = Steering(LAYER, make_vectors(1), "decision", fail)
        generate(llama, [[1, 6]], ["a"], GREEDY, steering=steering)
    assert [list(block._forward_hooks.values()) for block in llama.blocks] == before
    assert generate(llama, [[1, 6]], ["a"], GREEDY) == clean


def test_greedy_tokens_are_compared_alone_and_together(loaded: LoadedModel) -> None:
    counts = compare_greedy(loaded, make_prompts(12), 20)
    assert counts["n"] == 12 == counts["identical"] + counts["near_ties"]
    assert counts["different"] == 0


@pytest.mark.parametrize(("tie", "kind"), [(1e9, "near_ties"), (0.0, "different")])
def test_a_difference_is_a_near_tie_only_where_the_logits_are_close(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch, tie: float, kind: str
) -> None:
    written = iter([[Generation([6, 7], "length")], [Generation([6, 8], "length")]])
    monkeypatch.setattr(batching, "generate", lambda *args, **kwargs: next(written))
    monkeypatch.setattr(batching, "NEAR_TIE", tie)
    counts = compare_greedy(llama, [[1, 5]], 2)
    assert counts == {"n": 1, "identical": 0, "near_ties": 0, "different": 0} | {kind: 1}


def test_prompts_that_cannot_be_run_are_told(llama: LoadedModel) -> None:
    with pytest.raises(ValueError, match="2 prompts, 1 keys and 2 vectors: the numbers differ"):
        generate(llama, [[1], [1]], ["a"], GREEDY)
    with pytest.raises(ValueError, match="1 prompts, 1 keys and 2 vectors"):
        steering = make_steering(make_vectors(2), "all")
        generate(llama, [[1]], ["a"], GREEDY, steering=steering)
    with pytest.raises(ValueError, match="a prompt has no tokens: begin it with"):
        generate(llama, [[1], []], ["a", "b"], GREEDY)


def test_more_positions_than_the_model_has_are_told(llama: LoadedModel) -> None:
    prompt = [1] * (CONTEXT - 29)
    assert len(generate(llama, [prompt], ["a"], GREEDY)) == 1
    with pytest.raises(UserError, match="30 new tokens need 129 positions, and the model has 128"):
        generate(llama, [[*prompt, 1]], ["a"], GREEDY)


def test_a_decision_needs_its_question(llama: LoadedModel) -> None:
    with pytest.raises(ValueError, match="`is_decision` belongs to `where='decision'`"):
        Steering(LAYER, make_vectors(1), "decision")
    with pytest.raises(ValueError, match="`is_decision` belongs to `where='decision'`"):
        Steering(LAYER, make_vectors(1), "all", is_decision)

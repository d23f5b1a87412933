"""Where memory ends in the middle: less at once, the same results, and it is said."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import D_MODEL, EOS, FULL_STOP, WORDS, make_keys, save_model
from torch import nn

from backtracking.interventions.components import Ablator, arms_of, force, mean_outputs
from backtracking.models import generation, loading, spreading
from backtracking.models.endpoints import Counted, read_endpoints
from backtracking.models.footprint import HELD_LOGITS, READ_AT_ONCE, ROOMY, Footprint
from backtracking.models.forced import Arm, Prefix, teacher_force
from backtracking.models.generation import Steering, generate
from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import Edit, read_prefix, run_tails
from backtracking.models.resampling import Draws, write_on
from backtracking.models.room import Held, Room
from backtracking.models.sampling import Sampling
from backtracking.records.tokens import Opener, TokenSet
from lifeboat.stage.errors import UserError

LAYER, SAMPLING, MARKED = 1, Sampling(3, 1.0, 12), (5, 9)
VECTORS = torch.randn(6, D_MODEL, generator=torch.Generator().manual_seed(1))
ARMS = [Arm(torch.zeros(D_MODEL)), *map(Arm, VECTORS)]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return loading.load(save_model(tmp_path_factory.mktemp("model")))


def make_prefixes() -> list[Prefix]:
    draw = torch.Generator().manual_seed(0)
    found = []
    for length in (17, 9, 24, 13, 21):
        ids = torch.randint(6, len(WORDS), (length,), generator=draw).tolist()
        stops = list(range(6, length, 4))
        for stop in stops:
            ids[stop] = FULL_STOP
        found.append(Prefix(ids, 4, stops))
    return found


PREFIXES = make_prefixes()
OTHERS = [[at - 1 for at in one.decisions] for one in PREFIXES]
PROMPTS = [one.ids[: 3 + number % 3] for number, one in enumerate(PREFIXES * 3)]


def write(loaded: LoadedModel, n: int = 1) -> list[Any]:
    steering = Steering(LAYER, VECTORS.repeat(3, 1)[: len(PROMPTS)], "generated")
    keys = make_keys(n * len(PROMPTS))
    found = generate(loaded, PROMPTS, keys, SAMPLING, n=n, steering=steering, batch_size=12 * n)
    return [(one.token_ids, one.finish_reason, one.n_steered) for one in found]


def draw(loaded: LoadedModel) -> list[Any]:
    prefix = Prefix(PREFIXES[0].ids[:7], 4, [6])
    return write_on(
        loaded, LAYER, prefix, ARMS, "d", Draws(3, SAMPLING, 9), lambda ids: ids[-1] == EOS
    )


def endpoints(loaded: LoadedModel) -> list[Any]:
    counted = Counted((Opener(TokenSet("a", (5,), ("a",)), ((7, 8), (9,))),), (5, 6, 7, 8, 9))
    return list(vars(read_endpoints(loaded, LAYER, PREFIXES, ARMS, counted, 100)).values())


def tails(loaded: LoadedModel) -> Any:
    past = read_prefix(loaded, PREFIXES[0].ids)
    rows = [Edit("add", layer, vector, "onwards") for layer in (0, 1) for vector in VECTORS]
    return run_tails(loaded, past, PREFIXES[0].ids[-1:] + [5, 9], rows, 8)


def forced(loaded: LoadedModel, rows: int) -> list[Any]:
    return list(vars(teacher_force(loaded, LAYER, PREFIXES, ARMS, MARKED, rows)).values())


def means(loaded: LoadedModel) -> dict[Any, Any]:
    return mean_outputs(loaded, [one.ids for one in PREFIXES], 5)


def ablated(loaded: LoadedModel) -> list[Any]:
    ablator = Ablator(loaded, means(loaded))
    arms = arms_of(list(ablator.mean_by_component), ("mean",))
    found = force(ablator, PREFIXES, OTHERS, arms, MARKED, 5)
    return [one.values for one in found.values()]


WORK: dict[str, Callable[[LoadedModel], Any]] = {
    "texts": write,
    "texts, several of a prompt": partial(write, n=3),
    "draws after a decision": draw,
    "endpoints": endpoints,
    "tails": tails,
    "arms of several prefixes": partial(forced, rows=100),
    "arms of one prefix": partial(forced, rows=5),
    "mean outputs": means,
    "ablations": ablated,
}


BEFORE = ("draws after a decision", "endpoints", "tails", "mean outputs", "ablations")
"""Work that reads one text before: a prefix, or a trial that tells which modules write."""


@contextmanager
def cramped(loaded: LoadedModel, n_rows: int, after: int = 0) -> Iterator[list[int]]:
    """A device on which the last block holds so many rows, after some calls; what it refused.

    A tree stands in one row: there a row is as many tokens as the longest text has.
    """
    refused, n_calls = list[int](), 0

    def look(_norm: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        nonlocal n_calls
        n_calls += 1
        n_tokens = given[0].shape[:2].numel()
        n = max(len(given[0]), n_tokens // max(len(one.ids) for one in PREFIXES))
        if n > n_rows and n_calls > after:
            refused.append(n)
            raise torch.OutOfMemoryError("no room")

    norm = loaded.blocks[-1].input_layernorm
    assert isinstance(norm, nn.Module)
    hook = norm.register_forward_pre_hook(look)
    try:
        yield refused
    finally:
        hook.remove()


def require_equal(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, torch.Tensor | np.ndarray):
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-4)
    elif (
        isinstance(expected, list)
        and expected
        and isinstance(expected[0], torch.Tensor | np.ndarray)
    ):
        for one, other in zip(found, expected, strict=True):
            require_equal(one, other)
    else:
        assert found == expected


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize(
    ("name", "way"),
    [*((name, "in slots") for name in WORK), *((name, "in step") for name in list(WORK)[:2])],
)
def test_less_at_once_gives_the_same(
    name: str,
    way: str,
    after: int,
    loaded: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if way == "in step":
        monkeypatch.setattr(generation.slots, "why_not", lambda _loaded: "it may not")
    expected, loaded = WORK[name](loaded), replace(loaded, held=Held())
    n_rows = 3 if "several of a prompt" in name else 2
    with cramped(loaded, n_rows, after) as refused:
        found = WORK[name](loaded)
    assert refused
    require_equal(found, expected)
    assert "Out of memory: going on with" in capsys.readouterr().err


@pytest.mark.parametrize("name", WORK)
def test_the_next_work_of_a_kind_begins_with_what_memory_held(
    name: str, loaded: LoadedModel
) -> None:
    expected, loaded = WORK[name](loaded), replace(loaded, held=Held())
    n_rows = 3 if "several of a prompt" in name else 2
    with cramped(loaded, n_rows) as refused:
        WORK[name](loaded)
        n_before = len(refused)
        again = WORK[name](loaded)
    assert 0 < n_before == len(refused)
    require_equal(again, expected)


@pytest.mark.parametrize("name", WORK)
def test_what_free_memory_holds_is_planned_before(
    name: str,
    loaded: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected, loaded = WORK[name](loaded), replace(loaded, held=Held())
    token = Footprint.of_config(loaded.model.config, loaded.n_layers, 4)
    holds_caches = name.startswith(("texts", "draws", "tails"))
    free = ROOMY * (HELD_LOGITS + READ_AT_ONCE * token.call * holds_caches)
    monkeypatch.setattr(spreading, "free_beside", lambda _device: free)
    with cramped(loaded, 3 if "several of a prompt" in name else 2) as refused:
        found = WORK[name](loaded)
    require_equal(found, expected)
    assert "Memory holds 1 " in capsys.readouterr().err
    assert not refused


@pytest.mark.parametrize("name", WORK)
def test_where_not_even_one_fits_it_is_said(name: str, loaded: LoadedModel) -> None:
    WORK[name](loaded)  # at which lengths the model changes its formula is asked once
    loaded = replace(loaded, held=Held())
    with cramped(loaded, 0), pytest.raises((UserError, torch.OutOfMemoryError)) as told:
        WORK[name](loaded)
    assert "Memory ends" in str(told.value) or name in BEFORE


def test_other_errors_are_not_tried_again() -> None:
    seen = list[int]()

    def run(some: Any) -> None:
        seen.append(len(some))
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        Room(Held(), 4, "texts").each(range(6), run, 1)
    assert seen == [4]


def test_room_never_grows_again_and_is_told_in_tokens() -> None:
    seen = list[int]()

    def run(some: Sequence[int]) -> int:
        seen.append(len(some))
        if len(some) > 2:
            raise torch.OutOfMemoryError
        return sum(some)

    held = Held()
    room = Room(held, 5, "texts")
    assert list(room.parts(range(5), run, 10)) == [1, 5, 4]
    assert list(room.parts(range(3), run, 10)) == [1, 2]
    assert seen == [5, 2, 2, 1, 2, 1]
    later = Room(held, 5, "texts")
    assert [later.at_once(n) for n in (3, 4, 10, 11, 100)] == [5, 5, 2, 1, 1]
    assert Room(held, 5, "prompts").at_once(100) == 5

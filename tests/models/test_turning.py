"""The writer's own probability, by branches, is that of plain passes over each prefix."""

import numpy as np
import pytest
import torch
from belief_helpers import ID_BY_WORD, TOKENS, make_traces, save_world_model

from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.models.turning import Prefixes, p_turns
from backtracking.records.tokens import Opener


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return loading.load(save_world_model(tmp_path_factory.mktemp("model")))


def decided(n: int) -> list[Prefixes]:
    """Traces of the policy with the prefixes at whose end something is decided."""
    found = []
    for trace in make_traces(n):
        first = len(trace.prompt_ids)
        ends = [n for n in range(first, len(trace.ids) + 1) if TOKENS.decides(trace.ids[:n])]
        found.append(Prefixes(trace.ids, np.array(ends)))
    return found


def test_p_is_that_of_reading_every_prefix_alone(loaded: LoadedModel) -> None:
    prefixes = decided(3)
    found = p_turns(loaded, prefixes, TOKENS.openers, TOKENS.asides)
    words = ("Wait", "for", "No", "Undo", "Check")
    wait, for_, no, undo, check = (ID_BY_WORD[word] for word in words)
    for one, p in zip(prefixes, found, strict=True):
        for row in (0, len(one.ends) - 1):
            prefix = one.ids[: one.ends[row]]
            after, waiting = (next_p(loaded, [*prefix, *more]) for more in ([], [wait]))
            acts = after[[no, undo]].sum() + after[wait] * (1 - waiting[for_])
            assert p[row] == pytest.approx(acts / (1 - after[check]), abs=1e-5)
    every = np.concatenate(found)
    assert ((every > 0) & (every < 1)).all() and every.std() > 1e-3


def test_openers_that_nothing_takes_back_are_summed(loaded: LoadedModel) -> None:
    prefixes = decided(1)
    openers = [Opener(one.ids) for one in TOKENS.openers]
    (found,) = p_turns(loaded, prefixes, openers, None)
    ids = [ID_BY_WORD[word] for word in ("Wait", "No", "Undo")]
    expected = next_p(loaded, prefixes[0].ids[: prefixes[0].ends[0]])[ids].sum()
    assert found[0] == pytest.approx(expected, abs=1e-5)


@torch.inference_mode()
def next_p(loaded: LoadedModel, ids: list[int]) -> np.ndarray:
    logits = loaded.model(input_ids=torch.tensor([ids])).logits[0, -1]
    return logits.double().softmax(dim=0).numpy()

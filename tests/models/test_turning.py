"""The writer's own probability, by cache and masks, is that of plain passes over each prefix."""

from pathlib import Path

import numpy as np
import torch
from tiny_models import save_model

from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.models.turning import Prefixes, p_turns
from backtracking.records.tokens import Opener, TokenSet

PLAIN = Opener(TokenSet("plain", (15, 22), ("plain", "Plain")))
TAKEN_BACK = Opener(TokenSet("doubtful", (23,), ("doubtful",)), taken_back_by=(5, 29))
ASIDES = TokenSet("aside", (7, 9), ("aside", "Aside"))


def test_p_is_that_of_reading_every_prefix_alone(tmp_path: Path) -> None:
    writer = loading.load(save_model(tmp_path))
    rng = np.random.default_rng(0)
    traces = [
        Prefixes(rng.integers(3, 40, length).tolist(), np.array(ends))
        for length, ends in ((40, [5, 17, 40]), (25, [1, 24]))
    ]
    found = p_turns(writer, traces, (TAKEN_BACK, PLAIN), ASIDES)
    bare = p_turns(writer, traces, (PLAIN,), None)
    for trace, p, without in zip(traces, found, bare, strict=True):
        for row, end in enumerate(trace.ends):
            after = _next(writer, trace.ids[:end])
            doubtful = _next(writer, [*trace.ids[:end], 23, 5])
            turns = after[15] + after[22] + after[23] * (1 - doubtful[29])
            assert abs(p[row] - turns / (1 - after[7] - after[9])) < 1e-5
            assert abs(without[row] - after[15] - after[22]) < 1e-5
    p = np.concatenate(found)
    assert ((p > 0) & (p < 1)).all() and p.std() > 1e-3


@torch.inference_mode()
def _next(loaded: LoadedModel, ids: list[int]) -> np.ndarray:
    logits = loaded.model(input_ids=torch.tensor([ids])).logits[0, -1]
    return logits.double().softmax(dim=0).numpy()

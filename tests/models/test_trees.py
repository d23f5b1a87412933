"""What follows a decision, in every family: as in plain passes of a new model, or refused by name.

The text is longer than any window, so that a layer which sees no farther shows.
"""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from extraction.families import FAMILIES, REFUSED, VARIANTS, WINDOW, build
from tiny_models import build_tokenizer

from backtracking.models import loading
from backtracking.models.endpoints import Counted, read_endpoints
from backtracking.models.forced import Arm, Prefix
from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import read_branches
from backtracking.records.tokens import Opener, TokenPath, TokenSet
from lifeboat.stage.errors import UserError

pytestmark = pytest.mark.kind(6)

LAYER, POSITIONS, PATHS = 1, (9, 15, 20), ((5, 6, 7), (8, 9))
IDS = [3 + 7 * at % 37 for at in range(21)]
OPENERS = (7, 9)
COUNTED = Counted((Opener(TokenSet("Wait", OPENERS, ("Wait", "wait"))),), (7, 9, 11))
QUICK = ("llama", "gpt2", "mistral", "gemma3_text", "gemma4_text", "qwen2-sliding", "bloom")
UNREADABLE = {
    "bloom": "takes no mask of this kind",
    "falcon-alibi": "takes no mask of this kind",
    "gpt_neo": "local layers",
    "llama4_text": "chunked_attention layers",
    "mpt": "logits are off",
}
"""Families with attention in every layer that no tree can be read in, and what is said."""

NAMES = [
    pytest.param(name, marks=() if name in (*QUICK, "gpt_neo") else pytest.mark.slow)
    for name in (*FAMILIES, *VARIANTS)
    if name not in REFUSED
]


def load(name: str, folder: Path) -> LoadedModel:
    torch.set_num_threads(1)
    build(name).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return loading.load(folder)


@torch.inference_mode()
def plain(loaded: LoadedModel, ids: list[int]) -> np.ndarray:
    """p(next token) behind a text, in a model that has read nothing."""
    fresh = copy.deepcopy(loaded.model)
    logits = fresh(torch.tensor([ids]), use_cache=False).logits[0, -1]
    return logits.double().softmax(-1).numpy()


@pytest.mark.parametrize("name", NAMES)
def test_what_follows_a_decision_is_that_of_a_plain_pass_or_is_refused(
    name: str, tmp_path: Path
) -> None:
    loaded, positions = load(name, tmp_path), np.array(POSITIONS)
    assert len(IDS) > 2 * WINDOW
    try:
        with torch.inference_mode():
            found = read_branches(loaded, IDS, positions, PATHS)
        arms = [Arm(torch.zeros(loaded.d_model))]
        prefix = Prefix(IDS, 2, list(POSITIONS))
        endpoints = read_endpoints(loaded, LAYER, [prefix], arms, COUNTED, 2)
    except UserError as error:
        assert UNREADABLE.get(name, "layers, which see by other rules") in str(error)
        assert type(loaded.model).__name__ in str(error)
        return
    assert name not in UNREADABLE
    for row, at in enumerate(POSITIONS):
        own = plain(loaded, IDS[: at + 1])
        assert endpoints.p_open[0, row] == pytest.approx(own[list(OPENERS)].sum(), abs=1e-5)
        for path, p in found.items():
            check(loaded, p[row], [*IDS[: at + 1], *path])


def check(loaded: LoadedModel, p: np.ndarray, ids: list[int]) -> None:
    np.testing.assert_allclose(p, plain(loaded, ids), atol=1e-5)


def test_a_tree_is_tried_once_in_each_model(tmp_path: Path, monkeypatch) -> None:
    from backtracking.models import trees

    loaded, tried = load("llama", tmp_path), list[TokenPath]()
    real = trees._try
    monkeypatch.setattr(trees, "_try", lambda one: (tried.append(()), real(one)))
    for _ in range(3):
        with torch.inference_mode():
            read_branches(loaded, IDS, np.array(POSITIONS), PATHS)
    assert len(tried) == 1

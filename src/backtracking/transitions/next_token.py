"""The model's own next-token distribution at a sentence's end, summed by the label that it opens.

A first word tells the label of its sentence, but for "Wait": "Wait , fine" is uncertainty,
"Wait for 7" adds knowledge, any other is backtracking. So where "Wait" has weight the model is read
two words further. Words that open no sentence of the world count as `unparsed`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from backtracking.models import LoadedModel
from backtracking.organism.grammar import MARKER
from backtracking.transitions.sequences import LABELS

LABEL_BY_FIRST_WORD = {
    "Numbers": "initializing",
    "Target": "initializing",
    "Start": "initializing",
    "Goal": "adding-knowledge",
    "Left": "adding-knowledge",
    "Try": "example-testing",
    "Total": "deduction",
    "Compare": "deduction",
    "Check": "deduction",
    "No": "backtracking",
    "Dead": "backtracking",
    "Undo": "backtracking",
    "Hmm": "uncertainty-estimation",
    "Well": "uncertainty-estimation",
    "Found": "final-answer",
    "Give": "final-answer",
    "Stop": "final-answer",
}
"""First words that tell the label alone."""

NEGLIGIBLE = 1e-3
"""Probability of "Wait" below which it is not read on, and counts as backtracking."""


def label_log_p(
    loaded: LoadedModel,
    token_ids: Sequence[Sequence[int]],
    rows: Int[np.ndarray, "rows 2"],
    end_ids: Sequence[int],
    rows_per_batch: int,
) -> Float[np.ndarray, "rows symbols"]:
    """log p of every label and END after each position, as the model itself would write on.

    Args:
        loaded: the model that reads.
        token_ids: of every trace.
        rows: trace and position of each row.
        end_ids: tokens that end a trace.
        rows_per_batch: traces, or prefixes, in one call of the model.
    """
    ids = loaded.tokenizer.get_vocab()
    last = [[*token_ids[trace][: position + 1]] for trace, position in rows]
    p = _next(loaded, last_of(token_ids, rows), rows, rows_per_batch)
    wait = ids[MARKER]
    unsure = np.flatnonzero(p[:, wait] >= NEGLIGIBLE)
    longer = [[*last[row], wait, ids[","]] for row in unsure]
    places = np.array(
        [(n, len(prefix) - back) for n, prefix in enumerate(longer) for back in (2, 1)]
    )
    after = np.zeros((len(p), 2))
    if len(longer):
        read = _next(loaded, longer, places.reshape(-1, 2), rows_per_batch)
        after[unsure, 0] = read[0::2, ids["for"]] if "for" in ids else 0.0
        after[unsure, 1] = read[0::2, ids[","]] * read[1::2, ids["fine"]]
    return np.log(_sum_by_label(p, after, ids, end_ids, wait).clip(min=1e-12))


def end_ids(loaded: LoadedModel) -> list[int]:
    """Token ids that end a trace, of the tokenizer and of the model's generation config."""
    configured: Any = getattr(loaded.model.generation_config, "eos_token_id", None)
    named = [*(configured if isinstance(configured, list) else [configured])]
    named.append(loaded.tokenizer.eos_token_id)
    return sorted({token for token in named if isinstance(token, int)})


def last_of(
    token_ids: Sequence[Sequence[int]], rows: Int[np.ndarray, "rows 2"]
) -> Sequence[Sequence[int]]:
    """The traces that any row asks for; others are empty, so that rows keep their numbers."""
    asked = set(rows[:, 0].tolist())
    return [ids if number in asked else [] for number, ids in enumerate(token_ids)]


@torch.inference_mode()
def _next(
    loaded: LoadedModel,
    token_ids: Sequence[Sequence[int]],
    rows: Int[np.ndarray, "rows 2"],
    rows_per_batch: int,
) -> Float[np.ndarray, "rows d_vocab"]:
    """p(next token) after each (sequence, position); no position sees the padding on its right."""
    order = sorted((n for n, ids in enumerate(token_ids) if ids), key=lambda n: len(token_ids[n]))
    found: dict[int, Tensor] = {}
    result = None
    for start in range(0, len(order), rows_per_batch):
        group = order[start : start + rows_per_batch]
        padded = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(list(token_ids[n])) for n in group], batch_first=True
        )
        logits = loaded.model(input_ids=padded.to(loaded.device), use_cache=False).logits
        found = dict(zip(group, logits, strict=True))
        chosen = np.flatnonzero(np.isin(rows[:, 0], group))
        picked = torch.stack([found[rows[row, 0]][rows[row, 1]] for row in chosen])
        if result is None:
            result = np.zeros((len(rows), logits.shape[-1]))
        result[chosen] = picked.double().softmax(dim=-1).cpu().numpy()
    assert result is not None
    return result


def _sum_by_label(
    p: Float[np.ndarray, "rows d_vocab"],
    after: Float[np.ndarray, "rows 2"],
    ids: Mapping[str, int],
    end_ids: Sequence[int],
    wait: int,
) -> Float[np.ndarray, "rows symbols"]:
    code = {label: n for n, label in enumerate(LABELS)}
    summed = np.zeros((len(p), len(LABELS) + 1))
    for word, label in LABEL_BY_FIRST_WORD.items():
        if word in ids:
            summed[:, code[label]] += p[:, ids[word]]
    summed[:, -1] = p[:, list(end_ids)].sum(axis=1)
    knowledge, unsure = (p[:, [wait]] * after).T
    summed[:, code["adding-knowledge"]] += knowledge
    summed[:, code["uncertainty-estimation"]] += unsure
    summed[:, code["backtracking"]] += p[:, wait] - knowledge - unsure
    summed[:, code["unparsed"]] += 1 - summed.sum(axis=1)
    return summed

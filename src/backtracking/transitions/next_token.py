"""The model's own next-token distribution at a sentence's end, summed by the label that it opens.

A first word tells the label of its sentence, but for "Wait": "Wait , fine" is uncertainty,
"Wait for 7" adds knowledge, any other is backtracking. So the model is read two words further down
that branch. Words that open no sentence of the world count as `unparsed`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from backtracking.domains.organism.grammar import MARKER
from backtracking.models.loading import LoadedModel
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

CONTINUATION = (MARKER, ",")
"""Words that are read on where the first word does not tell the label."""


def label_log_p(
    loaded: LoadedModel,
    token_ids: Sequence[Sequence[int]],
    rows: Int[np.ndarray, "rows 2"],
    end_ids: Sequence[int],
) -> Float[np.ndarray, "rows symbols"]:
    """log p of every label and END after each position, as the model itself would write on.

    Args:
        loaded: the model that reads.
        token_ids: of every trace.
        rows: trace and position of each row.
        end_ids: tokens that end a trace.
    """
    ids = loaded.tokenizer.get_vocab()
    branch = [ids[word] for word in CONTINUATION]
    read = np.zeros((len(rows), 1 + len(branch), loaded.model.config.vocab_size))
    for trace in np.unique(rows[:, 0]):
        chosen = np.flatnonzero(rows[:, 0] == trace)
        read[chosen] = read_branches(loaded, token_ids[trace], rows[chosen, 1], branch)
    first, after_wait, after_comma = read.transpose(1, 0, 2)
    after = np.zeros((len(rows), 2))
    if "for" in ids:
        after[:, 0] = after_wait[:, ids["for"]]
    after[:, 1] = after_wait[:, ids[","]] * after_comma[:, ids["fine"]]
    return np.log(_sum_by_label(first, after, ids, end_ids).clip(min=1e-12))


def end_ids(loaded: LoadedModel) -> list[int]:
    """Token ids that end a trace, of the tokenizer and of the model's generation config."""
    configured: Any = getattr(loaded.model.generation_config, "eos_token_id", None)
    named = [*(configured if isinstance(configured, list) else [configured])]
    named.append(loaded.tokenizer.eos_token_id)
    return sorted({token for token in named if isinstance(token, int)})


@torch.inference_mode()
def read_branches(
    loaded: LoadedModel,
    token_ids: Sequence[int],
    positions: Int[np.ndarray, " rows"],
    branch: Sequence[int],
) -> Float[np.ndarray, "rows places d_vocab"]:
    """p(next token) after each position of one trace, and after each further token of a branch.

    One call of the model: the branches stand behind the trace, and a mask lets each see the trace
    up to its position, and itself, as if it had been written there.

    Args:
        loaded: the model that reads.
        token_ids: of the trace.
        positions: where branches leave it.
        branch: token ids that follow the position.
    """
    n, width = len(token_ids), len(branch)
    place = np.concatenate([np.arange(n), (positions[:, None] + 1 + np.arange(width)).ravel()])
    owner = np.concatenate([np.full(n, -1), np.repeat(np.arange(len(positions)), width)])
    leaves = np.concatenate([np.full(n, n), np.repeat(positions, width)])
    own = (owner[:, None] == owner) & (place <= place[:, None])
    seen = own | ((owner == -1) & (place <= leaves[:, None]) & (place <= place[:, None]))
    blocked = torch.finfo(loaded.model.dtype).min
    mask = torch.zeros(1, 1, *seen.shape, dtype=loaded.model.dtype)
    mask.masked_fill_(~torch.from_numpy(seen), blocked)
    ids = torch.tensor([[*token_ids, *list(branch) * len(positions)]])
    logits = loaded.model(
        input_ids=ids.to(loaded.device),
        attention_mask=mask.to(loaded.device),
        position_ids=torch.from_numpy(place)[None].to(loaded.device),
        use_cache=False,
    ).logits[0]
    behind = n + np.arange(len(positions) * width).reshape(len(positions), width)
    where = torch.from_numpy(np.concatenate([positions[:, None], behind], axis=1))
    return logits[where.to(loaded.device)].double().softmax(dim=-1).cpu().numpy()


def _sum_by_label(
    p: Float[np.ndarray, "rows d_vocab"],
    after: Float[np.ndarray, "rows 2"],
    ids: Mapping[str, int],
    end_ids: Sequence[int],
) -> Float[np.ndarray, "rows symbols"]:
    wait = ids[MARKER]
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

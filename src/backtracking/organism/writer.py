"""How probable backtracking was under the model that wrote a trace: what no probe can rank better.

The policy's posterior tells what the world's generator would do. A model that learnt from it has
probabilities of its own (it errs, and more often near the target), and a probe may read those.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.models import LoadedModel
from backtracking.moments import Moments
from backtracking.traces import Trace

_ROWS_PER_BATCH = 64


def p_backtracks(
    writer: LoadedModel, written: Sequence[Trace], decisions: Moments
) -> Float[np.ndarray, " n"]:
    """P(the action is backtracking | prefix up to the decision) under the writer, at temperature 1.

    P(No) + P(Undo) + P(Wait) P(not "fine" | Wait ,), given that no report comes first: a report
    says what is known, and the action after it is taken to have the same probability.
    """
    ids = writer.tokenizer.get_vocab()
    prefixes = [
        written[trace].ids[:end]
        for trace, end in zip(decisions.trace.tolist(), decisions.end.tolist(), strict=True)
    ]
    opening = _next(writer, prefixes)
    waiting = _next(writer, [[*prefix, ids["Wait"], ids[","]] for prefix in prefixes])
    p = {word: opening[:, ids[word]] for word in ("Wait", "No", "Undo", "Check")}
    acts = p["No"] + p["Undo"] + p["Wait"] * (1 - waiting[:, ids["fine"]])
    return (acts / (1 - p["Check"])).numpy()


@torch.inference_mode()
def _next(loaded: LoadedModel, prefixes: Sequence[list[int]]) -> Float[Tensor, "n d_vocab"]:
    """Probabilities of the token after each prefix; padding on the right is seen by none."""
    found: list[Tensor] = [torch.empty(0)] * len(prefixes)
    order = sorted(range(len(prefixes)), key=lambda number: len(prefixes[number]))
    for first in range(0, len(order), _ROWS_PER_BATCH):
        chosen = order[first : first + _ROWS_PER_BATCH]
        rows = [torch.tensor(prefixes[number]) for number in chosen]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(loaded.device)
        logits = loaded.model(input_ids=padded, use_cache=False).logits
        for row, number in enumerate(chosen):
            last = logits[row, len(prefixes[number]) - 1]
            found[number] = last.double().softmax(dim=0).cpu()
    return torch.stack(found)

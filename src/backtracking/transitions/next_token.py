"""The model's own next-token distribution at a sentence's end, summed by the label that it opens.

Most first words tell the label of their sentence. Where a longer opening begins with the same ids
(`Tokens.openings`), the model is read further down that branch, and the longest opening counts.
What opens no sentence that is known counts as `unparsed`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import read_branches
from backtracking.records.tokens import Opening, TokenPath, Tokens
from backtracking.transitions.sequences import LABELS


def knows(tokens: Tokens, symbols: Int[np.ndarray, " symbols"]) -> bool:
    """Whether the words of a study tell of each of these labels, and of END, how it begins."""
    told = {LABELS.index(one.state) for one in tokens.openings} | {LABELS.index("unparsed")}
    return {*symbols.tolist()} <= told | ({len(LABELS)} if tokens.end_ids else set())


def label_log_p(
    loaded: LoadedModel,
    token_ids: Sequence[Sequence[int]],
    rows: Int[np.ndarray, "rows 2"],
    openings: Sequence[Opening],
    end_ids: Sequence[int],
) -> Float[np.ndarray, "rows symbols"]:
    """log p of every label and END after each position, as the model itself would write on.

    Args:
        loaded: the model that reads.
        token_ids: of every trace.
        rows: trace and position of each row.
        openings: how sentences begin; of equal ones, the first counts.
        end_ids: ids that end a trace.
    """
    code_by_path = {one.path: LABELS.index(one.state) for one in reversed(openings)}
    code_by_path |= {(token,): len(LABELS) for token in end_ids}
    found = np.zeros((len(rows), len(LABELS) + 1))
    for trace in np.unique(rows[:, 0]):
        chosen = np.flatnonzero(rows[:, 0] == trace)
        p_next = read_branches(loaded, token_ids[trace], rows[chosen, 1], code_by_path)
        found[chosen] = _sum_by_label(p_next, code_by_path)
    return np.log(found.clip(min=1e-12))


def _sum_by_label(
    p_next: Mapping[TokenPath, Float[np.ndarray, "rows d_vocab"]],
    code_by_path: Mapping[TokenPath, int],
) -> Float[np.ndarray, "rows symbols"]:
    """What each opening has for itself, the longer ones that begin with it taken off, by label."""
    p: dict[TokenPath, np.ndarray] = {(): np.ones(len(p_next[()]))}
    for path in sorted({one[:n] for one in code_by_path for n in range(1, len(one) + 1)}):
        p[path] = p[path[:-1]] * p_next[path[:-1]][:, path[-1]]
    found = np.zeros((len(p[()]), len(LABELS) + 1))
    for path, code in code_by_path.items():
        found[:, code] += p[path]
        shorter = next((path[:n] for n in range(len(path) - 1, 0, -1) if path[:n] in code_by_path),
                       None)  # fmt: skip
        if shorter is not None:
            found[:, code_by_path[shorter]] -= p[path]
    found[:, LABELS.index("unparsed")] += 1 - found.sum(axis=1)
    return found

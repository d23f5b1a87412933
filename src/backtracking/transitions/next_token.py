"""The model's own next-token distribution at a sentence's end, summed by the label that it opens.

Most first words tell the label of their sentence. Where a longer opening begins with the same ids
(`Tokens.openings`), the model is read further down that branch, and the longest opening counts.
What opens no sentence that is known counts as `unparsed`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int

from backtracking.models.loading import LoadedModel
from backtracking.records.tokens import Opening, Tokens
from backtracking.transitions.sequences import LABELS

Path = tuple[int, ...]
"""Ids that follow a position."""


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
    branches = branches_of(list(code_by_path))
    found = np.zeros((len(rows), len(LABELS) + 1))
    for trace in np.unique(rows[:, 0]):
        chosen = np.flatnonzero(rows[:, 0] == trace)
        read = read_branches(loaded, token_ids[trace], rows[chosen, 1], branches)
        p_next = dict(zip(((), *branches), read.transpose(1, 0, 2), strict=True))
        found[chosen] = _sum_by_label(p_next, code_by_path)
    return np.log(found.clip(min=1e-12))


def branches_of(paths: Sequence[Path]) -> list[Path]:
    """Where a model has to be read, beside the position itself: all beginnings of longer paths."""
    return list(dict.fromkeys(path[:n] for path in paths for n in range(1, len(path))))


@torch.inference_mode()
def read_branches(
    loaded: LoadedModel,
    token_ids: Sequence[int],
    positions: Int[np.ndarray, " rows"],
    branches: Sequence[Path],
) -> Float[np.ndarray, "rows branches_and_1 d_vocab"]:
    """p(next token) after each position of one trace, and after each branch that leaves it there.

    One call of the model: the branches stand behind the trace as a tree, and a mask lets each see
    the trace up to its position, and itself, as if it had been written there.

    Args:
        loaded: the model that reads.
        token_ids: of the trace.
        positions: where branches leave it.
        branches: ids that follow a position; a longer one comes after what it begins with.
    """
    n, width = len(token_ids), len(branches)
    depth = np.array([len(branch) for branch in branches], dtype=np.int64)
    within = np.array(
        [[branch[: len(other)] == other for other in branches] for branch in branches], dtype=bool
    ).reshape(width, width)
    place = np.concatenate([np.arange(n), (positions[:, None] + depth).ravel()])
    seen = np.zeros((len(place), len(place)), dtype=bool)
    seen[:n, :n] = np.tri(n, dtype=bool)
    seen[n:, :n] = np.arange(n) <= np.repeat(positions, width)[:, None]
    seen[n:, n:] = np.kron(np.eye(len(positions), dtype=bool), within)
    blocked = torch.finfo(loaded.model.dtype).min
    mask = torch.zeros(1, 1, *seen.shape, dtype=loaded.model.dtype)
    mask.masked_fill_(~torch.from_numpy(seen), blocked)
    ids = torch.tensor([[*token_ids, *[branch[-1] for branch in branches] * len(positions)]])
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
    p_next: Mapping[Path, Float[np.ndarray, "rows d_vocab"]], code_by_path: Mapping[Path, int]
) -> Float[np.ndarray, "rows symbols"]:
    """What each opening has for itself, the longer ones that begin with it taken off, by label."""
    p: dict[Path, np.ndarray] = {(): np.ones(len(p_next[()]))}
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

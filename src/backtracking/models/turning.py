"""How probable turning was under the model that wrote a trace: what no probe can rank better.

What a domain's law says of a prefix is no ceiling for the action, because a model wrote it: it errs
in ways of its own, which a probe may read.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import mul
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import read_branches
from backtracking.records.tokens import Opener, TokenPath, TokenSet


@dataclass(frozen=True)
class Prefixes:
    """Prefixes of one trace.

    Attributes:
        ids: the whole trace, prompt first.
        ends: how many of the ids each prefix has.
    """

    ids: list[int]
    ends: Int[np.ndarray, " n"]


def p_turns(
    writer: LoadedModel,
    traces: Sequence[Prefixes],
    openers: Sequence[Opener],
    asides: TokenSet | None,
) -> list[Float[np.ndarray, " n"]]:
    """P(the action is to turn | prefix) of each trace's prefixes, at temperature 1.

    As `p_turning` has it, given that no aside comes first: an aside
    says what is known, and the action after it is taken to have the same probability.
    """
    return [_p_turns(writer, one, openers, asides) for one in traces]


def _p_turns(
    writer: LoadedModel, prefixes: Prefixes, openers: Sequence[Opener], asides: TokenSet | None
) -> Float[np.ndarray, " n"]:
    paths = [path for opener in openers for path in paths_of(opener)]
    p_next = read_branches(writer, prefixes.ids, prefixes.ends - 1, paths)
    skipped = p_next[()][:, list(asides.ids) if asides else []].sum(axis=1)
    return p_turning(openers, lambda path, id_: p_next[path][:, id_]) / (1 - skipped)


def paths_of(opener: Opener) -> list[TokenPath]:
    """All ids along which an opener is taken back, the opener's own first."""
    return [(id_, *path) for id_ in opener.ids.ids for path in opener.taken_back_by]


def opening_paths(openers: Sequence[Opener], newlines: Sequence[int]) -> list[TokenPath]:
    """All ids along which an opener follows, at once or on a new line, each once.

    A phrase that begins with a word that is an opener itself is a part of that one.
    """
    paths = dict.fromkeys(path for opener in openers for path in opener.paths)
    at_once = [
        path for path in paths if not any(path[:n] in paths for n in range(1, len(path)))
    ]  # fmt: skip
    return [*at_once, *((line, *path) for line in newlines for path in at_once)]


def p_opening(
    paths: Sequence[TokenPath], log_p_next: Mapping[TokenPath, Float[Tensor, "rows d_vocab"]]
) -> Float[Tensor, " rows"]:
    """P(an opener follows), by row: the sum over paths of the probability of each.

    Args:
        paths: `opening_paths`, of which none begins another.
        log_p_next: log p(next token), rows by vocabulary, after a decision (the empty path) and
            after every shorter beginning of the paths.
    """
    lasts_by_head: dict[TokenPath, list[int]] = {(): []}
    for path in paths:
        lasts_by_head.setdefault(path[:-1], []).append(path[-1])
    found = _p(log_p_next[()], lasts_by_head.pop(())).sum(dim=1)
    for head, lasts in lasts_by_head.items():
        steps = (_p(log_p_next[head[:n]], [token])[:, 0] for n, token in enumerate(head))
        found = found + reduce(mul, steps) * _p(log_p_next[head], lasts).sum(dim=1)
    return found


def _p(log_p: Float[Tensor, "rows d_vocab"], ids: Sequence[int]) -> Float[Tensor, "rows some"]:
    return log_p[:, list(ids)].double().exp()


def p_turning(openers: Sequence[Opener], p_next: Callable[[TokenPath, int], Any]) -> Any:
    """P(the next sentence begins with an opener and is not taken back), by row.

    Args:
        openers: words that open backtracking.
        p_next: p(next token) by row, for the ids that have followed the decision, none or a
            beginning of `paths_of` the openers, and that token: arrays of numpy, or tensors.
    """
    return sum(
        p_next((), id_) * (1 - sum(_p_path(p_next, id_, path) for path in opener.taken_back_by))
        for opener in openers
        for id_ in opener.ids.ids
    )


def _p_path(p_next: Callable[[TokenPath, int], Any], opener: int, path: TokenPath) -> Any:
    """P(the whole path | the opener), by row."""
    steps = (p_next((opener, *path[:n]), token) for n, token in enumerate(path))
    return reduce(mul, steps)

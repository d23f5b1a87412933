"""How probable turning was under the model that wrote a trace: what no probe can rank better.

What a domain's law says of a prefix is no ceiling for the action, because a model wrote it: it errs
in ways of its own, which a probe may read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import read_branches
from backtracking.records.tokens import Opener, TokenSet


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

    The sum over openers of p(opener) (1 - p(taken back)), given that no aside comes first: an aside
    says what is known, and the action after it is taken to have the same probability.
    """
    return [_p_turns(writer, one, openers, asides) for one in traces]


def _p_turns(
    writer: LoadedModel, prefixes: Prefixes, openers: Sequence[Opener], asides: TokenSet | None
) -> Float[np.ndarray, " n"]:
    taken_back = {id_: o.taken_back_by for o in openers if o.taken_back_by for id_ in o.ids.ids}
    paths = [(opener, *path) for opener, path in taken_back.items()]
    p_next = read_branches(writer, prefixes.ids, prefixes.ends - 1, paths)
    stays = {
        opener: 1 - p_next[opener, *path[:-1]][:, path[-1]] for opener, path in taken_back.items()
    }
    opening = p_next[()]
    turns = [opening[:, id_] * stays.get(id_, 1.0) for one in openers for id_ in one.ids.ids]
    skipped = opening[:, list(asides.ids) if asides else []].sum(axis=1)
    return np.sum(turns, axis=0) / (1 - skipped)

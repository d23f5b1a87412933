"""What each prefix tells of the decision ahead, at many positions of many traces at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from backtracking.probing.targets import Target
from backtracking.records.decisions import Decisions
from backtracking.records.posteriors import Posteriors
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class Beliefs:
    """The exact posteriors of all traces, one below the other.

    Attributes:
        kinds: names of the columns.
        p_kind: P(kind of the decision ahead | prefix), by generated token of all traces.
        first: row of `p_kind` that position 0 of each decision's trace would have.
        pending: first position at which each decision is the one ahead.
        end: one past each deciding token.
    """

    kinds: tuple[str, ...]
    p_kind: Float[np.ndarray, "tokens kinds"]
    first: Int[np.ndarray, " n"]
    pending: Int[np.ndarray, " n"]
    end: Int[np.ndarray, " n"]

    @classmethod
    def gather(cls, decisions: Decisions, posteriors: Mapping[str, Posteriors]) -> "Beliefs":
        """The posteriors of decisions.

        Raises:
            UserError: where the posteriors are of other decisions.
        """
        names = list(dict.fromkeys(decisions.trace_id.tolist()))
        its = [posteriors[name] for name in names if name in posteriors]
        found = np.concatenate([one.end for one in its]) if its else np.zeros(0, dtype=np.int64)
        if len(its) < len(names) or not np.array_equal(found, decisions.end):
            raise UserError(
                f"Expected posteriors of the {len(decisions)} decisions of {len(names)} traces, "
                f"found those of {len(found)} in {len(its)}, or elsewhere.",
                "Label the traces again: `dvc --wait-for-lock repro label`.",
            )
        row = np.cumsum([0, *(len(one.p_kind) for one in its)])[:-1]
        row_by_name = dict(zip(names, row - [one.first for one in its], strict=True))
        return cls(
            its[0].kinds,
            np.concatenate([one.p_kind for one in its]),
            np.array([row_by_name[name] for name in decisions.trace_id], dtype=np.int64),
            np.concatenate([one.pending for one in its]),
            found,
        )

    def of(
        self, target: Target, position: Int[np.ndarray, "n offsets"]
    ) -> Float[np.ndarray, "n offsets"]:
        """P(the target's kind | prefix up to and including each position), among those asked.

        NaN where the decision is not yet the one ahead.
        """
        ahead = position >= self.pending[:, None]
        row = self.first[:, None] + np.minimum(position, self.end[:, None] - 1)
        p = self.p_kind[row.clip(0, len(self.p_kind) - 1)]
        positive, asked = self._sum(p, [target.name]), self._sum(p, target.asked)
        undefined = np.full(position.shape, np.nan)
        return np.divide(positive, asked, out=undefined, where=ahead & (asked > 0))

    def _sum(self, p: np.ndarray, kinds: Sequence[str]) -> np.ndarray:
        return p[..., [self.kinds.index(kind) for kind in kinds]].sum(axis=-1)

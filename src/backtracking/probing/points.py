"""The decision points that probes are asked of, and the tokens around them that they may read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from backtracking.domains.organism.posteriors import DEAD, Decisions
from backtracking.domains.organism.solver import KINDS
from backtracking.probing.features import label_history, tokens_at
from backtracking.probing.probes import TARGETS, Task, make_task
from backtracking.records.moments import Moments, is_decision
from backtracking.records.traces import Trace
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class Anchor:
    """What offsets are counted from, and what each decision has there.

    Attributes:
        name: `comparison`, the first token of the comparison; or `known`, t*, the token from which
            on P(dead | prefix) is 0 or 1.
        position: position of offset 0, by decision.
        offsets: the offsets of the grid.
        last: the last offset that may be before the action.
        present: whether the decision has a token there; at `known` none behind the decision.
        posterior_by_target: P(positive | prefix) there under the generator; NaN where the decision
            is not yet the one ahead, and for `backtracks` where it has been acted on.
    """

    name: str
    position: Int[np.ndarray, " n"]
    offsets: Int[np.ndarray, " offsets"]
    last: int
    present: Bool[np.ndarray, "offsets n"]
    posterior_by_target: Mapping[str, Float[np.ndarray, "offsets n"]]


@dataclass(frozen=True)
class DecisionPoints:
    """All comparisons of the traces with what is known of them without activations.

    Attributes:
        moments: one row per comparison.
        tasks: what is asked.
        anchors: where offsets are counted from.
        words: token ids of each comparison, by slot.
        history: label history of each comparison (`baselines.label_history`).
        tokens_by_anchor: token id at each offset; -1 where there is none.
        is_absent: whether no train problem has a comparison of the same words.
    """

    moments: Moments
    tasks: tuple[Task, ...]
    anchors: tuple[Anchor, ...]
    words: Int[np.ndarray, "n slots"]
    history: Float[np.ndarray, "n labels"]
    tokens_by_anchor: Mapping[str, Int[np.ndarray, "n offsets"]]
    is_absent: Bool[np.ndarray, " n"]


def gather_points(
    written: Sequence[Trace],
    sentences: Moments,
    decisions_by_trace: Sequence[Decisions],
    window_by_anchor: Mapping[str, tuple[int, int]],
) -> DecisionPoints:
    """The decision points of traces.

    Args:
        written: the traces.
        sentences: all their sentences with exact labels.
        decisions_by_trace: the decisions of each trace (`organism.posteriors.read_decisions`).
        window_by_anchor: first and last offset, both included, from `comparison` and `known`.

    Raises:
        UserError: where sentences and traces do not belong together.
    """
    numbers = np.flatnonzero(is_decision(sentences))
    moments = sentences[numbers]
    prompt = np.array([len(trace.prompt_ids) for trace in written], dtype=np.int64)
    found = [decisions.start + prompt[row] for row, decisions in enumerate(decisions_by_trace)]
    if not np.array_equal(np.concatenate(found), moments.start):
        raise UserError(
            f"The traces have {sum(map(len, found))} comparisons and the sentences "
            f"{len(moments)}, or elsewhere.",
            "Label the traces again: `dvc --wait-for-lock repro label`.",
        )
    pending, known = (
        np.concatenate([getattr(one, name) for one in decisions_by_trace]) + prompt[moments.trace]
        for name in ("pending", "known")
    )
    beliefs = _Beliefs(decisions_by_trace, prompt, moments, pending)
    anchors = tuple(
        _anchor(name, position, window_by_anchor[name], moments, written, beliefs)
        for name, position in (("comparison", moments.start), ("known", known))
    )
    words = tokens_at(written, moments.trace, _around(moments.start, (0, _length(moments) - 1)))
    return DecisionPoints(
        moments=moments,
        tasks=tuple(make_task(target, moments) for target in TARGETS),
        anchors=anchors,
        words=words,
        history=label_history(sentences, numbers),
        tokens_by_anchor={
            one.name: tokens_at(written, moments.trace, one.position[:, None] + one.offsets)
            for one in anchors
        },
        is_absent=_absent(words, moments.split == "train"),
    )


def _length(moments: Moments) -> int:
    """Tokens of a comparison."""
    return int((moments.end - moments.start).max(initial=1))


def _around(position: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    return position[:, None] + np.arange(window[0], window[1] + 1)


def _absent(words: np.ndarray, is_train: np.ndarray) -> np.ndarray:
    """Rows whose words no train row has."""
    _, code = np.unique(words, axis=0, return_inverse=True)
    return ~np.isin(code, code[is_train])


def _anchor(
    name: str,
    position: np.ndarray,
    window: tuple[int, int],
    moments: Moments,
    written: Sequence[Trace],
    beliefs: "_Beliefs",
) -> Anchor:
    where = _around(position, window)
    lengths = np.array([len(trace.ids) for trace in written])[moments.trace]
    present = (where >= 0) & (where < lengths[:, None])
    last = min(window[1], _length(moments) - 1)
    if name == "known":
        present &= where < moments.end[:, None]
        last = window[1]
    posterior = {target: beliefs.of(target, where).T for target in TARGETS}
    offsets = np.arange(window[0], window[1] + 1)
    return Anchor(name, position, offsets, last, present.T, posterior)


@dataclass(frozen=True)
class _Beliefs:
    """The exact posteriors of all traces, one below the other."""

    decisions_by_trace: Sequence[Decisions]
    prompt: np.ndarray
    moments: Moments
    pending: np.ndarray

    def of(self, target: str, position: np.ndarray) -> np.ndarray:
        """P(positive | prefix up to and including each position), among the target's kinds.

        For `backtracks` this is P(dead), of which it is a multiple that is the same everywhere.
        """
        positive, asked = (DEAD, KINDS[:-1]) if target == "backtracks" else _kinds(target)
        table = np.concatenate([one.p_kind for one in self.decisions_by_trace])
        first = np.cumsum([0, *(len(one.p_kind) for one in self.decisions_by_trace)])[:-1]
        place = np.minimum(position, self.moments.end[:, None] - 1)
        row = (first - self.prompt)[self.moments.trace][:, None] + place
        ahead = position >= self.pending[:, None]
        if target == "backtracks":
            ahead &= position < self.moments.end[:, None]
        p = table[row.clip(0, len(table) - 1)]
        sums = [
            p[..., [KINDS.index(kind) for kind in kinds]].sum(-1) for kinds in (positive, asked)
        ]
        undefined = np.full(position.shape, np.nan)
        return np.divide(*sums, out=undefined, where=ahead & (sums[1] > 0))


def _kinds(target: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return (target,), (target, "alive")

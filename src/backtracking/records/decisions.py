"""Decisions as columns, and the two classes of them that a study contrasts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Int, Shaped

from backtracking.records.columns import Columns, common_columns, integers, words
from backtracking.records.sentences import Action, Decision, Kind
from backtracking.records.traces import Trace
from lifeboat.stage.errors import UserError

STRATA = ("value", "position", "length", "state", "n_before")
"""What decisions can be stratified by."""


@dataclass(frozen=True)
class Classes:
    """The two classes of decisions that a study contrasts: section `contrast` of params.yaml.

    Attributes:
        by: whether classes are kinds of points, what the trace then did, or whether it then turned
            (`event`) beside points of the same trace that are like it (`neutral`).
        positive, negative: the kinds, actions or events of each class.
        strata: what has to be alike in both (`STRATA`).
    """

    by: Literal["kind", "action", "event"]
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    strata: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.positive or not self.negative or {*self.positive} & {*self.negative}:
            raise ValueError("`positive` and `negative` need a class each, and none in common.")
        if self.by == "action" and not {*self.positive, *self.negative} <= {*get_args(Action)}:
            raise ValueError(f"actions are {list(get_args(Action))}.")
        if self.by == "event" and (self.positive, self.negative) != (("event",), ("neutral",)):
            raise ValueError("by `event`, `positive` is [event] and `negative` is [neutral].")
        if not {*self.strata} <= {*STRATA}:
            raise ValueError(f"`strata` are some of {list(STRATA)}, found {list(self.strata)}.")


@dataclass(frozen=True)
class Decisions(Columns):
    """Decisions, in the order of their file.

    Attributes:
        position: the deciding token.
        n_before: decisions of the same trace before it.
        event: which of a matched pair it is.
    """

    position: Int[np.ndarray, " n"]
    n_before: Int[np.ndarray, " n"]
    event: Shaped[np.ndarray, " n"]

    @classmethod
    def gather(
        cls, records: Sequence[Decision], traces: Sequence[Trace], kinds: Sequence[Kind]
    ) -> "Decisions":
        """All decisions of a study.

        Args:
            records: decisions of the traces.
            traces: in the order of traces.jsonl.
            kinds: the domain's.

        Raises:
            UserError: for a decision of another trace.
        """
        common = common_columns(records, traces, [one.state for one in records])
        seen: dict[str, int] = {}
        n_before = []
        for one in records:
            n_before.append(seen.get(one.trace_id, 0))
            seen[one.trace_id] = n_before[-1] + 1
        return cls(
            **common,
            action=words([one.action for one in records]),
            known_kinds=tuple(kinds),
            position=integers([one.position for one in records]),
            n_before=integers(n_before),
            event=words([one.event for one in records]),
        )

    @property
    def end(self) -> Int[np.ndarray, " n"]:
        """One past the deciding token: how many ids of the trace a prefix up to it has."""
        return self.position + 1

    @property
    def ids(self) -> list[str]:
        """`<trace_id>@<position>` of each."""
        both = zip(self.trace_id, self.position.tolist(), strict=True)
        return [f"{trace}@{position}" for trace, position in both]

    def rows_of(self, ids: Sequence[str]) -> Int[np.ndarray, " ids"]:
        """Rows of decisions by their names.

        Raises:
            UserError: for a name that none of the decisions has.
        """
        row_by_id = {name: row for row, name in enumerate(self.ids)}
        unknown = [name for name in ids if name not in row_by_id]
        if unknown:
            raise UserError(
                f"Expected decisions of the study, found {len(unknown)} others, first "
                f"`{unknown[0]}`.",
                "What was measured belongs to other labels; run its stage again.",
            )
        return integers([row_by_id[name] for name in ids])

    def open(self) -> "Decisions":
        """Those that are not solved yet, of whatever kind: where there is something to decide."""
        return self[~np.isin(self.kind, self.kinds_that(standing="solved"))]

    def of(self, *, split: str, classes: Classes | None = None) -> "Decisions":
        """Decisions of a split; with classes, those that are of either class."""
        chosen = self[self.split == split]
        if classes is None:
            return chosen
        both = (*classes.positive, *classes.negative)
        return chosen[np.isin(getattr(chosen, classes.by), both)]

    def is_positive(self, classes: Classes) -> Bool[np.ndarray, " n"]:
        """Which of the decisions are of the positive class."""
        return np.isin(getattr(self, classes.by), classes.positive)

    def is_negative(self, classes: Classes) -> Bool[np.ndarray, " n"]:
        """Which of the decisions are of the negative class."""
        return np.isin(getattr(self, classes.by), classes.negative)

    def strata(
        self, names: Sequence[str], n: int, like: "Decisions | None" = None
    ) -> Int[np.ndarray, " n"]:
        """Stratum of each decision: numbers in `n` quantiles, words as they are, all crossed.

        Args:
            names: some of `STRATA`.
            n: quantiles of each number.
            like: decisions that the quantiles and the words are those of; by default these.
        """
        code = np.zeros(len(self), dtype=np.int64)
        for name in names:
            part, size = _stratify(self._stratum_of(name), (like or self)._stratum_of(name), n)
            code = code * size + part
        return code

    def _stratum_of(self, name: str) -> np.ndarray:
        if name not in STRATA:
            raise ValueError(f"Expected some of {STRATA}, found {name!r}.")
        return self.end - self.start if name == "length" else getattr(self, name)


def _stratify(
    values: np.ndarray, reference: np.ndarray, n: int
) -> tuple[Int[np.ndarray, " n"], int]:
    """Stratum of each value, and how many there may be; what is not known has one of its own."""
    if reference.dtype == object:
        words = sorted({word for word in reference if word is not None})
        code_by_word = {word: code for code, word in enumerate(words)}
        return integers([code_by_word.get(one, len(words)) for one in values]), len(words) + 1
    known = reference[~np.isnan(reference)]
    edges = np.quantile(known, np.linspace(0, 1, n + 1)[1:-1]) if len(known) else np.zeros(0)
    found = np.searchsorted(edges, values, side="right")
    return np.where(np.isnan(values), len(edges) + 1, found), len(edges) + 2

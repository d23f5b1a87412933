"""Sentences as columns, one array a field: a number that is not known is NaN, a word None."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from backtracking.records.sentences import CURE, Decision, Kind, Sentence, Standing, Truth
from backtracking.records.traces import Trace
from lifeboat.stage.errors import UserError

C = TypeVar("C", bound="Columns")


@dataclass(frozen=True)
class Columns:
    """Rows of sentences as parallel arrays, and what both kinds of them have.

    Attributes:
        trace: row of the trace in traces.jsonl.
        trace_id: its name.
        problem: id of the problem.
        problem_number: the problem's number within its split, in sorted order.
        split: the problem's split.
        index: number of the sentence within its trace.
        start: its first position in `Trace.ids`.
        state: its state by the primary labeller.
        action, form, kind, value, written, target, valid, check, search_state, history: as in
            `Truth`; `valid` is 1 or 0.
        known_kinds: the domain's kinds.
    """

    trace: Int[np.ndarray, " n"]
    trace_id: Shaped[np.ndarray, " n"]
    problem: Shaped[np.ndarray, " n"]
    problem_number: Int[np.ndarray, " n"]
    split: Shaped[np.ndarray, " n"]
    index: Int[np.ndarray, " n"]
    start: Int[np.ndarray, " n"]
    state: Shaped[np.ndarray, " n"]
    action: Shaped[np.ndarray, " n"]
    form: Shaped[np.ndarray, " n"]
    kind: Shaped[np.ndarray, " n"]
    value: Float[np.ndarray, " n"]
    written: Float[np.ndarray, " n"]
    target: Float[np.ndarray, " n"]
    valid: Float[np.ndarray, " n"]
    check: Shaped[np.ndarray, " n"]
    search_state: Shaped[np.ndarray, " n"]
    history: Shaped[np.ndarray, " n"]
    known_kinds: tuple[Kind, ...]

    def __len__(self) -> int:
        return len(self.trace)

    def __getitem__(self: C, rows: np.ndarray) -> C:
        """The chosen rows, by mask or by number."""
        names = [field.name for field in fields(self) if field.name != "known_kinds"]
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self)

    def codes(self, name: str) -> tuple[Int[np.ndarray, " n"], tuple[str, ...]]:
        """A column of words as codes into its sorted words; -1 where it is not known."""
        column = getattr(self, name)
        words = tuple(sorted({word for word in column if word is not None}))
        code_by_word = {word: code for code, word in enumerate(words)}
        return np.array([code_by_word.get(one, -1) for one in column], dtype=np.int64), words

    def kinds(self) -> tuple[str, ...]:
        """The kinds that occur, in the domain's order."""
        found = set(self.kind.tolist())
        return tuple(kind.name for kind in self.known_kinds if kind.name in found)

    def kinds_that(
        self, *, standing: Standing | None = None, visible: bool | None = None
    ) -> tuple[str, ...]:
        """The domain's kinds of a standing, or of a visibility, whether they occur or not."""
        return tuple(
            kind.name
            for kind in self.known_kinds
            if standing in (None, kind.standing) and visible in (None, kind.visible)
        )


@dataclass(frozen=True)
class Sentences(Columns):
    """All sentences, as one labeller labels them, in the order of their file.

    Attributes:
        end: one past the last position.
        decides: whether the next action is decided at the last token.
    """

    end: Int[np.ndarray, " n"]
    decides: Bool[np.ndarray, " n"]

    @classmethod
    def gather(
        cls,
        records: Sequence[Sentence],
        traces: Sequence[Trace],
        kinds: Sequence[Kind],
        labeller: str,
    ) -> "Sentences":
        """The sentences that a labeller was asked about.

        Args:
            records: sentences of the traces.
            traces: in the order of traces.jsonl.
            kinds: the domain's.
            labeller: whose labels are taken.

        Raises:
            UserError: for a sentence of another trace; where the labeller labelled none.
        """
        chosen = [one for one in records if labeller in one.label_by]
        if records and not chosen:
            known = sorted({name for one in records for name in one.label_by})
            raise UserError(
                f"Expected sentences labelled by `{labeller}`, found labels of {known}.", CURE
            )
        return cls(
            **common_columns(chosen, traces, [one.label_by[labeller] for one in chosen]),
            action=words([one.truth.action if one.truth else None for one in chosen]),
            known_kinds=tuple(kinds),
            end=integers([one.end for one in chosen]),
            decides=np.array([one.decides for one in chosen], dtype=bool),
        )


def common_columns(
    records: Sequence[Sentence] | Sequence[Decision], traces: Sequence[Trace], states: Sequence[str]
) -> dict[str, np.ndarray]:
    """The columns that sentences and decisions have alike, but for what was done."""
    row_by_trace = {trace.trace_id: row for row, trace in enumerate(traces)}
    strange = next((one.trace_id for one in records if one.trace_id not in row_by_trace), None)
    if strange is not None:
        raise UserError(f"Expected sentences of these traces, found one of `{strange}`.", CURE)
    rows = [row_by_trace[one.trace_id] for one in records]
    number = problem_numbers(traces)
    truths = [one.truth or Truth() for one in records]
    found = {
        name: words([getattr(truth, name) for truth in truths])
        for name in ("form", "kind", "check", "search_state", "history")
    }
    found |= {
        name: numbers([getattr(truth, name) for truth in truths])
        for name in ("value", "written", "target", "valid")
    }
    return found | {
        "trace": integers(rows),
        "trace_id": words([one.trace_id for one in records]),
        "problem": words([traces[row].problem_id for row in rows]),
        "problem_number": integers([number[traces[row].problem_id] for row in rows]),
        "split": words([traces[row].split for row in rows]),
        "index": integers([one.index for one in records]),
        "start": integers([one.start for one in records]),
        "state": words(states),
    }


def problem_numbers(traces: Sequence[Trace]) -> dict[str, int]:
    """Each problem's number among the problems of its split, in sorted order."""
    found: dict[str, int] = {}
    for split in {trace.split for trace in traces}:
        names = sorted({trace.problem_id for trace in traces if trace.split == split})
        found |= {name: number for number, name in enumerate(names)}
    return found


def words(values: Sequence[str | None]) -> Shaped[np.ndarray, " n"]:
    """A column of words, of which None is one."""
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def integers(values: Sequence[int]) -> Int[np.ndarray, " n"]:
    """A column of numbers of rows, tokens and the like, all known."""
    return np.array(values, dtype=np.int64)


def numbers(values: Sequence[float | bool | None]) -> Float[np.ndarray, " n"]:
    """A column of numbers, NaN where one is not known."""
    return np.array([np.nan if one is None else one for one in values], dtype=np.float64)

"""Sentences of traces, what is known of them, and the points at which the next action is decided.

`label` writes sentences and decisions, one record a line; everything after it reads them as columns
(`Sentences`, `Decisions`), one array a field: a number that is not known is NaN there, a word None.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from backtracking.records import reader
from backtracking.records.traces import Trace
from lifeboat.stage.errors import UserError

State = Literal[
    "initializing",
    "deduction",
    "adding-knowledge",
    "example-testing",
    "uncertainty-estimation",
    "backtracking",
    "final-answer",
    "unparsed",
]
"""What a sentence does; `unparsed` is none of the domain's sentences."""

Action = Literal["turns", "idles", "goes on"]
"""What a trace does after a decision; to idle is to open like a turn and go on all the same."""

Standing = Literal["dead", "live", "solved"]

STRATA = ("value", "position", "length", "state", "n_before")
"""What decisions can be stratified by."""

EXACT = "exact"
"""The labeller that is the domain itself, whose sentences also know what was done (`Truth`)."""

C = TypeVar("C", "Sentences", "Decisions")

_CURE = "Label the traces again: `dvc --wait-for-lock repro label`."


class Kind(NamedTuple):
    """A kind of decision point.

    Attributes:
        name: as the domain calls it.
        standing: whether the search stands at a dead end there, is still live, or is solved.
        visible: whether a reader of the trace can tell; a hidden dead end takes the whole search.
    """

    name: str
    standing: Standing
    visible: bool


@dataclass(frozen=True)
class Truth:
    """What is known of a sentence; every field may be unknown on its own.

    Attributes:
        form: which of the domain's forms the sentence has.
        kind: kind of the point in the search after the sentence.
        value: value reached there (a running total, the value of an attempt), as it truly is.
        written: the same as the sentence has it; None where it says nothing of it.
        target: value to be reached.
        valid: whether the sentence is right given what the trace says before it; None where there
            is nothing to check.
        check: what of it could be wrong.
        action: what the trace did after it, if it decides; None where the trace ends first.
        search_state: equal texts are one state of the search; where something is decided.
        history: equal texts are one way to get there.
    """

    form: str | None = None
    kind: str | None = None
    value: float | None = None
    written: float | None = None
    target: float | None = None
    valid: bool | None = None
    check: str | None = None
    action: Action | None = None
    search_state: str | None = None
    history: str | None = None


@dataclass(frozen=True)
class Sentence:
    """One sentence of a trace, as a token range.

    Attributes:
        trace_id: the trace.
        index: number of the sentence within the trace, from 0; the prompt has none.
        start: first position in `Trace.ids`.
        end: one past the last position.
        text: the sentence, decoded.
        decides: whether the next action is decided at its last token.
        label_by: its state by every labeller that was asked.
        truth: what is known of it; None where the domain knows nothing.
    """

    trace_id: str
    index: int
    start: int
    end: int
    text: str
    decides: bool
    label_by: Mapping[str, State]
    truth: Truth | None = None


@dataclass(frozen=True)
class Decision:
    """A point at which the next action is decided.

    Attributes:
        trace_id, problem_id, split: where it is.
        index: number of the sentence that ends here.
        start: its first position.
        position: the deciding token, the last before the next sentence's first visible one.
        state: the sentence's state by the primary labeller.
        action: what the trace then did; None where it ends here.
        truth: as of the sentence.
    """

    trace_id: str
    problem_id: str
    split: str
    index: int
    start: int
    position: int
    state: State
    action: Action | None
    truth: Truth | None

    @property
    def decision_id(self) -> str:
        """`<trace_id>@<position>`, the name of the decision in every record."""
        return f"{self.trace_id}@{self.position}"


@dataclass(frozen=True)
class Kinds:
    """The kinds of decision points of a study, in the domain's order; empty where none is known."""

    kinds: tuple[Kind, ...]


@dataclass(frozen=True)
class Classes:
    """The two classes of decisions that a study contrasts: section `contrast` of params.yaml.

    Attributes:
        by: whether classes are kinds of points, or what the trace then did.
        positive, negative: the kinds or actions of each class.
        strata: what has to be alike in both (`STRATA`).
    """

    by: Literal["kind", "action"]
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    strata: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.positive or not self.negative or {*self.positive} & {*self.negative}:
            raise ValueError("`positive` and `negative` need a class each, and none in common.")
        if self.by == "action" and not {*self.positive, *self.negative} <= {*get_args(Action)}:
            raise ValueError(f"actions are {list(get_args(Action))}.")
        if not {*self.strata} <= {*STRATA}:
            raise ValueError(f"`strata` are some of {list(STRATA)}, found {list(self.strata)}.")


@dataclass(frozen=True)
class _Columns:
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
class Sentences(_Columns):
    """All sentences, as one labeller labels them, in the order of their file.

    Attributes:
        end: one past the last position.
        decides: whether the next action is decided at the last token.
    """

    end: Int[np.ndarray, " n"]
    decides: Bool[np.ndarray, " n"]

    def __getitem__(self, rows: np.ndarray) -> "Sentences":
        """The chosen rows, by mask or by number."""
        return _picked(self, rows)

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
                f"Expected sentences labelled by `{labeller}`, found labels of {known}.", _CURE
            )
        return cls(
            **_common(chosen, traces, [one.label_by[labeller] for one in chosen]),
            action=_words([one.truth.action if one.truth else None for one in chosen]),
            known_kinds=tuple(kinds),
            end=_integers([one.end for one in chosen]),
            decides=np.array([one.decides for one in chosen], dtype=bool),
        )


@dataclass(frozen=True)
class Decisions(_Columns):
    """Decisions, in the order of their file.

    Attributes:
        position: the deciding token.
        n_before: decisions of the same trace before it.
    """

    position: Int[np.ndarray, " n"]
    n_before: Int[np.ndarray, " n"]

    def __getitem__(self, rows: np.ndarray) -> "Decisions":
        """The chosen rows, by mask or by number."""
        return _picked(self, rows)

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
        common = _common(records, traces, [one.state for one in records])
        seen: dict[str, int] = {}
        n_before = []
        for one in records:
            n_before.append(seen.get(one.trace_id, 0))
            seen[one.trace_id] = n_before[-1] + 1
        return cls(
            **common,
            action=_words([one.action for one in records]),
            known_kinds=tuple(kinds),
            position=_integers([one.position for one in records]),
            n_before=_integers(n_before),
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
        return _integers([row_by_id[name] for name in ids])

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


def write_sentences(path: Path, sentences: Iterable[Sentence]) -> None:
    """Writes sentences as JSON Lines."""
    reader.write_lines(path, sentences)


def read_sentences(path: Path) -> list[Sentence]:
    """All sentences of a file.

    Raises:
        UserError: for a broken record, with file, line and key.
    """
    return reader.read_lines(Sentence, path, _CURE)


def write_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    """Writes decisions as JSON Lines."""
    reader.write_lines(path, decisions)


def read_decisions(path: Path) -> list[Decision]:
    """All decisions of a file.

    Raises:
        UserError: for a broken record, with file, line and key.
    """
    return reader.read_lines(Decision, path, _CURE)


def write_kinds(path: Path, kinds: Sequence[Kind]) -> None:
    """Writes the domain's kinds as JSON."""
    reader.write_json(path, Kinds(tuple(kinds)))


def read_kinds(path: Path) -> tuple[Kind, ...]:
    """The domain's kinds.

    Raises:
        UserError: for another file.
    """
    return reader.read_json(Kinds, path, _CURE).kinds


def problem_numbers(traces: Sequence[Trace]) -> dict[str, int]:
    """Each problem's number among the problems of its split, in sorted order."""
    found: dict[str, int] = {}
    for split in {trace.split for trace in traces}:
        names = sorted({trace.problem_id for trace in traces if trace.split == split})
        found |= {name: number for number, name in enumerate(names)}
    return found


def _picked(columns: C, rows: np.ndarray) -> C:
    names = [field.name for field in fields(columns) if field.name != "known_kinds"]
    return replace(columns, **{name: getattr(columns, name)[rows] for name in names})


def _common(
    records: Sequence[Sentence] | Sequence[Decision], traces: Sequence[Trace], states: Sequence[str]
) -> dict[str, Any]:
    """The columns that sentences and decisions have alike, but for what was done."""
    row_by_trace = {trace.trace_id: row for row, trace in enumerate(traces)}
    strange = next((one.trace_id for one in records if one.trace_id not in row_by_trace), None)
    if strange is not None:
        raise UserError(f"Expected sentences of these traces, found one of `{strange}`.", _CURE)
    rows = [row_by_trace[one.trace_id] for one in records]
    number = problem_numbers(traces)
    truths = [one.truth or Truth() for one in records]
    words = {
        name: _words([getattr(truth, name) for truth in truths])
        for name in ("form", "kind", "check", "search_state", "history")
    }
    numbers = {
        name: _numbers([getattr(truth, name) for truth in truths])
        for name in ("value", "written", "target", "valid")
    }
    return (
        words
        | numbers
        | {
            "trace": _integers(rows),
            "trace_id": _words([one.trace_id for one in records]),
            "problem": _words([traces[row].problem_id for row in rows]),
            "problem_number": _integers([number[traces[row].problem_id] for row in rows]),
            "split": _words([traces[row].split for row in rows]),
            "index": _integers([one.index for one in records]),
            "start": _integers([one.start for one in records]),
            "state": _words(states),
        }
    )


def _stratify(
    values: np.ndarray, reference: np.ndarray, n: int
) -> tuple[Int[np.ndarray, " n"], int]:
    """Stratum of each value, and how many there may be; what is not known has one of its own."""
    if reference.dtype == object:
        words = sorted({word for word in reference if word is not None})
        code_by_word = {word: code for code, word in enumerate(words)}
        return _integers([code_by_word.get(one, len(words)) for one in values]), len(words) + 1
    known = reference[~np.isnan(reference)]
    edges = np.quantile(known, np.linspace(0, 1, n + 1)[1:-1]) if len(known) else np.zeros(0)
    found = np.searchsorted(edges, values, side="right")
    return np.where(np.isnan(values), len(edges) + 1, found), len(edges) + 2


def _words(values: Sequence[str | None]) -> Shaped[np.ndarray, " n"]:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _integers(values: Sequence[int]) -> Int[np.ndarray, " n"]:
    return np.array(values, dtype=np.int64)


def _numbers(values: Sequence[float | bool | None]) -> Float[np.ndarray, " n"]:
    return np.array([np.nan if one is None else one for one in values], dtype=np.float64)
